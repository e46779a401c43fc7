//go:build e2e

package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

func TestWhoAsks(t *testing.T) {
	s := objectstore.Start(t)
	for name, f := range map[string]struct {
		change func(*s3.Options)
		want   s3.Problem
	}{
		"no such key":         {func(o *s3.Options) { o.Credentials.AccessKey = "nobody" }, s3.Denied},
		"another secret":      {func(o *s3.Options) { o.Credentials.SecretKey = "another" }, s3.Denied},
		"without a signature": {func(o *s3.Options) { o.Credentials = s3.Credentials{} }, s3.Denied},
		"no such bucket":      {func(o *s3.Options) { o.Bucket = "none" }, s3.NotFound},
		"another region":      {func(o *s3.Options) { o.Region = "us-east-1" }, s3.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, s, f.change)
			for _, err := range []error{c.Check(t.Context(), ""), put(t.Context(), c, "k", []byte("x"))} {
				assert.Equal(t, f.want, problemOf(err), "%v", err)
				require.Error(t, err)
				assert.NotContains(t, err.Error(), s.SecretKey)
				t.Log(err)
			}
		})
	}
}

func TestBytesThatChangeOnTheWay(t *testing.T) {
	for name, change := range map[string]func(*s3.Options){
		"with checksums": func(*s3.Options) {}, "without, since what is sent is signed": func(o *s3.Options) { o.NoChecksums = true },
	} {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			c := connect(t, objectstore.Start(t, objectstore.Through(faults)), change)
			for _, size := range []int{100_000, 12 << 20} {
				data := bytesOf(size)
				require.NoError(t, c.Check(t.Context(), ""))
				faults.Times(1, objectstore.Method(http.MethodPut), objectstore.FlipRequest(size/3))
				require.NoError(t, put(t.Context(), c, "k", data), "they are sent again")
				stored, err := c.Read(t.Context(), "k", int64(size))
				require.NoError(t, err)
				assert.Equal(t, sumOf(data), sumOf(stored))
			}
		})
	}
}

func TestObjectLock(t *testing.T) {
	s := objectstore.Start(t, objectstore.ObjectLock())
	for name, change := range map[string]func(*s3.Options){
		"as usual": func(*s3.Options) {}, "without checksums": func(o *s3.Options) { o.NoChecksums = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, s, change)
			soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
			for _, lock := range []s3.Lock{{Until: soon}, {Compliance: true, Until: soon}} {
				prefix := fmt.Sprintf("%s/%v/", name, lock.Compliance)
				large := bytesOf(6 << 20)
				require.NoError(t, c.Create(t.Context(), prefix+"created", []byte("x"), &lock))
				require.NoError(t, c.Put(t.Context(), prefix+"put", strings.NewReader("x"), 1, sumOf([]byte("x")), &lock))
				require.NoError(t, c.Put(t.Context(), prefix+"parts", bytes.NewReader(large), int64(len(large)), sumOf(large), &lock))
				for _, key := range keysOf(t, c, prefix, true) {
					got, err := c.Retention(t.Context(), key)
					require.NoError(t, err, key)
					require.NotNil(t, got, key)
					assert.Equal(t, lock.Compliance, got.Compliance, key)
					assert.True(t, lock.Until.Equal(got.Until), "%s: %v", key, got.Until)

					later := s3.Lock{Compliance: lock.Compliance, Until: soon.Add(time.Hour)}
					require.NoError(t, c.Retain(t.Context(), key, later))
					got, err = c.Retention(t.Context(), key)
					require.NoError(t, err)
					assert.True(t, later.Until.Equal(got.Until), key)
				}
			}
			compliance := name + "/true/put"
			err := c.Retain(t.Context(), compliance, s3.Lock{Compliance: true, Until: soon})
			assert.Equal(t, s3.Denied, problemOf(err), "a lock is not shortened: %v", err)
			refused, err := c.Delete(t.Context(), []string{compliance})
			require.NoError(t, err)
			assert.Empty(t, refused, "a delete marker hides it, and is allowed")
			_, err = c.Stat(t.Context(), compliance)
			assert.ErrorIs(t, err, os.ErrNotExist)
			none, err := c.Retention(t.Context(), name+"/true/parts")
			require.NoError(t, err)
			assert.NotNil(t, none)
		})
	}
}

func TestNoObjectLock(t *testing.T) {
	c := connect(t, objectstore.Start(t))
	require.NoError(t, put(t.Context(), c, "k", []byte("x")))
	lock, err := c.Retention(t.Context(), "k")
	require.NoError(t, err)
	assert.Nil(t, lock)
	soon := s3.Lock{Until: time.Now().Add(time.Hour)}
	for name, err := range map[string]error{
		"a new object":           c.Create(t.Context(), "l", []byte("x"), &soon),
		"one that there is":      c.Retain(t.Context(), "k", soon),
		"one that is sent again": c.Put(t.Context(), "k", strings.NewReader("x"), 1, sumOf([]byte("x")), &soon),
	} {
		assert.Equal(t, s3.Incompatible, problemOf(err), "%s: %v", name, err)
	}
}

// endless is content that is nowhere in memory.
type endless struct{}

func (endless) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte((off + int64(i)) >> 8 * 31)
	}
	return len(p), nil
}

// TestMemory has nothing but the client in this process: the object store is another.
func TestMemory(t *testing.T) {
	const size, workers = 300 << 20, 16
	c := connect(t, objectstore.Start(t), func(o *s3.Options) { o.PartSize = 0 })
	require.NoError(t, c.Check(t.Context(), ""))
	h := sha256.New()
	_, err := io.Copy(h, io.NewSectionReader(endless{}, 0, size))
	require.NoError(t, err)
	sum := hex.EncodeToString(h.Sum(nil))
	h.Reset()
	_, err = io.Copy(h, io.NewSectionReader(endless{}, 0, 12<<20))
	require.NoError(t, err)
	small := hex.EncodeToString(h.Sum(nil))
	debug.FreeOSMemory()                                                      // of other tests
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // the peak begins now
	before := statusOf(t, "VmRSS")

	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, c.Put(t.Context(), "large", endless{}, size, sum, nil)) })
	for i := range workers - 1 {
		wg.Go(func() {
			for j := range 2 {
				assert.NoError(t, c.Put(t.Context(), fmt.Sprint("small", i, j), endless{}, 12<<20, small, nil))
			}
		})
	}
	wg.Wait()
	peak := statusOf(t, "VmHWM")
	t.Logf("%d MiB and %d of 12 MiB by %d workers: %d MiB before, at most %d MiB", size>>20, 2*(workers-1), workers, before>>10, peak>>10)
	assert.Less(t, peak-before, 32<<10, "in KiB; no part is ever in memory")
	o, err := c.Stat(t.Context(), "large")
	require.NoError(t, err)
	assert.EqualValues(t, size, o.Size)
}

func statusOf(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	match := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, match)
	n, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	return n
}
