package archive

import (
	"context"
	"math/rand/v2"
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

// sentConn adds up what is sent.
type sentConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c sentConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// openInParts opens a bucket into which files go in parts of 5 MiB, and counts what is sent.
func openInParts(t *testing.T, s *objectstore.Server) (*Bucket, *atomic.Int64) {
	t.Helper()
	sent := &atomic.Int64{}
	client, err := s3.New(s3.Options{
		Endpoint: s.Endpoint, Bucket: s.Bucket, PathStyle: true, Insecure: true, PartSize: 5 << 20,
		Credentials: s3.Credentials{AccessKey: s.AccessKey, SecretKey: s.SecretKey},
		Backoff:     s3.Backoff{First: time.Millisecond, Longest: 4 * time.Millisecond, Patience: 30 * time.Second},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return sentConn{conn, sent}, err
		},
	})
	require.NoError(t, err)
	b := newBucket(client, "s3://"+s.Bucket+"/p", "p")
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b, sent
}

// TestLargeFileGoesOn: a file that takes longer than there is time between two runs is sent in the end. What was sent of
// one that no run to be copied has is ended.
func TestLargeFileGoesOn(t *testing.T) {
	const part, whole = 5 << 20, 20 << 20
	f, faults := newFixture(t), objectstore.NewFaults()
	f.addSome()
	f.write("r1")
	content := make([]byte, whole)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	f.add("large", string(content))
	f.write("r2")
	for next, tc := range map[string]struct {
		reason string
		most   int64 // bytes that the next copy sends
		ended  int32 // uploads
	}{
		"r1": {"It is of the other run", part, 1},
		"r2": {"Two parts at least had arrived", whole - 2*part + part/2, 0},
	} {
		t.Run(next, func(t *testing.T) {
			faults.Clear()
			server := objectstore.Start(t, objectstore.Through(faults))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var arrived, ended atomic.Int32
			faults.Always(func(r *http.Request) bool { return r.URL.Query().Has("partNumber") }, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				next.ServeHTTP(w, r)
				if arrived.Add(1) == 2 {
					cancel()
				}
			})
			b, _ := openInParts(t, server)
			_, err := b.Copy(ctx, f.volume, CopyOptions{Runs: []string{"r2"}, Owner: testOwner})
			require.ErrorIs(t, err, context.Canceled)
			faults.Clear()
			faults.Always(objectstore.Method(http.MethodDelete), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				ended.Add(1)
				next.ServeHTTP(w, r)
			})
			b, sent := openInParts(t, server)
			result := copyRuns(t, b, f.volume, next)
			assert.Empty(t, result.Warnings)
			assert.LessOrEqual(t, sent.Load(), tc.most, tc.reason)
			assert.Equal(t, tc.ended, ended.Load(), tc.reason)
			sound(t, b)
		})
	}
}
