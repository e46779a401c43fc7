package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// damage is one way to change what is stored.
type damage struct {
	reason   string
	do       func(t *testing.T, f *fixture, r *Result)
	want     []string // of the problems, in order: kind and path without the tree's name
	harmless bool     // what is read of the run is what was written all the same
}

func damages() map[string]damage {
	const file = "tenant-001/2026/01/02/logo-0123456789abcdef.png"
	return map[string]damage{
		"FlippedBit": {"A digest is that of every bit", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.stored(r, file))
		}, []string{"changed trees/T/files/" + file}, false},
		"FlippedBitOfObject": {"Objects have digests too", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.path("runs/r1/secrets/system-app.json"))
		}, []string{"changed runs/r1/secrets/system-app.json"}, false},
		"FlippedBitOfSums": {"The list of a run is covered by the manifest", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.path("runs/r1/SHA256SUMS"))
		}, []string{"malformed runs/r1/SHA256SUMS", "changed runs/r1/SHA256SUMS", "changed runs/r1/apimanager/apimanager-backup.json"}, false},
		"FlippedBitOfManifest": {"A manifest that is none makes the run none", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.path("runs/r1/manifest.json"))
		}, []string{"malformed runs/r1/manifest.json"}, false},
		"FlippedBitOfMTREE": {"The list of entries is covered by the manifest", func(t *testing.T, f *fixture, r *Result) {
			replaceIn(t, f.path("trees", r.Manifest.Tree, "MTREE"), "uid=", "gid=")
		}, []string{"malformed trees/T/"}, false},
		"OwnerInMTREE": {"A list that reads well is proven all the same", func(t *testing.T, f *fixture, r *Result) {
			replaceIn(t, f.path("trees", r.Manifest.Tree, "MTREE"), "mode=0644", "mode=0640")
		}, []string{"malformed trees/T/"}, false},
		"DigestInSums": {"A forged digest of a forged file shows in the list", func(t *testing.T, f *fixture, r *Result) {
			was := dirfd.DigestOf([]byte("deny"))
			replaceIn(t, f.path("trees", r.Manifest.Tree, "SHA256SUMS"), was, dirfd.DigestOf([]byte("open")))
			replaceIn(t, f.stored(r, "tenant-002/.htaccess"), "deny", "open")
		}, []string{"malformed trees/T/"}, false},
		"Missing": {"A file that is gone is told", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.stored(r, file)))
		}, []string{"missing trees/T/files/" + file}, false},
		"MissingDirectory": {"All that was in a directory is told", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.RemoveAll(f.stored(r, "tenant-002")))
		}, []string{"missing trees/T/files/tenant-002/.htaccess", "missing trees/T/files/tenant-002/empty"}, false},
		"MissingTree": {"A run without its tree is not one", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.RemoveAll(f.path("trees")))
		}, []string{"missing trees/T/"}, false},
		"MissingFiles": {"A tree without its files is not one", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.RemoveAll(f.stored(r, "")))
		}, []string{"missing trees/T/files"}, false},
		"MissingList": {"A tree without its list is not one", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.path("trees", r.Manifest.Tree, "SHA256SUMS")))
		}, []string{"malformed trees/T/"}, false},
		"MissingObject": {"An object that is gone is told", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.path("runs/r1/secrets/system-app.json")))
		}, []string{"missing runs/r1/secrets/system-app.json"}, false},
		"Additional": {"A file that nobody listed is told", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.WriteFile(f.stored(r, "tenant-002/more"), nil, 0o644))
			require.NoError(t, os.WriteFile(f.path("runs/r1/secrets/more.json"), nil, 0o644))
			require.NoError(t, os.WriteFile(f.path("trees", r.Manifest.Tree, "more"), nil, 0o644))
		}, []string{"additional runs/r1/secrets/more.json", "additional trees/T/more", "additional trees/T/files/tenant-002/more"}, true},
		"AdditionalDirectory": {"An empty directory is an entry too", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Mkdir(f.stored(r, "more"), 0o755))
		}, []string{"additional trees/T/files/more"}, true},
		"AdditionalFIFO": {"A FIFO is told and never opened", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, unix.Mkfifo(f.stored(r, "fifo"), 0o600))
		}, []string{"additional trees/T/files/fifo"}, true},
		"Truncated": {"A shorter file is told without reading it", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Truncate(f.stored(r, file), 1))
		}, []string{"changed trees/T/files/" + file}, false},
		"Extended": {"A longer file is told without reading it, however long", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Truncate(f.stored(r, file), 1<<40))
		}, []string{"changed trees/T/files/" + file}, false},
		"ExtendedObject": {"Objects of any length are not read", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Truncate(f.path("runs/r1/secrets/system-app.json"), 1<<40))
		}, []string{"changed runs/r1/secrets/system-app.json"}, false},
		"SwappedLink": {"The target of a symlink is listed", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.stored(r, "link")))
			require.NoError(t, os.Symlink("/etc/passwd", f.stored(r, "link")))
		}, []string{"changed trees/T/files/link"}, true},
		"SwappedTree": {"The run's link leads to its tree", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.path("runs/r1/system-filestorage-pvc")))
			require.NoError(t, os.Symlink("/etc", f.path("runs/r1/system-filestorage-pvc")))
		}, []string{"changed runs/r1/system-filestorage-pvc"}, true},
		"FileBecameLink": {"A symlink to the same content is no regular file", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Rename(f.stored(r, file), f.path("elsewhere")))
			require.NoError(t, os.Symlink(f.path("elsewhere"), f.stored(r, file)))
		}, []string{"changed trees/T/files/" + file}, false},
		"FileBecameFIFO": {"A FIFO in place of a file does not block", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.stored(r, file)))
			require.NoError(t, unix.Mkfifo(f.stored(r, file), 0o600))
		}, []string{"additional trees/T/files/" + file, "missing trees/T/files/" + file}, false},
		"DirectoryBecameLink": {"A symlink to the same directory is not followed", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Rename(f.stored(r, "tenant-002"), f.path("elsewhere")))
			require.NoError(t, os.Symlink(f.path("elsewhere"), f.stored(r, "tenant-002")))
		}, []string{"changed trees/T/files/tenant-002", "missing trees/T/files/tenant-002/.htaccess", "missing trees/T/files/tenant-002/empty"}, false},
		"TreesBecameLink": {"A symlink in place of trees is not followed", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Rename(f.path("trees"), f.path("elsewhere")))
			require.NoError(t, os.Symlink(f.path("elsewhere"), f.path("trees")))
		}, []string{"missing trees/T/"}, false},
		"ManifestOfOtherRun": {"A manifest belongs to its run", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Rename(f.path("runs/r2/manifest.json"), f.path("runs/r1/manifest.json")))
		}, []string{"malformed runs/r1/manifest.json"}, false},
		"ManifestIsFIFO": {"A FIFO in place of a manifest does not block", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.path("runs/r1/manifest.json")))
			require.NoError(t, unix.Mkfifo(f.path("runs/r1/manifest.json"), 0o600))
		}, []string{"malformed runs/r1/manifest.json"}, false},
		"ManifestIsHuge": {"A manifest of any length is not read", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Truncate(f.path("runs/r1/manifest.json"), 1<<40))
		}, []string{"malformed runs/r1/manifest.json"}, false},
	}
}

