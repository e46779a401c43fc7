package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

func TestMain(m *testing.M) {
	minio.DefaultRetryUnit = 0 // it waits once more when there is nothing more to try
	os.Exit(m.Run())
}

// impatient waits for nobody.
var impatient = s3.Backoff{First: time.Millisecond, Longest: 4 * time.Millisecond, Patience: 30 * time.Second, Idle: 10 * time.Second}

func optionsOf(s *objectstore.Server) s3.Options {
	return s3.Options{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Insecure: s.CA == nil, CA: s.CA, PathStyle: true, PartSize: 5 << 20, Backoff: impatient,
		Credentials: s3.Credentials{AccessKey: s.AccessKey, SecretKey: s.SecretKey},
	}
}

func connect(t testing.TB, s *objectstore.Server, change ...func(*s3.Options)) *s3.Client {
	t.Helper()
	opts := optionsOf(s)
	for _, f := range change {
		f(&opts)
	}
	c, err := s3.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func put(ctx context.Context, c *s3.Client, key string, data []byte) error {
	return c.Put(ctx, key, bytes.NewReader(data), int64(len(data)), sumOf(data), nil)
}

func bytesOf(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(data)
	return data
}

func keysOf(t testing.TB, c *s3.Client, prefix string, recursive bool) (keys []string) {
	t.Helper()
	for o, err := range c.List(t.Context(), prefix, recursive) {
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
	return keys
}

func TestObjects(t *testing.T) {
	for name, change := range map[string]func(*s3.Options){
		"as usual":          func(*s3.Options) {},
		"without checksums": func(o *s3.Options) { o.NoChecksums = true },
		"a region is told":  func(o *s3.Options) { o.Region = "eu-central-1" },
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, objectstore.Start(t), change)
			require.NoError(t, c.Check(t.Context(), "prod/"))
			for _, size := range []int{0, 1, 70_000, 5 << 20, 5<<20 + 1, 11 << 20} {
				data, key := bytesOf(size), fmt.Sprintf("prod/blobs/%d", size)
				require.NoError(t, put(t.Context(), c, key, data), "size %d", size)
				stored, err := c.Read(t.Context(), key, int64(size))
				require.NoError(t, err, "size %d", size)
				require.Equal(t, sumOf(data), sumOf(stored), "size %d", size)
				o, err := c.Stat(t.Context(), key)
				require.NoError(t, err)
				assert.EqualValues(t, size, o.Size)
				assert.WithinDuration(t, time.Now(), o.Modified, time.Minute)
			}
			_, err := c.Read(t.Context(), "prod/blobs/70000", 69_999)
			assert.ErrorContains(t, err, "more than 69999 bytes")
		})
	}
}

func TestNothingThere(t *testing.T) {
	c := connect(t, objectstore.Start(t))
	_, err := c.Get(t.Context(), "none")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = c.Read(t.Context(), "none", 10)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = c.Stat(t.Context(), "none")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.EqualError(t, err, `cannot look at object "none": file does not exist`)
	assert.Empty(t, keysOf(t, c, "none", true))
	refused, err := c.Delete(t.Context(), []string{"none"})
	assert.NoError(t, err)
	assert.Empty(t, refused)
}

func TestCreateOnlyOnce(t *testing.T) {
	c := connect(t, objectstore.Start(t))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []string
	for i := range 8 {
		wg.Go(func() {
			me := fmt.Sprint(i)
			err := c.Create(t.Context(), "OWNER", []byte(me), nil)
			if err != nil {
				assert.ErrorIs(t, err, fs.ErrExist)
				return
			}
			mu.Lock()
			won = append(won, me)
			mu.Unlock()
		})
	}
	wg.Wait()
	stored, err := c.Read(t.Context(), "OWNER", 10)
	require.NoError(t, err)
	assert.Equal(t, []string{string(stored)}, won, "one is told that it created what there is")
}

func TestCreateIsToldOfAnother(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	require.NoError(t, c.Create(t.Context(), "OWNER", []byte("one"), nil))
	for name, fault := range map[string]objectstore.Fault{"no answer": objectstore.LoseAnswer, "no request": objectstore.Disconnect} {
		faults.Times(1, objectstore.Method("PUT"), fault)
		assert.ErrorIs(t, c.Create(t.Context(), "OWNER", []byte("two"), nil), fs.ErrExist, name)
		faults.Times(1, objectstore.Method("PUT"), fault)
		assert.NoError(t, c.Create(t.Context(), "OWNER", []byte("one"), nil), "%s: it may have been this attempt", name)
	}
}

