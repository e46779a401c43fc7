package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// open opens a run that must be there.
func (f *fixture) open(run string) *Run {
	f.t.Helper()
	r, err := f.volume.OpenRun(f.t.Context(), run)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { assert.NoError(f.t, r.Close()) })
	return r
}

// entries returns all entries of a run.
func entriesOf(t *testing.T, r *Run) []Entry {
	t.Helper()
	var entries []Entry
	for e, err := range r.Entries(t.Context()) {
		require.NoError(t, err)
		entries = append(entries, e)
	}
	return entries
}

// Open opens a file of the run.
func (r *Run) Open(e Entry, identities ...age.Identity) (io.ReadCloser, error) {
	files := r.storedFiles(context.Background())
	defer files.Close()
	return r.openFile(&e, identities, files)
}

// restore reads all files of a run.
func restore(t *testing.T, r *Run, identities ...age.Identity) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, e := range entriesOf(t, r) {
		if e.Kind != File {
			continue
		}
		in, err := r.Open(e, identities...)
		require.NoError(t, err)
		data, err := io.ReadAll(in)
		require.NoError(t, err)
		require.NoError(t, in.Close())
		files[e.Path] = string(data)
	}
	return files
}

func wantFiles() map[string]string {
	return map[string]string{
		"tenant-001/2026/01/02/logo-0123456789abcdef.png": "a logo",
		"tenant-001/2026/01/03/über uns.html":             "<html/>",
		"tenant-002/.htaccess":                            "deny",
		"tenant-002/empty":                                "",
	}
}

func sortedObjects() []ObjectFile {
	o := testObjects()
	return []ObjectFile{o[1], o[2], o[0]}
}

func TestReadRun(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	require.NoError(t, os.Symlink("target", filepath.Join(f.files, "link")))
	result := f.write("r1")
	r := f.open(Latest)
	assert.Equal(t, "r1", r.Info().ID)
	assert.Equal(t, result.Manifest, r.Info().Manifest)
	assert.True(t, r.HasFiles())
	objects, err := r.Objects(t.Context())
	require.NoError(t, err)
	assert.Equal(t, sortedObjects(), objects)
	assert.Equal(t, wantFiles(), restore(t, r))
	entries := entriesOf(t, r)
	assert.Equal(t, ".", entries[0].Path)
	assert.Equal(t, "target", entries[1].Link)
	_, err = r.Open(entries[1])
	require.ErrorContains(t, err, "not a regular file")
	_, err = r.Open(Entry{Path: "../../../runs/r1/manifest.json", Kind: File})
	assert.ErrorContains(t, err, "not a regular file", "no path leaves the files")
}

func TestReadStopsEarly(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	for range f.open("r1").Entries(t.Context()) {
		break
	}
}

func TestReadInParallel(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	r := f.open("r1")
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() { assert.Equal(t, wantFiles(), restore(t, r)) })
	}
	readers.Wait()
}

func TestReadSkippedFileStorage(t *testing.T) {
	f := newFixture(t)
	f.opts.Files = ""
	f.write("r1")
	r := f.open("r1")
	assert.False(t, r.HasFiles())
	assert.Empty(t, entriesOf(t, r))
}

func TestReadDamagedFile(t *testing.T) {
	const file = "tenant-002/.htaccess"
	cases := map[string]struct {
		reason  string
		content string
	}{
		"Changed":   {"A digest is proven before io.EOF", "open"},
		"Truncated": {"A shorter file is none", "den"},
		"Extended":  {"Bytes after the end are an error", "deny all"},
		"Emptied":   {"An empty file is none", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			result := f.write("r1")
			require.NoError(t, os.WriteFile(f.stored(result, file), []byte(tc.content), 0o644))
			r := f.open("r1")
			var damaged *IntegrityError
			for _, e := range entriesOf(t, r) {
				if e.Path != file {
					continue
				}
				in, err := r.Open(e)
				require.NoError(t, err)
				data, err := io.ReadAll(in)
				require.ErrorAs(t, err, &damaged, tc.reason)
				assert.LessOrEqual(t, len(data), 4, "no byte beyond the size is returned")
				_, again := in.Read(make([]byte, 1))
				assert.Equal(t, err, again, "an error stays")
				require.NoError(t, in.Close())
			}
			require.NotNil(t, damaged)
		})
	}
}

