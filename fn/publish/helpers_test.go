package publish

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
	fluxssh "github.com/fluxcd/pkg/ssh"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

const repository = "team/repo.git"

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the server logs each request
	os.Exit(m.Run())
}

// gitIn runs the real git, with no configuration but the repository's own.
func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, args...)
	require.NoError(t, err, "git %v: %s", args, out)
	return strings.TrimSpace(out)
}

func tryGit(dir string, args ...string) (string, error) {
	command := exec.Command("git", append([]string{"-c", "user.name=Seed", "-c", "user.email=seed@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0")
	out, err := command.CombinedOutput()
	return string(out), err
}

// server is a real Git server with one bare repository.
type server struct {
	*gittestserver.GitServer

	bare string // its directory
}

// serve makes an empty repository and serves it over HTTP.
func serve(t *testing.T, prepare ...func(*gittestserver.GitServer)) *server {
	t.Helper()
	s := &server{GitServer: gittestserver.NewGitServer(t.TempDir())}
	s.bare = filepath.Join(s.Root(), repository)
	gitIn(t, s.Root(), "init", "-q", "--bare", "-b", "main", s.bare)
	for _, each := range prepare {
		each(s.GitServer)
	}
	require.NoError(t, s.StartHTTP())
	t.Cleanup(s.StopHTTP)
	return s
}

// serveSeeded is serve with one commit on main.
func serveSeeded(t *testing.T, files map[string]string) *server {
	t.Helper()
	s := serve(t)
	s.seed(t, "main", files)
	return s
}

func (s *server) url() string { return s.HTTPAddress() + "/" + repository }

func (s *server) target() Target { return Target{URL: s.url(), Branch: "main"} }

// seed pushes a commit with the files to a branch, which it makes when it is not there.
func (s *server) seed(t testing.TB, branch string, files map[string]string, message ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "seed")
	if _, err := tryGit("", "clone", "-q", "-b", branch, s.bare, dir); err != nil {
		gitIn(t, "", "clone", "-q", s.bare, dir)
		gitIn(t, dir, "checkout", "-q", "-B", branch)
	}
	for name, data := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(data), 0o644))
	}
	gitIn(t, dir, "add", "-A", "-f")
	gitIn(t, dir, "commit", "-q", "--allow-empty", "-m", strings.Join(append(message, "seed"), " "))
	gitIn(t, dir, "push", "-q", "origin", branch)
	return gitIn(t, dir, "rev-parse", "HEAD")
}

// hook installs a hook of the repository.
func (s *server) hook(t *testing.T, name, script string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.bare, "hooks", name), []byte("#!/bin/sh\n"+script), 0o755))
}

func (s *server) commits(t testing.TB, branch string) []string {
	t.Helper()
	return strings.Fields(gitIn(t, s.bare, "log", "--format=%H", branch))
}

// content reads a file of the repository.
func (s *server) content(t testing.TB, revision, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	command := exec.Command("git", "-C", s.bare, "cat-file", "blob", revision+":"+name)
	command.Stdout = &out
	require.NoError(t, command.Run())
	return out.Bytes()
}

var folders = []string{"apps/base/x", "apps/overlays/x"}

func commitOf(value string) Commit {
	return Commit{
		AuthorName: "Flux", AuthorEmail: "flux@example.org", Message: "Restore x\n\nIt was lost.",
		Trailer: Trailer{Key: "Threescale-Restore", Subject: "ns/x", Value: value},
	}
}

// writing is a change with these files.
func writing(files map[string]string) Change {
	return func(context.Context, fs.FS) (Edit, error) {
		edit := Edit{Write: map[string][]byte{}}
		for name, data := range files {
			edit.Write[name] = []byte(data)
		}
		return edit, nil
	}
}

var someFiles = map[string]string{
	"apps/base/x/kustomization.yaml":     "resources: [a.yaml]\n",
	"apps/base/x/a.yaml":                 "a: 1\r\nb: 2\n",
	"apps/overlays/x/kustomization.yaml": "resources: [../../base/x]\n",
}

// requireReason returns the error, of which it proves that it is one for users.
func requireReason(t *testing.T, err error, want Reason) *Error {
	t.Helper()
	require.Error(t, err)
	var failed *Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, want, failed.Reason, "%v", err)
	return failed
}

// noLeftovers makes the test fail when a temporary clone is left.
func noLeftovers(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		assert.NoError(t, err)
		assert.Empty(t, left)
	})
}

// sshTarget serves the repository over SSH too, and returns how to log in.
func (s *server) sshTarget(t *testing.T) Target {
	t.Helper()
	s.KeyDir(t.TempDir())
	require.NoError(t, s.ListenSSH())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.StartSSH() // ends with an error when it is stopped
	}()
	t.Cleanup(func() {
		assert.NoError(t, s.StopSSH())
		<-done
	})
	address, err := url.Parse(s.SSHAddress())
	require.NoError(t, err)
	hosts, err := fluxssh.ScanHostKey(address.Host, 10*time.Second, []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA, ssh.KeyAlgoED25519}, false)
	require.NoError(t, err)
	pair, err := fluxssh.NewEd25519Generator().Generate()
	require.NoError(t, err)
	return Target{URL: s.SSHAddress() + "/" + repository, Branch: "main", Auth: map[string][]byte{"identity": pair.PrivateKey, "known_hosts": hosts}}
}

func with(files map[string]string, more map[string]string) map[string]string {
	all := maps.Clone(files)
	maps.Copy(all, more)
	return all
}

// needProgram leaves a test out on a machine without a program; where all of
// them have to run, as in CI, that is a failure.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), err)
		t.Skip(err)
	}
}
