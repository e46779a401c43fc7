package archive

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// between is a bucket that something happens to right before the first request of a kind.
type between struct {
	objects
	request string // what it does, and with which key
	do      func()
	done    atomic.Bool
}

func (b *between) before(what, key string) {
	if b.do != nil && strings.Contains(what+" "+key, b.request) && b.done.CompareAndSwap(false, true) {
		b.do()
	}
}

func (b *between) Put(ctx context.Context, key string, data io.ReaderAt, size int64, sum string, lock *s3.Lock) error {
	b.before("put", key)
	return b.objects.Put(ctx, key, data, size, sum, lock)
}

func (b *between) Create(ctx context.Context, key string, data []byte, lock *s3.Lock) error {
	b.before("create", key)
	return b.objects.Create(ctx, key, data, lock)
}

func (b *between) Delete(ctx context.Context, keys []string) ([]s3.Refused, error) {
	b.before("delete", keys[0])
	return b.objects.Delete(ctx, keys)
}

// TestTwoWriters: of two writers the one that began last goes on, and the other one leaves no run without all that it
// refers to, nor a tree that a later copy would take for complete.
func TestTwoWriters(t *testing.T) {
	const treeSums = "put p/trees/"
	cases := map[string]struct {
		reason  string
		request string // of the first writer, before which the second one does all
		removes bool   // the first writer removes; else it copies r1
	}{
		"Blob":     {"What was listed as present may be gone", "put p/blobs/", false},
		"Tree":     {"A list says that the blobs are there", treeSums, false},
		"Manifest": {"A manifest says that all is there", "create p/runs/", false},
		"Delete":   {"What no run referred to may be of a new one", "delete p/runs/", true},
		"Sums":     {"Likewise", "delete p/trees/", true},
		"Blobs":    {"Likewise", "delete p/blobs/", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			f.write("r2") // the same tree
			f.add(aFile, "deny from all")
			f.write("r3")
			server := objectstore.Start(t)
			first, second := reopen(t, server, "p"), reopen(t, server, "p")
			if tc.removes {
				copyRuns(t, reopen(t, server, "p"), f.volume, "r1", "r3")
			} else {
				copyRuns(t, reopen(t, server, "p"), f.volume, "r3")
			}
			first.objects = &between{objects: first.objects, request: tc.request, do: func() {
				if tc.removes {
					copyRuns(t, second, f.volume, "r2")
					return
				}
				copyRuns(t, second, f.volume, "r3", "r2")
				_, err := second.Remove(t.Context(), []string{"r2"})
				assert.NoError(t, err)
			}}
			var err error
			if tc.removes {
				_, err = first.Remove(t.Context(), []string{"r1"})
			} else {
				_, err = first.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r1"}, Owner: testOwner, Workers: 1})
			}
			require.ErrorIs(t, err, ErrTakenOver, tc.reason)
			sound(t, first)
			copyRuns(t, first, f.volume, "r1", "r2", "r3")
			sound(t, first)
		})
	}
}

// TestUnchangedCopyTakesNothing: what sends nothing stops nobody.
func TestUnchangedCopyTakesNothing(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	server := objectstore.Start(t)
	first := reopen(t, server, "p")
	copyRuns(t, first, f.volume, "r1")
	second := reopen(t, server, "p")
	before := second.Requests()
	copyRuns(t, second, f.volume, "r1")
	assert.Less(t, second.Requests()-before, int64(10))
	_, err := first.Remove(t.Context(), []string{"r1"})
	require.NoError(t, err)
}

// TestTakenOverBetweenAttempts: a request that is tried again asks again.
func TestTakenOverBetweenAttempts(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	faults := objectstore.NewFaults()
	server := objectstore.Start(t, objectstore.Through(faults))
	b := patient(t, server)
	attempts := 0
	faults.Always(objectstore.Key("PUT", "/manifest.json"), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		attempts++
		put(t, b, writerName, "another\n")
		objectstore.Answer(http.StatusServiceUnavailable, "SlowDown")(w, r, next)
	})
	_, err := b.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r1"}, Owner: testOwner})
	require.ErrorIs(t, err, ErrTakenOver)
	assert.Equal(t, 1, attempts)
}