func TestReadDamagedRun(t *testing.T) {
	for name, tc := range damages() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			require.NoError(t, os.Symlink("somewhere", filepath.Join(f.files, "link")))
			result := f.write("r1")
			f.opts.Files = ""
			f.write("r2")
			tc.do(t, f, result)
			err := readAll(t, f.volume, "r1")
			if tc.harmless {
				require.NoError(t, err, tc.reason)
				return
			}
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged, tc.reason)
		})
	}
}

// readAll reads all of a run and returns the first error.
func readAll(t *testing.T, v *Volume, run string) error {
	t.Helper()
	r, err := v.OpenRun(t.Context(), run)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Objects(t.Context()); err != nil {
		return err
	}
	for e, err := range r.Entries(t.Context()) {
		if err != nil {
			return err
		}
		if e.Kind != File {
			continue
		}
		in, err := r.Open(e)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, in)
		if err := errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return id
}

func TestEncryptedRun(t *testing.T) {
	f := newFixture(t)
	one, two, other := identity(t), identity(t), identity(t)
	f.addSome()
	f.add("big", strings.Repeat("0123456789abcdef", 20_000))
	f.opts.Recipients = []string{two.Recipient().String(), one.Recipient().String(), two.Recipient().String()}
	result := f.write("r1")
	require.Len(t, result.Manifest.Encryption.Recipients, 2, "sorted, and each once")
	report := f.verify("r1")
	assert.Equal(t, int64(5), report.Files, "verifying needs no key")
	assert.Equal(t, []string{"apimanager-backup.json.age"}, ls(t, f.path("runs/r1/apimanager")))
	assert.NoFileExists(t, f.path("secrets"), "the operator's view would mislead APIManagerRestore")
	shell(t, f.path("trees", result.Manifest.Tree), "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	shell(t, f.path("runs/r1"), "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	assertNoPlaintext(t, f)

	r := f.open("r1")
	for _, id := range []*age.X25519Identity{one, two} {
		objects, err := r.Objects(t.Context(), other, id)
		require.NoError(t, err)
		assert.Equal(t, sortedObjects(), objects)
		files := restore(t, r, id)
		assert.Len(t, files["big"], 320_000)
		delete(files, "big")
		assert.Equal(t, wantFiles(), files)
	}
	for _, ids := range [][]age.Identity{nil, {other}} {
		_, err := r.Objects(t.Context(), ids...)
		require.ErrorIs(t, err, ErrNoIdentity)
		_, err = r.Open(Entry{Path: "big", Kind: File, Size: 320_000}, ids...)
		require.ErrorIs(t, err, ErrNoIdentity)
	}
}

// assertNoPlaintext looks for what only a key may show.
func assertNoPlaintext(t *testing.T, f *fixture) {
	t.Helper()
	all := dump(t, f.root)
	for path, content := range wantFiles() {
		if content == "" {
			continue
		}
		assert.NotContains(t, all, content)
		assert.NotContains(t, all, dirfd.DigestOf([]byte(content)), "the digest of a plaintext tells what it is: %s", path)
	}
	for _, o := range testObjects() {
		assert.NotContains(t, all, string(o.Data))
		assert.NotContains(t, all, dirfd.DigestOf(o.Data))
	}
}

// TestEncryptedObjectsAreSortedAsStored has a name that comes after another one, and with the suffix before it.
func TestEncryptedObjectsAreSortedAsStored(t *testing.T) {
	f := newFixture(t)
	id := identity(t)
	f.opts.Recipients = []string{id.Recipient().String()}
	f.opts.Objects = append(testObjects(), ObjectFile{Path: "secrets/x.json", Data: []byte("1")}, ObjectFile{Path: "secrets/x.json.abc.json", Data: []byte("2")})
	f.write("r1")
	f.verify("r1")
	objects, err := f.open("r1").Objects(t.Context(), id)
	require.NoError(t, err)
	assert.Len(t, objects, len(f.opts.Objects))

	list := f.read("runs/r1/SHA256SUMS")
	lines := strings.SplitAfter(list, "\n")
	for name, tc := range map[string]struct {
		reason string
		lines  []string
		good   bool
	}{
		"Older": {"an older version sorted the objects without the suffix", slices.Concat(lines[:2], []string{lines[3], lines[2]}, lines[4:]), true},
		"Twice": {"no version lists an object twice", slices.Concat(lines[:4], lines[2:]), false},
	} {
		t.Run(name, func(t *testing.T) {
			before, other := f.read("runs/r1/SHA256SUMS"), strings.Join(tc.lines, "")
			replaceIn(t, f.path("runs/r1/SHA256SUMS"), before, other)
			replaceIn(t, f.path("runs/r1/manifest.json"), dirfd.DigestOf([]byte(before)), dirfd.DigestOf([]byte(other)))
			assert.Equal(t, tc.good, f.report("r1").Err() == nil, tc.reason)
			again, err := f.open("r1").Objects(t.Context(), id)
			assert.Equal(t, tc.good, err == nil, tc.reason)
			if tc.good {
				assert.ElementsMatch(t, objects, again)
			}
		})
	}
}

func TestEncryptedDamage(t *testing.T) {
	f := newFixture(t)
	id := identity(t)
	f.opts.Recipients = []string{id.Recipient().String()}
	f.add("file", strings.Repeat("x", 100_000))
	result := f.write("r1")
	path := f.stored(result, "file")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	cases := map[string]struct {
		reason string
		bytes  []byte
	}{
		"Truncated":      {"A stream that ends early is none", good[:70_000]},
		"Trailing":       {"Bytes after the stream are an error", append(append([]byte{}, good...), 'x')},
		"Header":         {"A stream has a header", append([]byte("x"), good[1:]...)},
		"Body":           {"Every chunk is authenticated", append(append([]byte{}, good[:len(good)-1]...), good[len(good)-1]^1)},
		"OtherStream":    {"Another stream for the same key is not the one that was stored", reseal(t, id, strings.Repeat("x", 100_000))},
		"OtherPlaintext": {"Nor is one of the same size", reseal(t, id, strings.Repeat("y", 100_000))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, tc.bytes, 0o644))
			assert.Len(t, f.report("r1").Problems, 1, tc.reason)
			r := f.open("r1")
			e := entriesOf(t, r)[1]
			in, err := r.Open(e, id)
			if err == nil {
				_, err = io.ReadAll(in)
			}
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged, tc.reason)
		})
	}
}

