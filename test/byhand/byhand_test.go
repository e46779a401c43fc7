// Package byhand follows the documents where they do without this software.
package byhand

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/docs"
	"threescale.dev/backup/test/objectstore"
)

const (
	root   = "../.."
	prefix = "prod/3scale"
	run    = "20261122t020000z-1a2b3c4d" // that of the document
)

// need skips a test on a machine without a program; where all of them have to run, as in
// CI, that is a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), err)
			t.Skip(err)
		}
	}
}

// A reader has a shell in an empty folder, and a page of the documents before him.
type reader struct {
	t   *testing.T
	dir string
	env []string
}

// follow runs all shell blocks of a section of a page in one shell. What is for the reader
// to choose is replaced by what he chooses.
func (r *reader) follow(page, section string, choices ...string) (string, error) {
	r.t.Helper()
	read, err := docs.Read(root, page)
	require.NoError(r.t, err)
	blocks := read.Commands(section)
	require.NotEmpty(r.t, blocks, "commands of section %q of %s", section, page)
	script := strings.NewReplacer(choices...).Replace(strings.Join(blocks, "\n"))
	shell := exec.CommandContext(r.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	shell.Dir, shell.Env = r.dir, r.env
	out, err := shell.CombinedOutput()
	r.t.Logf("%s\n%s", script, out)
	return string(out), err
}

// copied is a volume with one run, and a copy of it in a bucket.
type copied struct {
	server *objectstore.Server
	files  string // what was backed up
	dumps  string // likewise
	volume string
}

func newCopied(t *testing.T) *copied {
	t.Helper()
	c := &copied{server: objectstore.Start(t), files: t.TempDir(), dumps: t.TempDir(), volume: t.TempDir()}
	for _, path := range []string{"system-database/toc.dat", "system-database/3456.dat", "backend-redis/keys.resp"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(c.dumps, path)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(c.dumps, path), []byte(path), 0o600))
	}
	_, err := dataset.Generate(c.files, dataset.SetS, 1)
	require.NoError(t, err)
	for _, name := range []string{"empty", "a line\nend", `back\slash`, `b\nfiles`, " files", "two  files", "-c"} {
		require.NoError(t, os.MkdirAll(filepath.Join(c.files, "odd", name), 0o711))
		require.NoError(t, os.WriteFile(filepath.Join(c.files, "odd", name, name), []byte(name), 0o640))
	}
	require.NoError(t, os.WriteFile(filepath.Join(c.files, "none"), nil, 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(c.files, "nothing in it/below"), 0o700))
	require.NoError(t, os.Symlink("../none", filepath.Join(c.files, "odd/link")))
	old := time.Date(2019, 2, 3, 4, 5, 6, 123456789, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(c.files, "none"), old, old))
	volume, err := archive.OpenVolume(c.volume)
	require.NoError(t, err)
	defer volume.Close()
	_, err = volume.Write(t.Context(), archive.WriteOptions{
		Run: run, Files: c.files, Now: time.Now, Databases: c.dumps,
		Dumps:   []recorded.Dump{{Name: "system-database", Kind: recorded.PostgreSQL}, {Name: "backend-redis", Kind: recorded.Redis}},
		Objects: []archive.ObjectFile{{Path: "secrets/a.json", Data: []byte("{}")}},
		Source:  archive.Source{Namespace: "3scale", APIManager: "example"},
	})
	require.NoError(t, err)
	bucket, err := archive.OpenBucket(t.Context(), archive.BucketOptions{
		Endpoint: c.server.Endpoint, Bucket: c.server.Bucket, Prefix: prefix, Insecure: true, PathStyle: true,
		Credentials: archive.Credentials{AccessKey: c.server.AccessKey, SecretKey: c.server.SecretKey},
	})
	require.NoError(t, err)
	defer bucket.Close()
	_, err = bucket.Copy(t.Context(), volume, archive.CopyOptions{Runs: []string{run}, Owner: "a test"})
	require.NoError(t, err)
	return c
}

// reader is somebody who has the keys of the bucket.
func (c *copied) reader(t *testing.T) *reader {
	dir := t.TempDir()
	return &reader{t: t, dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_ACCESS_KEY_ID=" + c.server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + c.server.SecretKey,
	}}
}

// choices are the reader's own endpoint.
func (c *copied) choices() []string {
	return []string{"https://s3.example.com", "http://" + c.server.Endpoint, "backups/prod/3scale", c.server.Bucket + "/" + prefix}
}

// found lists all entries of a folder: types, modes, times, sizes and targets.
func found(t *testing.T, dir string) string {
	t.Helper()
	find := exec.CommandContext(t.Context(), "find", ".", "-printf", `%P %y %m %T@ %l\0`)
	find.Dir = dir
	out, err := find.Output()
	require.NoError(t, err)
	entries := strings.Split(string(out), "\x00")
	require.Greater(t, len(entries), 100)
	slices.Sort(entries)
	return strings.Join(entries, "\n")
}

