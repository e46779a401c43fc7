package archive

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
)

// hostile is a bucket that says what costs its reader most.
type hostile struct {
	objects
	runs int // how many it lists
}

func (h hostile) List(_ context.Context, prefix string, _ bool) iter.Seq2[s3.Object, error] {
	return func(yield func(s3.Object, error) bool) {
		for i := range h.runs {
			if !yield(s3.Object{Key: fmt.Sprintf("%s%09d/", prefix, i)}, nil) {
				return
			}
		}
	}
}

func (h hostile) Stat(ctx context.Context, key string) (s3.Object, error) {
	o, err := h.objects.Stat(ctx, key)
	if strings.HasSuffix(key, "/MTREE") {
		o.Size = 1 << 60
	}
	return o, err
}

// TestTooManyRuns: more runs than a backup can have are not read.
func TestTooManyRuns(t *testing.T) {
	b := openBucket(t)
	before := b.Requests()
	_, err := newBucket(hostile{b.objects, maxRuns + 1}, b.name, "p").Runs(t.Context())
	isProblem(t, err, BucketIncompatible, "a bound")
	assert.ErrorContains(t, err, "more than 100000 runs")
	assert.Equal(t, before, b.Requests())
}

// TestFetchOfALargeList: there is room for a list before it is written.
func TestFetchOfALargeList(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	b := openBucket(t)
	copyRuns(t, b, f.volume, "r1")
	b.objects = hostile{b.objects, 0}
	v, err := OpenVolume(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	_, err = b.Fetch(t.Context(), v, CopyOptions{Runs: []string{"r1"}}, "test")
	var full *NoSpaceError
	require.ErrorAs(t, err, &full)
	assert.GreaterOrEqual(t, full.NeededBytes, uint64(1<<60))
}

// TestMoreObjectsThanTold: a run has no more objects, and they no more bytes, than its manifest says.
func TestMoreObjectsThanTold(t *testing.T) {
	id := identity(t)
	for name, recipients := range map[string][]string{"Plain": nil, "Encrypted": {id.Recipient().String()}} {
		f := newFixture(t)
		f.addSome()
		f.opts.Recipients = recipients
		r := f.write("r1")
		b := openBucket(t)
		copyRuns(t, b, f.volume, "r1")
		for _, store := range []Store{f.volume, b} {
			t.Run(name+" of "+store.String()[:4], func(t *testing.T) {
				run, err := store.OpenRun(t.Context(), "r1")
				require.NoError(t, err)
				defer run.Close()
				_, err = run.Objects(t.Context(), id)
				require.NoError(t, err)
				for what, change := range map[string]func(m *Manifest){
					"it lists more than 2 objects": func(m *Manifest) { m.Totals.Objects-- },
					"more": func(m *Manifest) {
						m.Totals.ObjectBytes--
						if recipients != nil { // beyond what encryption may add
							m.Totals.ObjectBytes -= m.Totals.Objects * 64 << 10
						}
					},
				} {
					told := *r.Manifest
					change(&told)
					run.info.Manifest = &told
					_, err = run.Objects(t.Context(), id)
					var damaged *IntegrityError
					require.ErrorAs(t, err, &damaged)
					assert.ErrorContains(t, err, what)
				}
			})
		}
	}
}