func TestVerifyTellsDamage(t *testing.T) {
	for name, tc := range damages() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			require.NoError(t, os.Symlink("somewhere", filepath.Join(f.files, "link")))
			result := f.write("r1")
			f.opts.Recipients = nil
			f.opts.Files = ""
			f.write("r2")
			tc.do(t, f, result)
			report := f.report("r1")
			var got []string
			for _, p := range report.Problems {
				got = append(got, string(p.Kind)+" "+strings.ReplaceAll(p.Path, result.Manifest.Tree, "T"))
			}
			assert.Equal(t, tc.want, got, tc.reason)
			assert.Equal(t, int64(len(got)), report.ProblemCount)
			var damaged *IntegrityError
			require.ErrorAs(t, report.Err(), &damaged)
			assert.Equal(t, report.Problems, damaged.Problems)
			assert.Contains(t, damaged.Error(), string(report.Problems[0].Kind))
			if name != "ManifestOfOtherRun" {
				f.verify("r2")
			}
		})
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[0] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

func replaceIn(t *testing.T, path, old, with string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o644))
}

func TestVerifyTellsGotAndWant(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	replaceIn(t, f.stored(result, "tenant-002/.htaccess"), "deny", "open")
	want := Problem{
		Path: "trees/" + result.Manifest.Tree + "/files/tenant-002/.htaccess", Kind: Changed,
		Got: "sha256:" + dirfd.DigestOf([]byte("open")), Want: "sha256:" + dirfd.DigestOf([]byte("deny")),
	}
	assert.Equal(t, []Problem{want}, f.report("r1").Problems)
}

