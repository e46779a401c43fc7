package archive

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// pipeline has workers treat batches in parallel and collects them in the order in which they were produced.
type pipeline[T any] struct {
	workers int
	produce func(ctx context.Context, emit func([]T) error) error
	worker  func() (work func(context.Context, []T) error, done func())
	collect func([]T) error
}

const (
	batchItems = 64      // items that a worker treats at a time
	batchBytes = 8 << 20 // bytes likewise, unless a single item has more
)

type batch[T any] struct {
	items []T
	ready chan struct{}
}

// run returns when all batches are collected, or with the first error.
func (p pipeline[T]) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	workers := max(1, p.workers)
	todo := make(chan *batch[T], workers)
	order := make(chan *batch[T], 4*workers) // bounds what is in memory
	g.Go(func() error {
		defer close(todo)
		defer close(order)
		return p.produce(ctx, func(items []T) error {
			b := &batch[T]{items: items, ready: make(chan struct{})}
			if err := send(ctx, order, b); err != nil {
				return err
			}
			return send(ctx, todo, b)
		})
	})
	for range workers {
		g.Go(func() error { return p.drain(ctx, todo) })
	}
	g.Go(func() error { return p.gather(ctx, order) })
	return g.Wait()
}

func (p pipeline[T]) drain(ctx context.Context, todo <-chan *batch[T]) error {
	work, done := p.worker()
	defer done()
	for b := range todo {
		if err := work(ctx, b.items); err != nil {
			return err
		}
		close(b.ready)
	}
	return nil
}

func (p pipeline[T]) gather(ctx context.Context, order <-chan *batch[T]) error {
	for b := range order {
		select {
		case <-b.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.collect(b.items); err != nil {
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
	items []T
	bytes int64
}

// add appends an item that stands for so many bytes of work.
func (b *batcher[T]) add(item T, bytes int64) error {
	b.items = append(b.items, item)
	if b.bytes += bytes; len(b.items) < batchItems && b.bytes < batchBytes {
		return nil
	}
	return b.flush()
}

// flush emits what is left.
func (b *batcher[T]) flush() error {
	if len(b.items) == 0 {
		return nil
	}
	items := b.items
	b.items, b.bytes = make([]T, 0, batchItems), 0
	return b.emit(items)
}
