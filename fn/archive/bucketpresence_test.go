package archive

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/objectstore"
)

// TestPresenceOnly: what is found in a bucket without reading a file of the file storage.
func TestPresenceOnly(t *testing.T) {
	blob := blobPath(digest([]byte("deny")))
	cases := map[string]struct {
		reason  string
		do      func(t *testing.T, b *Bucket, tree string)
		problem string // empty: none is found
	}{
		"Nothing":   {"A copy is what was copied", func(*testing.T, *Bucket, string) {}, ""},
		"LostBlob":  {"What is lost is not listed", func(t *testing.T, b *Bucket, _ string) { remove(t, b, blob) }, "trees/TREE/files/" + aFile + " is missing, got no " + blob},
		"Truncated": {"A listing tells sizes", func(t *testing.T, b *Bucket, _ string) { put(t, b, blob, "den") }, "trees/TREE/files/" + aFile + " is changed, got size 3, want size 4"},
		"Longer":    {"Likewise", func(t *testing.T, b *Bucket, _ string) { put(t, b, blob, "deny and more") }, "trees/TREE/files/" + aFile + " is changed, got size 13, want size 4"},
		"OtherBytes": {
			"Only who reads them sees them, and a restore does", func(t *testing.T, b *Bucket, _ string) { put(t, b, blob, "dEny") }, "",
		},
		"LostTree": {"Lists are read", func(t *testing.T, b *Bucket, tree string) { remove(t, b, "trees/"+tree+"/SHA256SUMS") }, "trees/TREE/ is malformed"},
		"Objects":  {"And so are the objects", func(t *testing.T, b *Bucket, _ string) { put(t, b, "runs/r1/secrets/system-app.json", "{}") }, "runs/r1/secrets/system-app.json is changed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, faults := newFixture(t), objectstore.NewFaults()
			f.addSome()
			b := openBucket(t, objectstore.Through(faults))
			r := f.write("r1")
			copyRuns(t, b, f.volume, "r1")
			tc.do(t, b, r.Manifest.Tree)
			faults.Always(readsBlob, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
			report, err := b.Verify(t.Context(), "r1", VerifyOptions{PresenceOnly: true})
			require.NoError(t, err, "no blob was read")
			checkProblem(t, report, strings.ReplaceAll(tc.problem, "TREE", r.Manifest.Tree), tc.reason)
			assert.Zero(t, report.Files, "no digest was computed")
		})
	}
}

func readsBlob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/"+blobsDir+"/")
}

// TestPresenceOnlyEncrypted: the sizes of stored files are those of their plaintext, and of what age adds.
func TestPresenceOnlyEncrypted(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.add("large", strings.Repeat("x", 200<<10))
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	f.opts.Recipients = []string{identity.Recipient().String()}
	b := openBucket(t)
	f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	report, err := b.Verify(t.Context(), "r1", VerifyOptions{PresenceOnly: true})
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
	for _, path := range paths(t, b) {
		if strings.HasPrefix(path, blobsDir+"/") {
			put(t, b, path, "")
		}
	}
	report, err = b.Verify(t.Context(), "r1", VerifyOptions{PresenceOnly: true})
	require.NoError(t, err)
	assert.Len(t, report.Problems, 4, "an empty file cannot be told from one of no size: its header may be of any length")
}

// TestCompareLooksFirst: what differs in time or size is told without a download, also of an encrypted run, whose lists
// have no digests of plaintext.
func TestCompareLooksFirst(t *testing.T) {
	f, faults := newFixture(t), objectstore.NewFaults()
	for i := range 300 {
		f.add(fmt.Sprintf("tenant/%03d", i), "content")
	}
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	f.opts.Recipients = []string{identity.Recipient().String()}
	b, dir, opts := openBucket(t, objectstore.Through(faults)), t.TempDir(), RestoreOptions{Existing: Fail, Identities: []age.Identity{identity}}
	f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	run, err := b.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	_, err = run.Restore(t.Context(), dir, opts)
	require.NoError(t, err)
	got, err := run.Compare(t.Context(), dir, opts)
	require.NoError(t, err)
	require.True(t, got.Same)
	faults.Always(readsBlob, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
	_, err = run.Compare(t.Context(), dir, opts)
	require.Error(t, err, "what looks the same is decrypted")
	require.NoError(t, os.Chtimes(filepath.Join(dir, "tenant/299"), time.Now(), time.Now()))
	got, err = run.Compare(t.Context(), dir, opts)
	require.NoError(t, err)
	assert.False(t, got.Same)
}
