package archive

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// TestHeadersInAnotherForm: object stores tell of headers in their own way, and fill in what the writer left open. That
// makes no object another one: what was restored is neither written again nor refused.
func TestHeadersInAnotherForm(t *testing.T) {
	cases := map[string]struct {
		reason         string
		source, target func(http.Header) // what the store tells that was backed up, and the one that is restored into
	}{
		"as they were": {"most stores keep them", nil, nil},
		"no type in the source": {"who writes an object without a type gives it one", func(h http.Header) {
			h["Content-Type"] = nil
		}, nil},
		"blanks and cases": {"they mean nothing", nil, func(h http.Header) {
			h.Set("Content-Type", "Text/HTML;charset=UTF-8")
			h.Set("Cache-Control", "Public,max-age=60")
		}},
		"keys in lower case": {"as versitygw has them", nil, func(h http.Header) {
			h["x-amz-meta-owner"] = h["X-Amz-Meta-Owner"]
			delete(h, "X-Amz-Meta-Owner")
		}},
		"for how long": {"Google says it of each object, counted from each answer", nil, func(h http.Header) {
			h.Set("Expires", "Tue, 01 Dec 2026 10:00:00 GMT")
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newObjectFixture(t, objectstore.Start)
			f.put("page.html", "<html/>", s3.Headers{
				"Content-Type": "text/html; charset=utf-8", "Cache-Control": "public, max-age=60", "Content-Language": "en", "X-Amz-Meta-Owner": "somebody",
			})
			f.told("/files/", tc.source)
			f.write("r1")
			r := f.open("r1")
			_, err := r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
			require.NoError(t, err, tc.reason)

			f.told("/restored/", tc.target)
			state, err := r.CompareBucket(t.Context(), f.into(), RestoreOptions{})
			require.NoError(t, err)
			assert.Equal(t, Comparison{Same: true}, state, tc.reason)
			for _, existing := range []Existing{Fail, Overwrite, Mirror} {
				result, err := r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: existing})
				require.NoError(t, err, "%s: %s", existing, tc.reason)
				assert.Zero(t, result.WrittenFiles, "%s: %s", existing, tc.reason)
			}
		})
	}
}

// told changes what is told of the objects below a prefix.
func (f *objectFixture) told(below string, change func(http.Header)) {
	f.count()
	if change != nil {
		f.faults.Always(func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.Contains(r.URL.Path, below)
		}, objectstore.Headers(change))
	}
}

func TestOtherHeadersAreRestored(t *testing.T) {
	f := newObjectFixture(t, objectstore.Start)
	f.put("page.html", "<html/>", htmlHeaders)
	f.write("r1")
	f.putInto("page.html", "<html/>")
	r := f.open("r1")
	state, err := r.CompareBucket(t.Context(), f.into(), RestoreOptions{})
	require.NoError(t, err)
	assert.Equal(t, Comparison{}, state)
	_, err = r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
	require.ErrorContains(t, err, "has other content or headers than in the run")
	result, err := r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Overwrite})
	require.NoError(t, err)
	assert.EqualValues(t, 1, result.WrittenFiles)
	assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"))
}