func TestOtherBytes(t *testing.T) {
	c := connect(t, objectstore.Start(t))
	for _, size := range []int{0, 5, 11 << 20} {
		for name, err := range map[string]error{
			"changed": c.Put(t.Context(), "k", bytes.NewReader(bytesOf(size)), int64(size), sumOf([]byte("other")), nil),
			"shorter": c.Put(t.Context(), "k", bytes.NewReader(bytesOf(size)), int64(size)+1, sumOf(bytesOf(size+1)), nil),
		} {
			assert.ErrorIs(t, err, s3.ErrDigest, "size %d %s", size, name)
			_, err = c.Stat(t.Context(), "k")
			assert.ErrorIs(t, err, fs.ErrNotExist, "nothing is written, size %d %s", size, name)
		}
	}
	gone := errors.New("the volume is gone")
	err := c.Put(t.Context(), "k", failing{gone}, 100, sumOf(nil), nil)
	assert.ErrorIs(t, err, gone, "what fails here is not the object store's fault")
	assert.NotErrorAs(t, err, new(*s3.Error))
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestList(t *testing.T) {
	c := connect(t, objectstore.Start(t))
	var want []string
	for i := range 1100 {
		key := fmt.Sprintf("p/blobs/%04d", i)
		want = append(want, key)
		require.NoError(t, put(t.Context(), c, key, nil))
	}
	for _, key := range []string{"p/OWNER", "p/runs/a b+c%2F/ü", "p/runs/b/manifest.json", "q/other"} {
		require.NoError(t, put(t.Context(), c, key, []byte("12345")))
	}
	assert.Equal(t, want, keysOf(t, c, "p/blobs/", true), "two pages")
	assert.Equal(t, []string{"p/runs/a b+c%2F/ü", "p/runs/b/manifest.json"}, keysOf(t, c, "p/runs/", true))
	assert.ElementsMatch(t, []string{"p/OWNER", "p/blobs/", "p/runs/"}, keysOf(t, c, "p/", false))
	for o, err := range c.List(t.Context(), "p/", true) {
		require.NoError(t, err)
		assert.Equal(t, "p/OWNER", o.Key, "who stops early is asked for no more")
		assert.EqualValues(t, 5, o.Size)
		break
	}
	before := c.Requests()
	refused, err := c.Delete(t.Context(), want)
	require.NoError(t, err)
	assert.Empty(t, refused)
	assert.EqualValues(t, 2, c.Requests()-before, "a thousand in a request")
	assert.Empty(t, keysOf(t, c, "p/blobs/", true))
}

func TestFaultsThatPass(t *testing.T) {
	data := bytesOf(300_000)
	large := bytesOf(6 << 20)
	for name, f := range map[string]struct {
		fault objectstore.Fault
		times int
	}{
		"it is busy":                         {objectstore.Answer(503, "SlowDown"), 10},
		"there are too many requests":        {objectstore.Answer(429, "TooManyRequests"), 10},
		"it fails":                           {objectstore.Answer(500, "InternalError"), 3},
		"what is before it has none":         {objectstore.Status(502), 3},
		"what is before it waits in vain":    {objectstore.Status(504), 3},
		"it ends connections":                {objectstore.Disconnect, 3},
		"answers are lost":                   {objectstore.LoseAnswer, 1},
		"answers end after their first byte": {objectstore.EndAfter(1), 2},
	} {
		faults := objectstore.NewFaults()
		c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
		for what, do := range map[string]func(ctx context.Context) error{
			"check":  func(ctx context.Context) error { return c.Check(ctx, "") },
			"create": func(ctx context.Context) error { return c.Create(ctx, "created", data, nil) },
			"put":    func(ctx context.Context) error { return put(ctx, c, "put", data) },
			"parts":  func(ctx context.Context) error { return put(ctx, c, "parts", large) },
			"read": func(ctx context.Context) error {
				stored, err := c.Read(ctx, "read", 1<<20)
				assert.Equal(t, sumOf(data), sumOf(stored))
				return err
			},
			"stat":   func(ctx context.Context) error { _, err := c.Stat(ctx, "read"); return err },
			"list":   func(ctx context.Context) error { return listed(t, c, "list/", "list/a", "list/b") },
			"delete": func(ctx context.Context) error { _, err := c.Delete(ctx, []string{"list/c", "list/d"}); return err },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				faults.Clear()
				for _, key := range []string{"read", "list/a", "list/b"} {
					require.NoError(t, put(t.Context(), c, key, data))
				}
				faults.Times(f.times, objectstore.Any, f.fault)
				require.NoError(t, do(t.Context()))
			})
		}
		for key, want := range map[string][]byte{"created": data, "put": data, "parts": large} {
			stored, err := c.Read(t.Context(), key, 20<<20)
			require.NoError(t, err, "%s: %s", name, key)
			assert.Equal(t, sumOf(want), sumOf(stored), "%s: %s", name, key)
		}
	}
}

