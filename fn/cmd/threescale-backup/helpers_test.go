package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/dataset"
)

// needGit skips a test on a machine without git; where all of them have to run,
// as in CI, that is a failure.
func needGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), err)
		t.Skip(err)
	}
}

// gitIn runs the real git, with no configuration but the repository's own.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=Seed", "-c", "user.email=seed@example.org"}, args...)...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "git %v: %s", args, out)
	return strings.TrimRight(string(out), "\n")
}

// installed is an installation, and a backup of it that the real engine made.
type installed struct {
	dir    string
	files  string // its file storage
	volume string // with the backup
	// keys holds an age identity, of which this is the recipient.
	keys, recipient string
	identity        []byte
}

// newInstalled backs an installation up.
func newInstalled(t *testing.T, encrypted bool) *installed {
	t.Helper()
	dir := t.TempDir()
	i := &installed{dir: dir, files: filepath.Join(dir, "files"), volume: filepath.Join(dir, "volume"), keys: filepath.Join(dir, "keys")}
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	i.recipient, i.identity = key.Recipient().String(), []byte(key.String())
	put(t, i.keys, "restorer.agekey", "# made for a test\n"+key.String()+"\n")
	require.NoError(t, dataset.WriteManifests(filepath.Join(dir, "objects"), dataset.Installation(dataset.Options{Seed: 1})))
	_, err = dataset.Generate(i.files, dataset.SetS, 1)
	require.NoError(t, err)
	put(t, i.files, ".htaccess", "deny from all\n")
	put(t, i.files, ".well-known/security.txt", "")
	put(t, i.files, "tenant-001/script.sh", "#!/bin/sh\n")
	put(t, i.files, "bytes \xff\xfe and\na line", "a name of any bytes")
	require.NoError(t, os.Chmod(filepath.Join(i.files, "tenant-001/script.sh"), 0o750))
	require.NoError(t, os.Chmod(filepath.Join(i.files, ".htaccess"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(i.files, "empty/below"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(i.files, "empty"), 0o711))
	require.NoError(t, os.Symlink("tenant-001/script.sh", filepath.Join(i.files, "link")))
	require.NoError(t, os.Symlink("/no/such/place", filepath.Join(i.files, "dangling")))
	old := time.Date(2019, 2, 3, 4, 5, 6, 123456789, time.UTC)
	for _, name := range []string{"tenant-001/script.sh", "empty/below", "empty"} {
		require.NoError(t, os.Chtimes(filepath.Join(i.files, name), old, old))
	}
	i.backup(t, encrypted)
	return i
}

// backup makes another run.
func (i *installed) backup(t *testing.T, encrypted bool) {
	t.Helper()
	args := []string{"backup", "--volume", i.volume, "--objects", filepath.Join(i.dir, "objects"), "--file-storage", i.files}
	if encrypted {
		args = append(args, "--recipient", i.recipient)
	}
	done := execute(t, args...)
	require.Equal(t, 0, done.code, done.stderr)
}

// rules are a .sops.yaml for the installation's recipient.
func (i *installed) rules() string {
	return "creation_rules:\n- encrypted_regex: ^(data|stringData)$\n  age: " + i.recipient + "\n"
}

// site is where an installation is restored to.
type site struct {
	repository string // with a work tree, and the rules in its only commit
	storage    string // not there yet
}

func newSite(t *testing.T, rules string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{repository: filepath.Join(dir, "repository"), storage: filepath.Join(dir, "storage")}
	gitIn(t, dir, "init", "-q", "-b", "main", s.repository)
	put(t, s.repository, "README.md", "the team's own\n")
	if rules != "" {
		put(t, s.repository, ".sops.yaml", rules)
	}
	gitIn(t, s.repository, "add", "-A")
	gitIn(t, s.repository, "commit", "-q", "-m", "seed")
	return s
}

// restore is the command line of a restore; flags of more take the place of those that it has.
func (s *site) restore(i *installed, more ...string) []string {
	args := []string{"restore"}
	for _, flag := range [][2]string{
		{"--volume", i.volume}, {"-n", "3scale-dr"}, {"--name", "dr"}, {"--repository", s.repository}, {"--path", "apps/3scale"}, {"--file-storage", s.storage},
	} {
		if !slices.Contains(more, flag[0]) {
			args = append(args, flag[0], flag[1])
		}
	}
	return append(args, more...)
}

// commits are those of a revision, the newest first.
func (s *site) commits(t *testing.T, revision string) []string {
	t.Helper()
	return strings.Fields(gitIn(t, s.repository, "log", "--format=%H", revision))
}

// state is all that a restore could change: files, references, index and storage.
func (s *site) state(t *testing.T) string {
	t.Helper()
	storage := entries(t, s.storage)
	return fmt.Sprintf("references %s, work tree %q, file storage %d entries, %x", gitIn(t, s.repository, "for-each-ref"), gitIn(t, s.repository, "status", "--porcelain"),
		len(storage), sha256.Sum256(fmt.Append(nil, storage)))
}

// tree reads the files of a commit.
func (s *site) tree(t *testing.T, revision string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for name := range strings.SplitSeq(gitIn(t, s.repository, "ls-tree", "-r", "--name-only", revision), "\n") {
		files[name] = []byte(gitIn(t, s.repository, "show", revision+":"+name) + "\n")
	}
	return files
}

// executed is what a command line did.
type executed struct {
	code           int
	stdout, stderr string
}

// execute runs a command line as main does, and proves that it tells no Secret.
func execute(t *testing.T, args ...string) executed {
	t.Helper()
	var stdout, stderr bytes.Buffer
	done := executed{code: run(t.Context(), args, &stdout, &stderr)}
	done.stdout, done.stderr = stdout.String(), stderr.String()
	for _, form := range append(dataset.MarkerForms(), "AGE-SECRET-KEY-1") {
		require.NotContains(t, done.stdout+done.stderr, form)
	}
	return done
}

// executeJSON runs a command line that must succeed with an answer in JSON.
func executeJSON[T any](t *testing.T, args ...string) T {
	t.Helper()
	done := execute(t, append(args, "-o", "json")...)
	require.Equal(t, 0, done.code, done.stderr)
	var answer T
	decoder := json.NewDecoder(strings.NewReader(done.stdout))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&answer), done.stdout)
	return answer
}

// put writes a file.
func put(t *testing.T, dir, name, data string) {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(t, os.WriteFile(full, []byte(data), 0o644))
}

// entries describes all that is in a directory, and the directory: types,
// modes, times, contents and targets. There is nothing in one that is not there.
func entries(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		require.NoError(t, unix.Lstat(path, &stat))
		text := fmt.Sprintf("%o %d %d.%09d", stat.Mode, stat.Uid, stat.Mtim.Sec, stat.Mtim.Nsec)
		switch stat.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			text += fmt.Sprintf(" %x", sha256.Sum256(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			text += " -> " + target
		}
		relative, err := filepath.Rel(dir, path)
		found[relative] = text
		return err
	})
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return found
}

// decode reads a manifest.
func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var object map[string]any
	require.NoError(t, yaml.Unmarshal(data, &object))
	return object
}

// assertNoPlaintext looks for confidential values in all that a repository holds.
func (s *site) assertNoPlaintext(t *testing.T) {
	t.Helper()
	all := gitIn(t, s.repository, "log", "--all", "-p", "--format=raw")
	for _, form := range dataset.MarkerForms() {
		assert.NotContains(t, all, form)
	}
}
