// Package parallel does work on many small items on several processors, without losing their order.
package parallel

import (
	"cmp"
	"context"

	"golang.org/x/sync/errgroup"
)

// Pipeline has workers treat items in parallel and collects them in the order in which they were produced.
type Pipeline[T any] struct {
	Workers int                                                                  // batches treated at a time
	Batch   int                                                                  // items in one; 0: BatchItems
	Produce func(ctx context.Context, add func(item T, bytes int64) error) error // runs in one goroutine; bytes are the work that an item makes
	Worker  func() (work func(context.Context, *T) error, done func())           // called once in the goroutine of each worker
	Collect func([]T) error                                                      // runs in one goroutine, a batch at a time
}

// BatchItems is how many items a worker treats at a time, unless each is worth the hand-over.
const BatchItems = 64

const batchBytes = 8 << 20 // of work likewise, unless a single item has more

type batch[T any] struct {
	items []T
	ready chan struct{}
}

// Run returns when all batches are collected, or with the first error.
func (p Pipeline[T]) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	workers := max(1, p.Workers)
	todo := make(chan *batch[T], workers)
	order := make(chan *batch[T], 4*workers) // bounds what is in memory
	g.Go(func() error {
		defer close(todo)
		defer close(order)
		out := batcher[T]{most: cmp.Or(p.Batch, BatchItems), emit: func(items []T) error {
			b := &batch[T]{items: items, ready: make(chan struct{})}
			if err := send(ctx, order, b); err != nil {
				return err
			}
			return send(ctx, todo, b)
		}}
		if err := p.Produce(ctx, out.add); err != nil {
			return err
		}
		return out.flush()
	})
	for range workers {
		g.Go(func() error { return p.drain(ctx, todo) })
	}
	g.Go(func() error { return p.gather(ctx, order) })
	return g.Wait()
}

func (p Pipeline[T]) drain(ctx context.Context, todo <-chan *batch[T]) error {
	work, done := p.Worker()
	defer done()
	for b := range todo {
		for i := range b.items {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := work(ctx, &b.items[i]); err != nil {
				return err
			}
		}
		close(b.ready)
	}
	return nil
}

func (p Pipeline[T]) gather(ctx context.Context, order <-chan *batch[T]) error {
	for b := range order {
		select {
		case <-b.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.Collect(b.items); err != nil {
			return err
		}
	}
	return nil
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batcher gathers items into batches.
type batcher[T any] struct {
	emit  func([]T) error
	most  int // items
	items []T
	bytes int64
}

func (b *batcher[T]) add(item T, bytes int64) error {
	b.items = append(b.items, item)
	if b.bytes += bytes; len(b.items) < b.most && b.bytes < batchBytes {
		return nil
	}
	return b.flush()
}

func (b *batcher[T]) flush() error {
	if len(b.items) == 0 {
		return nil
	}
	items := b.items
	b.items, b.bytes = make([]T, 0, b.most), 0
	return b.emit(items)
}