func listed(t *testing.T, c *s3.Client, prefix string, want ...string) error {
	t.Helper()
	var keys []string
	for o, err := range c.List(t.Context(), prefix, true) {
		if err != nil {
			return err
		}
		keys = append(keys, o.Key)
	}
	assert.Equal(t, want, keys)
	return nil
}

func TestFaultsThatStay(t *testing.T) {
	for name, f := range map[string]struct {
		fault objectstore.Fault
		want  s3.Problem
		tries bool // it is tried again
	}{
		"the bucket does not exist":             {objectstore.Answer(404, "NoSuchBucket"), s3.NotFound, false},
		"nobody knows it":                       {objectstore.Answer(404, "NoSuchTenant"), s3.NotFound, false},
		"a proxy does not know it":              {objectstore.Status(404), s3.NotFound, false},
		"it is in another region":               {objectstore.Answer(301, "PermanentRedirect"), s3.NotFound, false},
		"the access key is wrong":               {objectstore.Answer(403, "InvalidAccessKeyId"), s3.Denied, false},
		"the secret key is wrong":               {objectstore.Answer(403, "SignatureDoesNotMatch"), s3.Denied, false},
		"a right is missing":                    {objectstore.Answer(403, "AccessDenied"), s3.Denied, false},
		"the session ended":                     {objectstore.Answer(400, "ExpiredToken"), s3.Denied, false},
		"a proxy refuses":                       {objectstore.Status(403), s3.Denied, false},
		"the clock is wrong":                    {objectstore.Answer(403, "RequestTimeTooSkewed"), s3.ClockSkew, false},
		"the quota is used up":                  {objectstore.Answer(403, "QuotaExceeded"), s3.Full, false},
		"the disk is full":                      {objectstore.Answer(507, "XMinioStorageFull"), s3.Full, false},
		"the status says that the disk is full": {objectstore.Status(507), s3.Full, false},
		"a header is not known":                 {objectstore.Answer(501, "NotImplemented"), s3.Incompatible, false},
		"the bucket has no object lock":         {objectstore.Answer(400, "InvalidRequest"), s3.Incompatible, false},
		"it is busy for too long":               {objectstore.Answer(503, "SlowDown"), s3.Unreachable, true},
		"it ends all connections":               {objectstore.Disconnect, s3.Unreachable, true},
	} {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			server := objectstore.Start(t, objectstore.Through(faults))
			c := connect(t, server, func(o *s3.Options) { o.Backoff.Patience = 50 * time.Millisecond })
			require.NoError(t, c.Check(t.Context(), ""))
			faults.Always(objectstore.Any, f.fault)
			before := c.Requests()
			_, readErr := c.Read(t.Context(), "read", 10)
			if !f.tries {
				assert.EqualValues(t, 1, c.Requests()-before, "it is not tried again")
			} else {
				assert.Greater(t, c.Requests()-before, int64(1), "it is tried again")
			}
			_, statErr := c.Stat(t.Context(), "read")
			for _, err := range []error{
				readErr, statErr, c.Check(t.Context(), ""), c.Create(t.Context(), "k", []byte("x"), nil),
				put(t.Context(), c, "k", []byte("x")), put(t.Context(), c, "l", bytesOf(6<<20)),
			} {
				var failed *s3.Error
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, f.want, failed.Problem, "%v", err)
				assert.NotErrorIs(t, err, fs.ErrNotExist)
				assert.NotContains(t, err.Error(), server.AccessKey)
				assert.NotContains(t, err.Error(), "\n")
				assert.NotContains(t, err.Error(), "Signature=")
			}
		})
	}
}