func reseal(t *testing.T, id *age.X25519Identity, plain string) []byte {
	t.Helper()
	s, err := seal.New([]string{id.Recipient().String()})
	require.NoError(t, err)
	data, err := s.Seal([]byte(plain))
	require.NoError(t, err)
	assert.Equal(t, s.StoredSize(int64(len(plain))), int64(len(data)))
	return data
}

func TestLinksNeverCrossRecipients(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	one, two := identity(t).Recipient().String(), identity(t).Recipient().String()
	sets := [][]string{nil, {one}, {two}, {one, two}}
	for i, set := range sets {
		f.opts.Recipients = set
		result := f.write("first" + itoa(i))
		assert.Zero(t, result.Manifest.Totals.LinkedFiles, "files for others are of no use")
	}
	for i, set := range sets {
		f.opts.Recipients = set
		result := f.write("second" + itoa(i))
		assert.True(t, result.TreeShared, "the newest tree of the same recipients serves")
	}
	f.add("more", "x")
	for i, set := range sets {
		f.opts.Recipients = set
		result := f.write("third" + itoa(i))
		assert.Equal(t, int64(4), result.Manifest.Totals.LinkedFiles)
		f.verify("third" + itoa(i))
	}
}

func TestReadConfined(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	require.NoError(t, os.Remove(f.stored(result, "tenant-002/.htaccess")))
	require.NoError(t, unix.Mkfifo(f.stored(result, "tenant-002/.htaccess"), 0o600))
	_, err := f.open("r1").Open(Entry{Path: "tenant-002/.htaccess", Kind: File, Size: 4})
	var damaged *IntegrityError
	require.ErrorAs(t, err, &damaged, "a FIFO is not opened")
}
