package parallel

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errBoom = errors.New("boom")

// numbers is a pipeline that doubles the numbers up to n.
func numbers(n int, collect func([]int) error) Pipeline[int] {
	return Pipeline[int]{
		Workers: 4,
		Produce: func(_ context.Context, add func(int, int64) error) error {
			for i := range n {
				if err := add(i, 1); err != nil {
					return err
				}
			}
			return nil
		},
		Worker: func() (func(context.Context, *int) error, func()) {
			return func(_ context.Context, item *int) error {
				*item *= 2
				return nil
			}, func() {}
		},
		Collect: collect,
	}
}

func TestPipelineKeepsTheOrder(t *testing.T) {
	for _, n := range []int{0, 1, BatchItems, 100*BatchItems + 1} {
		next := 0
		err := numbers(n, func(items []int) error {
			for _, item := range items {
				require.Equal(t, 2*next, item)
				next++
			}
			return nil
		}).Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, n, next)
	}
}

func TestPipelineFails(t *testing.T) {
	const many = 1000 * BatchItems
	ignore := func([]int) error { return nil }
	cases := map[string]struct {
		reason string
		change func(*Pipeline[int])
	}{
		"Produce": {"An error of the producer ends all", func(p *Pipeline[int]) {
			p.Produce = func(_ context.Context, add func(int, int64) error) error {
				return errors.Join(add(1, batchBytes), errBoom)
			}
		}},
		"Worker": {"An error of a worker ends all", func(p *Pipeline[int]) {
			p.Worker = func() (func(context.Context, *int) error, func()) {
				return func(context.Context, *int) error { return errBoom }, func() {}
			}
		}},
		"Collect": {"An error of the collector ends all", func(p *Pipeline[int]) {
			p.Collect = func([]int) error { return errBoom }
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := numbers(many, ignore)
			tc.change(&p)
			assert.ErrorIs(t, p.Run(t.Context()), errBoom, tc.reason)
		})
	}
}

func TestPipelineIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := numbers(1000*BatchItems, func([]int) error {
		cancel()
		return nil
	}).Run(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestPipelineReleasesItsWorkers(t *testing.T) {
	var open atomic.Int32
	p := numbers(10, func([]int) error { return nil })
	work := p.Worker
	p.Worker = func() (func(context.Context, *int) error, func()) {
		open.Add(1)
		do, _ := work()
		return do, func() { open.Add(-1) }
	}
	require.NoError(t, p.Run(t.Context()))
	assert.Zero(t, open.Load())
}

func TestBatcher(t *testing.T) {
	var sizes []int
	b := batcher[int]{most: BatchItems, emit: func(items []int) error { sizes = append(sizes, len(items)); return nil }}
	for range BatchItems + 1 {
		require.NoError(t, b.add(0, 0))
	}
	require.NoError(t, b.add(0, batchBytes))
	require.NoError(t, b.add(0, 1))
	require.NoError(t, b.flush())
	require.NoError(t, b.flush())
	assert.Equal(t, []int{BatchItems, 2, 1}, sizes, "a batch is full by items or by bytes")
}