// TestRestoreFromABucket: the commands of the document, word for word, give back each entry.
func TestRestoreFromABucket(t *testing.T) {
	need(t, "bash", "rclone", "jq", "sha256sum", "bsdtar", "find", "diff")
	c := newCopied(t)
	r := c.reader(t)
	out, err := r.follow("fn/archive/README.md", "Restore by hand from a bucket", c.choices()...)
	require.NoError(t, err, out)
	assert.Contains(t, out, run+"/\n", "the list of runs")
	restored := filepath.Join(r.dir, run, "restored")
	assert.Equal(t, found(t, c.files), found(t, restored))
	out2, err := exec.CommandContext(t.Context(), "diff", "-r", "--no-dereference", c.files, restored).CombinedOutput()
	require.NoError(t, err, "%s", out2)
	data, err := os.ReadFile(filepath.Join(r.dir, run, "run/secrets/a.json"))
	require.NoError(t, err)
	assert.Equal(t, "{}", string(data))
}

// TestDumpsByHand: the dumps of a run are proven on the volume, and brought from the bucket by the commands that bring
// the files.
func TestDumpsByHand(t *testing.T) {
	need(t, "bash", "rclone", "jq", "sha256sum", "bsdtar", "diff")
	c := newCopied(t)
	r := c.reader(t)
	choices := []string{"/mnt/nightly-backup", c.volume}
	out, err := r.follow("fn/archive/README.md", "Get a dump by hand", choices...)
	require.NoError(t, err, out)
	assert.Contains(t, out, `"name": "backend-redis"`)
	assert.Contains(t, out, "databases/../SHA256SUMS: OK")

	out, err = r.follow("fn/archive/README.md", "Restore by hand from a bucket",
		append(c.choices(), "-r .tree", "-r .databases.tree", "-r .digests.files", "-r .databases.digests.files")...)
	require.NoError(t, err, out)
	same, err := exec.CommandContext(t.Context(), "diff", "-r", c.dumps, filepath.Join(r.dir, run, "restored")).CombinedOutput()
	require.NoError(t, err, "%s", same)

	stored := filepath.Join(c.volume, "runs", run, "databases/system-database/3456.dat")
	require.NoError(t, os.WriteFile(stored, []byte("other"), 0o600))
	out, err = r.follow("fn/archive/README.md", "Get a dump by hand", choices...)
	require.Error(t, err, "damage is found")
	assert.Contains(t, out, "files/system-database/3456.dat: FAILED")
}

// TestDamageIsFoundByHand: a reader who follows the document does not get to the end with
// something else than was stored.
func TestDamageIsFoundByHand(t *testing.T) {
	need(t, "bash", "rclone", "jq", "sha256sum", "bsdtar")
	cases := map[string]struct {
		reason string
		path   string // of objects in the bucket, as a pattern of a shell
		says   string
	}{
		"Object": {"a Secret that was replaced", "runs/*/secrets/a.json", "secrets/a.json: FAILED"},
		"Sums":   {"its list was replaced", "runs/*/SHA256SUMS", "run/SHA256SUMS: FAILED"},
		"Tree":   {"the list of the files", "trees/*/SHA256SUMS", "SHA256SUMS: FAILED"},
		"MTREE":  {"the list of the entries", "trees/*/MTREE", "MTREE: FAILED"},
		"Blob":   {"a file", "blobs/*/*", ": FAILED"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCopied(t)
			r := c.reader(t)
			script := `rclone lsf -R --files-only --include "/` + tc.path + `" "$COPY" | while IFS= read -r victim; do printf other | rclone rcat "$COPY/$victim"; done`
			spoil := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
			spoil.Env = append(slices.Clone(r.env), "COPY=copy:"+c.server.Bucket+"/"+prefix, "RCLONE_CONFIG_COPY_TYPE=s3", "RCLONE_CONFIG_COPY_PROVIDER=Other",
				"RCLONE_CONFIG_COPY_ENV_AUTH=true", "RCLONE_CONFIG_COPY_ENDPOINT=http://"+c.server.Endpoint, "RCLONE_CONFIG_COPY_REGION=eu-central-1")
			out, err := spoil.CombinedOutput()
			require.NoError(t, err, "%s", out)
			said, err := r.follow("fn/archive/README.md", "Restore by hand from a bucket", c.choices()...)
			require.Error(t, err, tc.reason)
			assert.Contains(t, said, tc.says, tc.reason)
			assert.NoDirExists(t, filepath.Join(r.dir, run, "restored"), tc.reason)
		})
	}
}