func TestDownload(t *testing.T) {
	data := bytesOf(200_000)
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	require.NoError(t, put(t.Context(), c, "k", data))
	read := func() (string, error) {
		stored, err := c.Read(t.Context(), "k", 1<<20)
		return sumOf(stored), err
	}

	t.Run("goes on where it ended", func(t *testing.T) {
		faults.Clear()
		faults.Times(20, objectstore.Key("GET", "/k"), objectstore.EndAfter(9_000))
		var ranges []string
		faults.Always(func(r *http.Request) bool { ranges = append(ranges, r.Header.Get("Range")); return false }, nil)
		sum, err := read()
		require.NoError(t, err)
		assert.Equal(t, sumOf(data), sum)
		assert.Contains(t, ranges, "bytes=180000-", "what was there is not read again")
	})
	t.Run("gives up when nothing more comes", func(t *testing.T) {
		faults.Clear()
		faults.Always(objectstore.Key("GET", "/k"), objectstore.EndAfter(0))
		before := c.Requests()
		_, err := read()
		var failed *s3.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, s3.Unreachable, failed.Problem)
		assert.Less(t, c.Requests()-before, int64(10))
	})
	t.Run("is not mixed from two objects", func(t *testing.T) {
		faults.Clear()
		faults.Times(1, objectstore.Key("GET", "/k"), objectstore.EndAfter(9_000))
		r, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		defer r.Close()
		_, err = io.ReadFull(r, make([]byte, 9_000))
		require.NoError(t, err)
		require.NoError(t, put(t.Context(), c, "k", bytesOf(200_001)))
		_, err = io.ReadAll(r)
		assert.ErrorContains(t, err, "it was replaced meanwhile")
		require.NoError(t, put(t.Context(), c, "k", data))
	})
	t.Run("is as long as the server says", func(t *testing.T) {
		faults.Clear()
		faults.Times(1, objectstore.Key("GET", "/k"), objectstore.Truncate(9_000))
		sum, err := read()
		require.NoError(t, err)
		assert.Equal(t, sumOf(data[:9_000]), sum, "only who knows the size sees it")
	})
	t.Run("has the bytes of the server", func(t *testing.T) {
		faults.Clear()
		faults.Times(1, objectstore.Key("GET", "/k"), objectstore.Flip(100))
		sum, err := read()
		require.NoError(t, err)
		assert.NotEqual(t, sumOf(data), sum, "only who knows the digest sees it")
	})
}

func TestListGoesOnInTheMiddle(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	var want []string
	for i := range 1005 {
		want = append(want, fmt.Sprintf("p/%04d/x", i))
		require.NoError(t, put(t.Context(), c, want[i], nil))
	}
	secondPage := func(r *http.Request) bool { return r.URL.Query().Has("continuation-token") }
	for _, fault := range []objectstore.Fault{objectstore.Answer(503, "SlowDown"), objectstore.EndAfter(100), objectstore.Disconnect} {
		faults.Times(1, secondPage, fault)
		assert.Equal(t, want, keysOf(t, c, "p/", true))
		faults.Times(1, secondPage, fault)
		prefixes := keysOf(t, c, "p/", false)
		assert.Len(t, prefixes, len(want))
		assert.Len(t, slices.Compact(prefixes), len(want), "none twice")
	}
}

