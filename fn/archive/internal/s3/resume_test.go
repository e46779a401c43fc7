package s3_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

const partSize = 5 << 20 // of connect

func isPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}

func isAbort(r *http.Request) bool {
	return r.Method == http.MethodDelete && r.URL.Query().Has("uploadId")
}

func all(string) bool { return true }

// counted has a client's connections add up what is sent on them.
func counted(sum *atomic.Int64) func(*s3.Options) {
	return func(o *s3.Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return countedConn{conn, sum}, err
		}
	}
}

type countedConn struct {
	net.Conn
	sum *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sum.Add(int64(n))
	return n, err
}

// interrupted sends data until some parts are there, and then is ended.
func interrupted(t *testing.T, faults *objectstore.Faults, c *s3.Client, key string, data []byte, parts int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sent atomic.Int64
	arrived := make(chan struct{}, parts)
	faults.Always(isPart, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		n := int(sent.Add(1))
		if n <= parts {
			next.ServeHTTP(w, r)
			arrived <- struct{}{}
			return
		}
		if n == parts+1 {
			for range parts {
				<-arrived
			}
			cancel()
		}
		faults.Hang(w, r, next)
	})
	require.ErrorIs(t, put(ctx, c, key, data), context.Canceled)
	faults.Clear()
}

// TestUploadGoesOn: what an interrupted call has sent of a large object is not sent again, whatever others did to it
// meanwhile, and what is stored in the end has the digest.
func TestUploadGoesOn(t *testing.T) {
	const whole, there = 6, 3 // parts
	cases := map[string]struct {
		reason  string
		options func(*s3.Options)
		between func(t *testing.T, faults *objectstore.Faults, c *s3.Client)
		most    int64 // bytes that the second call sends
	}{
		"as usual":          {"Parts are compared by what the object store tells of them", nil, nil, (whole - there) * partSize},
		"without checksums": {"It names them by MD5", func(o *s3.Options) { o.NoChecksums = true }, nil, (whole - there) * partSize},
		"other bytes": {
			"An earlier file of that name was damaged", nil,
			func(t *testing.T, faults *objectstore.Faults, c *s3.Client) {
				t.Helper()
				interrupted(t, faults, c, "p/k", make([]byte, whole*partSize), there)
			}, whole * partSize,
		},
		"nobody may list": {
			"A policy may not have the right", nil,
			func(_ *testing.T, faults *objectstore.Faults, _ *s3.Client) {
				faults.Always(func(r *http.Request) bool { return r.URL.Query().Has("uploads") && r.Method == http.MethodGet }, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
			}, whole * partSize,
		},
		"lists fail": {
			"What has no list can be copied all the same", nil,
			func(_ *testing.T, faults *objectstore.Faults, _ *s3.Client) {
				faults.Always(func(r *http.Request) bool { return r.URL.Query().Has("uploads") && r.Method == http.MethodGet }, objectstore.Answer(http.StatusGone, "Whatever"))
			}, whole * partSize,
		},
		"ended meanwhile": {
			"Buckets have rules for what is left", nil,
			func(t *testing.T, faults *objectstore.Faults, _ *s3.Client) {
				t.Helper()
				faults.Times(1, isPart, objectstore.Answer(http.StatusNotFound, "NoSuchUpload"))
			}, (whole - there + whole) * partSize,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			server := objectstore.Start(t, objectstore.Through(faults))
			change := func(o *s3.Options) {
				if tc.options != nil {
					tc.options(o)
				}
			}
			data := bytesOf(whole * partSize)
			first := connect(t, server, change)
			require.NoError(t, first.FindUploads(t.Context(), "p/", all))
			interrupted(t, faults, first, "p/k", data, there)
			if tc.between != nil {
				tc.between(t, faults, first)
			}
			var sent atomic.Int64
			second := connect(t, server, change, counted(&sent))
			require.NoError(t, second.FindUploads(t.Context(), "p/", all))
			require.NoError(t, put(t.Context(), second, "p/k", data), tc.reason)
			const headers = 64 << 10
			assert.LessOrEqual(t, sent.Load(), tc.most+headers, tc.reason)
			stored, err := second.Read(t.Context(), "p/k", int64(len(data)))
			require.NoError(t, err)
			assert.Equal(t, sumOf(data), sumOf(stored))
		})
	}
}

// TestUploadsAreAbandoned: what nobody goes on with is aborted, if it is ours and nothing else; without a look for
// uploads, an interrupted one is aborted at once.
func TestUploadsAreAbandoned(t *testing.T) {
	faults := objectstore.NewFaults()
	server := objectstore.Start(t, objectstore.Through(faults))
	c := connect(t, server)
	require.NoError(t, c.FindUploads(t.Context(), "", all))
	for _, key := range []string{"p/a", "p/b", "p/of another program", "other/c"} {
		interrupted(t, faults, c, key, bytesOf(2*partSize), 1)
	}
	next := connect(t, server)
	require.NoError(t, next.FindUploads(t.Context(), "p/", func(key string) bool { return key == "p/a" || key == "p/b" }))
	require.NoError(t, put(t.Context(), next, "p/a", bytesOf(2*partSize)))
	var aborted atomic.Int64
	faults.Always(isAbort, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		aborted.Add(1)
		assert.Contains(t, r.URL.Path, "/p/b")
		next.ServeHTTP(w, r)
	})
	require.NoError(t, next.AbandonUploads(t.Context()))
	require.NoError(t, next.AbandonUploads(t.Context()), "there are none any more")
	assert.EqualValues(t, 1, aborted.Load())
	faults.Clear()

	faults.Always(isAbort, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		aborted.Add(1)
		next.ServeHTTP(w, r)
	})
	blind := connect(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	faults.Always(isPart, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		cancel()
		faults.Hang(w, r, next)
	})
	require.ErrorIs(t, put(ctx, blind, "p/d", bytesOf(2*partSize)), context.Canceled)
	assert.EqualValues(t, 2, aborted.Load())
}

// TestUploadWithLockIsBegunAnew: a lock is that of when the upload began.
func TestUploadWithLockIsBegunAnew(t *testing.T) {
	faults := objectstore.NewFaults()
	server := objectstore.Start(t, objectstore.Through(faults))
	c := connect(t, server)
	require.NoError(t, c.FindUploads(t.Context(), "", all))
	data := bytesOf(2 * partSize)
	interrupted(t, faults, c, "k", data, 1)
	next := connect(t, server)
	require.NoError(t, next.FindUploads(t.Context(), "", all))
	var begun atomic.Int64
	faults.Always(func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") }, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		begun.Add(1)
		next.ServeHTTP(w, r)
	})
	_ = next.Put(t.Context(), "k", bytes.NewReader(data), int64(len(data)), sumOf(data), &s3.Lock{Until: time.Now().Add(time.Hour)}) // this bucket has no locks
	assert.EqualValues(t, 1, begun.Load())
}