func TestVerifyExpectedManifest(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	report, err := f.volume.Verify(t.Context(), Latest, VerifyOptions{ManifestSHA256: result.ManifestSHA256})
	require.NoError(t, err)
	assert.NoError(t, report.Err())
	assert.Equal(t, "r1", report.Run)
	report, err = f.volume.Verify(t.Context(), Latest, VerifyOptions{ManifestSHA256: strings.Repeat("0", 64)})
	require.NoError(t, err)
	require.Len(t, report.Problems, 1, "a forger of the volume cannot forge what is kept elsewhere")
	assert.Equal(t, "runs/r1/manifest.json", report.Problems[0].Path)
}

func TestVerifyWarnsOfMetadata(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	require.NoError(t, os.Chmod(f.stored(result, "tenant-002/empty"), 0o660))
	require.NoError(t, os.Chtimes(f.stored(result, "tenant-002"), epoch(), epoch()))
	report := f.verify("r1")
	assert.Equal(t, []string{"stored modes of 1 entries are not those of MTREE", "stored times of 1 entries are not those of MTREE"}, report.Warnings)
}

func TestVerifyWarnsOfLatest(t *testing.T) {
	f := newFixture(t)
	f.write("r1")
	f.write("r2")
	require.NoError(t, os.Remove(f.path("latest")))
	require.NoError(t, os.Symlink("runs/r1", f.path("latest")))
	assert.Equal(t, []string{`latest does not lead to the newest run "r2"`}, f.verify("r1").Warnings)
	require.NoError(t, os.Remove(f.path("latest")))
	require.NoError(t, os.Symlink("elsewhere", f.path("latest")))
	require.NoError(t, os.WriteFile(f.path("LATEST"), []byte("r2\n"), 0o644))
	assert.Equal(t, []string{`latest does not lead to the newest run "r2"`}, f.verify("r1").Warnings, "APIManagerRestore follows the link, whatever the file says")
}

func TestVerifyUnknownRun(t *testing.T) {
	f := newFixture(t)
	for _, run := range []string{Latest, "r1", UnverifiedRun, "../x", ""} {
		_, err := f.volume.Verify(t.Context(), run, VerifyOptions{})
		require.ErrorIs(t, err, ErrRunNotFound)
		_, err = f.volume.OpenRun(t.Context(), run)
		require.ErrorIs(t, err, ErrRunNotFound)
	}
}

func TestVerifyNewerFormat(t *testing.T) {
	f := newFixture(t)
	f.write("r1")
	replaceIn(t, f.path("runs/r1/manifest.json"), `"formatVersion": 2`, `"formatVersion": 99`)
	var newer *VersionError
	_, err := f.volume.Verify(t.Context(), "r1", VerifyOptions{})
	require.ErrorAs(t, err, &newer)
	_, err = f.volume.OpenRun(t.Context(), "r1")
	require.ErrorAs(t, err, &newer)
	_, err = f.tryWrite("r1")
	require.ErrorAs(t, err, &newer, "a run is never written over")
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"r1 Unsupported"}, ids(runs))
	f.write("r2")
}

func TestRunsAreOrdered(t *testing.T) {
	f := newFixture(t)
	f.write("b")
	f.write("c")
	f.write("a")
	require.NoError(t, os.MkdirAll(f.path("runs/.partial-d"), 0o755))
	require.NoError(t, os.MkdirAll(f.path("runs/e"), 0o755))
	require.NoError(t, os.MkdirAll(f.path("runs/.removed-f"), 0o755))
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"d Partial", "e Damaged", "b Complete", "c Complete", "a Complete"}, ids(runs))
	assert.Equal(t, "a", f.report(Latest).Run)
	assert.True(t, runs[4].StartTime().After(runs[3].StartTime()))
	assert.Equal(t, time.Time{}, runs[0].StartTime())
	assert.Len(t, runs[4].ManifestSHA256, 64)
	assert.Contains(t, runs[1].Message, "manifest")
}

func TestRunsOfAnEmptyVolume(t *testing.T) {
	f := newFixture(t)
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Empty(t, runs)
	assert.Empty(t, ls(t, f.root), "reading makes nothing")
	_, err = OpenVolume(f.path("nowhere"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