func TestListHasPatienceForEachPage(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)), func(o *s3.Options) { o.Backoff.Patience = 100 * time.Millisecond })
	for i := range 1005 {
		require.NoError(t, put(t.Context(), c, fmt.Sprintf("%04d", i), nil))
	}
	faults.Times(1, func(r *http.Request) bool { return r.URL.Query().Has("continuation-token") }, objectstore.Answer(503, "SlowDown"))
	n, slow := 0, time.NewTimer(150*time.Millisecond)
	for _, err := range c.List(t.Context(), "", true) {
		require.NoError(t, err)
		if n++; n == 1000 {
			<-slow.C // who lists takes longer than a page may fail
		}
	}
	assert.Equal(t, 1005, n)

	faults.Always(func(r *http.Request) bool { return r.URL.Query().Get("list-type") == "2" }, objectstore.Answer(403, "AccessDenied"))
	for _, err := range c.List(t.Context(), "", true) {
		assert.Equal(t, s3.Denied, problemOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	faults.Clear()
	var last error
	for _, err := range c.List(ctx, "", true) {
		cancel()
		last = err
	}
	assert.ErrorIs(t, last, context.Canceled, "a list that was cancelled is not a short one")
}

func TestRefusedDeletes(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	require.NoError(t, put(t.Context(), c, "a", nil))
	require.NoError(t, put(t.Context(), c, "b", nil))
	faults.Times(1, objectstore.Deletes, objectstore.RefuseDeletes)
	refused, err := c.Delete(t.Context(), []string{"a", "b"})
	require.NoError(t, err)
	require.Len(t, refused, 2)
	assert.Equal(t, "a", refused[0].Key)
	assert.ErrorContains(t, refused[0].Err, "AccessDenied")
	assert.Equal(t, []string{"a", "b"}, keysOf(t, c, "", true))

	faults.Times(1, objectstore.Deletes, objectstore.Answer(403, "AccessDenied"))
	refused, err = c.Delete(t.Context(), []string{"a", "b"})
	require.NoError(t, err, "the request as a whole")
	assert.Len(t, refused, 2)

	faults.Times(1, objectstore.Deletes, objectstore.Answer(403, "InvalidAccessKeyId"))
	_, err = c.Delete(t.Context(), []string{"a", "b"})
	assert.Equal(t, s3.Denied, problemOf(err), "that is not about the objects")
}

func problemOf(err error) s3.Problem {
	if failed, ok := errors.AsType[*s3.Error](err); ok {
		return failed.Problem
	}
	return ""
}

func TestHang(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)), func(o *s3.Options) { o.Backoff.Idle = 100 * time.Millisecond })
	require.NoError(t, put(t.Context(), c, "k", []byte("x")))

	faults.Times(1, objectstore.Any, faults.Hang)
	_, err := c.Stat(t.Context(), "k")
	require.NoError(t, err, "it counts as broken, and is tried again")

	faults.Always(objectstore.Any, faults.Hang)
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errors.New("enough")) })
	assert.ErrorContains(t, c.Check(ctx, ""), "enough")
}

func TestTLS(t *testing.T) {
	s := objectstore.Start(t, objectstore.TLS())
	require.NoError(t, connect(t, s).Check(t.Context(), ""))

	err := connect(t, s, func(o *s3.Options) { o.CA = nil }).Check(t.Context(), "")
	assert.Equal(t, s3.Untrusted, problemOf(err), "its CA is not known: %v", err)
	_, port, _ := net.SplitHostPort(s.Endpoint)
	err = connect(t, s, func(o *s3.Options) { o.Endpoint = "localhost:" + port }).Check(t.Context(), "")
	assert.Equal(t, s3.Untrusted, problemOf(err), "its certificate is for another host: %v", err)
	err = connect(t, s, func(o *s3.Options) { o.Insecure = true; o.Backoff.Patience = 20 * time.Millisecond }).Check(t.Context(), "")
	assert.Equal(t, s3.Unreachable, problemOf(err), "it speaks TLS: %v", err)
	plain := objectstore.Start(t)
	err = connect(t, plain, func(o *s3.Options) { o.Insecure = false }).Check(t.Context(), "")
	assert.Equal(t, s3.Unreachable, problemOf(err), "it does not speak TLS: %v", err)
	assert.ErrorContains(t, err, "insecure")
}

func TestNobodyListens(t *testing.T) {
	c := connect(t, &objectstore.Server{Endpoint: "127.0.0.1:1", Bucket: "backups"}, func(o *s3.Options) { o.Backoff.Patience = 30 * time.Millisecond })
	err := c.Check(t.Context(), "")
	assert.Equal(t, s3.Unreachable, problemOf(err))
	assert.ErrorContains(t, err, "refused")
}

func TestLastAnswerOfPartsIsLost(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	faults.Times(1, func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }, objectstore.LoseAnswer)
	require.NoError(t, put(t.Context(), c, "k", bytesOf(6<<20)))
}

func TestRegionIsNotTold(t *testing.T) {
	for name, fault := range map[string]objectstore.Fault{
		"there are none":         objectstore.Answer(501, "NotImplemented"),
		"nobody may ask":         objectstore.Answer(403, "AccessDenied"),
		"the request is unknown": objectstore.Answer(405, "MethodNotAllowed"),
		"likewise, by a proxy":   objectstore.Status(405),
	} {
		faults := objectstore.NewFaults()
		c := connect(t, objectstore.StartStandIn(t, objectstore.Through(faults)))
		faults.Always(func(r *http.Request) bool { return r.URL.Query().Has("location") }, fault)
		require.NoError(t, c.Check(t.Context(), ""), name)
		require.NoError(t, c.Check(t.Context(), ""), name)
		assert.EqualValues(t, 3, c.Requests(), "%s: it is asked for once", name)
	}
}

