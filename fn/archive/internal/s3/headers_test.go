package s3_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// someHeaders are those that any object of a test may have.
func someHeaders() s3.Headers {
	h := s3.Headers{
		"Content-Type": "text/html; charset=utf-8", "Content-Disposition": `attachment; filename="a b.html"`, "Content-Encoding": "identity",
		"X-Amz-Meta-Owner": "somebody", "X-Amz-Meta-Title": "über uns",
	}
	if objectstore.Real { // the stand-in does not keep it
		h["Cache-Control"], h["Expires"] = "max-age=60", "-1"
	}
	return h
}

func putWith(t *testing.T, c *s3.Client, key, content string, headers s3.Headers, fresh bool) error {
	t.Helper()
	return c.PutWith(t.Context(), key, bytes.NewReader([]byte(content)), int64(len(content)), sumOf([]byte(content)), headers, fresh)
}

func TestHeadersOfObjects(t *testing.T) {
	c := connect(t, objectstore.Start(t))
	for name, size := range map[string]int{"at once": 10, "empty": 0, "in parts": 5<<20 + 1} {
		t.Run(name, func(t *testing.T) {
			content := string(bytesOf(size))
			require.NoError(t, putWith(t, c, name, content, someHeaders(), true))
			in, err := c.Open(t.Context(), name)
			require.NoError(t, err)
			defer in.Close()
			got, err := io.ReadAll(in)
			require.NoError(t, err)
			assert.Equal(t, sumOf([]byte(content)), sumOf(got))
			assert.Equal(t, someHeaders(), in.Headers)
			listed := s3.Object{}
			for o, err := range c.List(t.Context(), name, true) {
				require.NoError(t, err)
				listed = o
			}
			assert.Equal(t, listed.ETag, in.ETag, "a list and the object itself tell the same")
			assert.Equal(t, listed.Size, in.Size)
			assert.WithinDuration(t, listed.Modified, in.Modified, 10*time.Second, "the stand-in takes the time twice")
		})
	}
}

// TestExpiresThatIsNoTime: what is invalid as a time means to every reader that it is over, and is common.
func TestExpiresThatIsNoTime(t *testing.T) {
	for _, value := range []string{"0", "-1", "Thu, 01 Dec 1994 16:00:00 GMT"} {
		for name, size := range map[string]int{"at once": 10, "in parts": 5<<20 + 1} {
			t.Run(value+" "+name, func(t *testing.T) {
				faults := objectstore.NewFaults()
				c := connect(t, objectstore.StartStandIn(t, objectstore.Through(faults)))
				var sent atomic.Int64
				faults.Always(objectstore.Key("GET", "k"), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					w.Header().Set("Expires", value)
					next.ServeHTTP(w, r)
				})
				faults.Always(func(r *http.Request) bool {
					if r.Header.Get("Expires") == value {
						sent.Add(1)
					}
					return false
				}, nil)
				content := string(bytesOf(size))
				require.NoError(t, putWith(t, c, "k", content, s3.Headers{"Expires": value}, false))
				assert.EqualValues(t, 1, sent.Load(), "the request that makes the object says it, as it was")
				in, err := c.Open(t.Context(), "k")
				require.NoError(t, err)
				defer in.Close()
				assert.Equal(t, value, in.Headers["Expires"])
				got, err := io.ReadAll(in)
				require.NoError(t, err)
				assert.Equal(t, sumOf([]byte(content)), sumOf(got))
			})
		}
	}
}

func TestPutFresh(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	for name, size := range map[string]int{"at once": 10, "in parts": 5<<20 + 1} {
		content, other := string(bytesOf(size)), string(bytesOf(size+1))
		require.NoError(t, putWith(t, c, name, content, nil, true), name)
		assert.ErrorIs(t, putWith(t, c, name, other, nil, true), fs.ErrExist, "%s: other content is not replaced", name)
		assert.NoError(t, putWith(t, c, name, content, nil, true), "%s: the same content is there", name)
		assert.NoError(t, putWith(t, c, name, other, nil, false), "%s: unless that is asked for", name)
		stored, err := c.Read(t.Context(), name, int64(len(other)))
		require.NoError(t, err)
		assert.Equal(t, sumOf([]byte(other)), sumOf(stored), name)
	}
	faults.Times(1, objectstore.Method("PUT"), objectstore.LoseAnswer)
	assert.NoError(t, putWith(t, c, "lost", "content", nil, true), "an attempt without an answer may have succeeded")
}

func TestReplacedWhileRead(t *testing.T) {
	faults := objectstore.NewFaults()
	c := connect(t, objectstore.Start(t, objectstore.Through(faults)))
	require.NoError(t, put(t.Context(), c, "k", bytesOf(1<<20)))
	faults.Times(1, objectstore.Key("GET", "k"), objectstore.EndAfter(100_000))
	in, err := c.Open(t.Context(), "k")
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, put(t.Context(), c, "k", bytesOf(1<<20 + 1)[1:]))
	_, err = io.Copy(io.Discard, in)
	assert.ErrorIs(t, err, s3.ErrReplaced)
	assert.EqualError(t, err, `cannot read object "k": it was replaced meanwhile`)
}

func TestDecodeHeaders(t *testing.T) {
	got, err := s3.DecodeHeaders(someHeaders().Encode())
	require.NoError(t, err)
	assert.Equal(t, someHeaders(), got)
	got, err = s3.DecodeHeaders("")
	require.NoError(t, err)
	assert.Empty(t, got)
	for text, reason := range map[string]string{
		"Content-Type: a":                          "no line end",
		"Content-Type:a\n":                         "no blank",
		"Content-Type: \n":                         "no value",
		"Content-Type: a\nCache-Control: b\n":      "not sorted",
		"Content-Type: a\nContent-Type: a\n":       "twice",
		"content-type: a\n":                        "not the canonical name",
		"X-Amz-Meta-: a\n":                         "no name of its own",
		"X-Amz-Meta-a: a\n":                        "not the canonical name",
		"X-Amz-Acl: public-read\n":                 "no header of the object: it would give rights",
		"X-Amz-Meta-A: a\r\n":                      "a value that ends in what no header has",
		"X-Amz-Meta-A b: a\n":                      "a name that no header has",
		"X-Amz-Server-Side-Encryption: aws:kms\n":  "a choice of the bucket",
		"X-Amz-Object-Lock-Mode: COMPLIANCE\n":     "nobody could remove the object",
		"Content-Type: a\n\nX-Amz-Meta-A: a\n":     "an empty line",
		"X-Amz-Meta-A: a\nX-Amz-Meta-B: \x00\n":    "a zero byte",
		"X-Amz-Website-Redirect-Location: /else\n": "where readers would be sent",
	} {
		_, err := s3.DecodeHeaders(text)
		assert.ErrorContains(t, err, "cannot read headers of an object", reason)
	}
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add("")
	f.Add(someHeaders().Encode())
	f.Add("X-Amz-Meta-A: b: c\n")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := s3.DecodeHeaders(text); err == nil {
			assert.Equal(t, text, h.Encode())
		}
	})
}
