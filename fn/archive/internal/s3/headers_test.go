package s3_test

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
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
	return s3.Headers{
		"Content-Type": "text/html; charset=utf-8", "Content-Disposition": `attachment; filename="a b.html"`, "Content-Encoding": "identity",
		"Content-Language": "en", "Cache-Control": "max-age=60", "Expires": "-1", "X-Amz-Meta-Owner": "somebody", "X-Amz-Meta-Title": "über uns",
	}
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

func TestSameHeaders(t *testing.T) {
	page := s3.Headers{"Content-Type": "text/html; charset=utf-8", "X-Amz-Meta-Owner": "somebody"}
	with := func(name, value string) s3.Headers {
		h := maps.Clone(page)
		h[name] = value
		return h
	}
	cases := map[string]struct {
		reason     string
		sent, told s3.Headers
		want       bool
	}{
		"Equal":             {"as most stores have them", page, page, true},
		"Type":              {"its parts have no case, and blanks mean nothing", page, with("Content-Type", "Text/html;charset=UTF-8"), true},
		"OtherType":         {"readers would show it otherwise", page, with("Content-Type", "text/plain"), false},
		"TypeFilledIn":      {"no object is without one", s3.Headers{"X-Amz-Meta-Owner": "somebody"}, with("Content-Type", "binary/octet-stream"), true},
		"Directives":        {"they have no case, and blanks mean nothing", with("Cache-Control", "public, Max-Age=60"), with("Cache-Control", "public,max-age=60"), true},
		"OtherDirectives":   {"readers would keep it for longer", with("Cache-Control", "no-store"), with("Cache-Control", "max-age=60"), false},
		"ForHowLong":        {"some stores say it of all objects", page, with("Cache-Control", "private, max-age=0"), true},
		"UntilWhen":         {"likewise", page, with("Expires", "Thu, 01 Dec 1994 16:00:00 GMT"), true},
		"LostDirectives":    {"the store, or who wrote the object, dropped them", with("Cache-Control", "no-store"), page, false},
		"Time":              {"a time can be written in three ways", with("Expires", "Thu, 01 Dec 1994 16:00:00 GMT"), with("Expires", "Thursday, 01-Dec-94 16:00:00 GMT"), true},
		"OtherTime":         {"it is over later", with("Expires", "Thu, 01 Dec 1994 16:00:00 GMT"), with("Expires", "Thu, 01 Dec 1994 17:00:00 GMT"), false},
		"NoTime":            {"what is no time is over (RFC 9111, 5.3)", with("Expires", "0"), with("Expires", "-1"), true},
		"Language":          {"it has no case", with("Content-Language", "de-DE"), with("Content-Language", "de-de"), true},
		"NameOfFile":        {"it has a case", with("Content-Disposition", `attachment; filename="A"`), with("Content-Disposition", `attachment; filename="a"`), false},
		"Encoding":          {"a reader would take the content for something else", page, with("Content-Encoding", "gzip"), false},
		"Metadata":          {"it means what its writer wants", page, with("X-Amz-Meta-Owner", "Somebody"), false},
		"MetadataBlanks":    {"HTTP drops those at the ends", with("X-Amz-Meta-Title", " a  b "), with("X-Amz-Meta-Title", "a  b"), true},
		"MoreMetadata":      {"the run does not have it", page, with("X-Amz-Meta-Title", "a"), false},
		"LostMetadata":      {"the run has it", with("X-Amz-Meta-Title", "a"), page, false},
		"MaxAgeBeforeTimes": {"where there is a max-age, the time means nothing (RFC 9111, 5.3)", s3.Headers{"Cache-Control": "max-age=0", "Expires": "-1"}, s3.Headers{"Cache-Control": "max-age=0"}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, tc.sent.Same(tc.told), tc.reason)
		})
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