func TestBucketInHostName(t *testing.T) {
	var seen []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Host+r.URL.Path)
		fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	s := &objectstore.Server{Endpoint: "s3.example.com", Bucket: "backups"}
	for pathStyle, want := range map[bool]string{true: "s3.example.com/backups/", false: "backups.s3.example.com/"} {
		seen = nil
		c := connect(t, s, func(o *s3.Options) { o.PathStyle, o.Proxy, o.Region = pathStyle, address, "eu-central-1" })
		require.NoError(t, c.Check(t.Context(), ""))
		assert.Equal(t, []string{want}, seen, "and nobody is asked for a region that is told")
	}
}

func TestBadOptions(t *testing.T) {
	for want, opts := range map[string]s3.Options{
		"cannot use bucket":   {Endpoint: "s3.example.com", Bucket: "a/b"},
		"cannot read CA":      {Endpoint: "s3.example.com", Bucket: "backups", CA: []byte("no PEM")},
		"cannot use endpoint": {Endpoint: "https://s3.example.com/path", Bucket: "backups"},
	} {
		_, err := s3.New(opts)
		assert.ErrorContains(t, err, want)
	}
}

// TestDeletesWithoutAnswer: an answer that ends early tells nothing of any object, so that all are deleted again.
func TestDeletesWithoutAnswer(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	for _, answer := range []string{`<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`, `<DeleteResult><Deleted><Key>a</Key></Deleted>`} {
		require.NoError(t, put(t.Context(), c, "a", nil))
		require.NoError(t, put(t.Context(), c, "b", nil))
		faults.Clear()
		faults.Times(1, objectstore.Deletes, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, answer)
		})
		refused, err := c.Delete(t.Context(), []string{"a", "b"})
		require.NoError(t, err, answer)
		assert.Empty(t, refused, answer)
		assert.Empty(t, keysOf(t, c, "", true), answer)
	}
}

// TestDeletesThatAProxyAnswers: a page with status 200 says that nothing was deleted, whatever is in it.
func TestDeletesThatAProxyAnswers(t *testing.T) {
	for name, page := range map[string]string{
		"nothing":       "",
		"text":          "OK",
		"a broken page": "<!DOCTYPE html><html><head><meta charset=utf-8><br>Sign in</html>",
		"a page":        "<html><body>Sign in</body></html>",
		"other XML":     `<?xml version="1.0"?><ListBucketResult></ListBucketResult>`,
		"JSON":          `{"deleted": ["a", "b"]}`,
		"an error":      `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`,
	} {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			c := connect(t, objectstore.StartStandIn(t, objectstore.Through(faults)), func(o *s3.Options) { o.Backoff.Patience = 50 * time.Millisecond })
			require.NoError(t, c.Check(t.Context(), ""))
			faults.Always(objectstore.Deletes, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, page)
			})
			refused, err := c.Delete(t.Context(), []string{"a", "b"})
			if name == "an error" { // as an object store may send it after the status
				require.NoError(t, err)
				require.Len(t, refused, 2)
				return
			}
			require.NotEmpty(t, problemOf(err), "%v", err)
			require.Empty(t, refused)
		})
	}
}

// TestHostileLists: a list that has no end is none.
func TestHostileLists(t *testing.T) {
	const begins = `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>`
	for name, page := range map[string]string{
		"it lists the same again": begins + `<Contents><Key>p/a</Key></Contents><Contents><Key>p/b</Key></Contents></ListBucketResult>`,
		"it goes back":            begins + `<Contents><Key>p/b</Key></Contents><Contents><Key>p/a</Key></Contents></ListBucketResult>`,
		"its prefixes go round":   begins + `<CommonPrefixes><Prefix>p/a/</Prefix></CommonPrefixes></ListBucketResult>`,
		"an answer has no end":    begins + strings.Repeat(`<Contents><Key>p/a</Key></Contents>`, 1<<20) + `</ListBucketResult>`,
	} {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			c := connect(t, objectstore.StartStandIn(t, objectstore.Through(faults)))
			require.NoError(t, c.Check(t.Context(), ""))
			before := c.Requests()
			faults.Always(objectstore.Method(http.MethodGet), func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				_, _ = io.WriteString(w, page)
			})
			for _, recursive := range []bool{true, false} {
				var last error
				for _, err := range c.List(t.Context(), "p/", recursive) {
					last = err
				}
				assert.Equal(t, s3.Incompatible, problemOf(last), "%v", last)
			}
			assert.LessOrEqual(t, c.Requests()-before, int64(4))
		})
	}
}
