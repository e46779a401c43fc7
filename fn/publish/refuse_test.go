package publish

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
	fluxssh "github.com/fluxcd/pkg/ssh"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/publish/internal/failure"
)

// canary stands for each secret; it must never be in an error.
const canary = "canary/s3cr3t+value"

func assertClean(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, form := range []string{canary, url.QueryEscape(canary), url.PathEscape(canary)} {
			assert.NotContains(t, err.Error(), form)
		}
		assert.NotContains(t, err.Error(), "\n")
		assert.Less(t, len(err.Error()), 3*failure.MaxWords)
	}
}

func TestWhatAServerRefuses(t *testing.T) {
	cases := map[string]struct {
		reason  string
		want    Reason
		says    string
		prepare func(t *testing.T, s *server) Target
	}{
		"hook": {"a hook's words reach the user", PushRejected, "no restores; on a Friday", func(t *testing.T, s *server) Target {
			s.hook(t, "pre-receive", "printf '\\033[31mno restores\\non a Friday\\007\\n' >&2; exit 1")
			return s.target()
		}},
		"long hook": {"they are bounded", PushRejected, "xxxx", func(t *testing.T, s *server) Target {
			s.hook(t, "pre-receive", "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1")
			return s.target()
		}},
		"hook that tells the login": {"a server may repeat what it was sent", PushRejected, "*****", func(t *testing.T, s *server) Target {
			s.hook(t, "update", "echo 'who is "+canary+"?' >&2; exit 1")
			target := s.target()
			target.Auth = map[string][]byte{"username": []byte("bob"), "password": []byte(canary)}
			return target
		}},
		"protected branch": {"a rule of a forge", PushRejected, "GH006", func(t *testing.T, s *server) Target {
			s.hook(t, "update", "echo 'error: GH006: Protected branch update failed' >&2; exit 1")
			return s.target()
		}},
		"wrong password": {"401", AuthenticationFailed, "check the Secret", func(t *testing.T, s *server) Target {
			s.StopHTTP()
			s.Auth("bob", "right")
			require.NoError(t, s.StartHTTP())
			target := s.target()
			target.Auth = map[string][]byte{"username": []byte("bob"), "password": []byte(canary)}
			return target
		}},
		"wrong password in the URL": {"the URL is shown without it", AuthenticationFailed, "check the Secret", func(t *testing.T, s *server) Target {
			s.StopHTTP()
			s.Auth("bob", "right")
			require.NoError(t, s.StartHTTP())
			target := s.target()
			target.URL = strings.Replace(target.URL, "http://", "http://"+url.QueryEscape(canary)+":x@", 1)
			return target
		}},
		"wrong token": {"401", AuthenticationFailed, "check the Secret", func(t *testing.T, s *server) Target {
			s.StopHTTP()
			s.Auth("bob", "right")
			require.NoError(t, s.StartHTTP())
			target := s.target()
			target.Auth = map[string][]byte{"bearerToken": []byte(canary)}
			return target
		}},
		"forbidden": {"403", AuthenticationFailed, "", status(http.StatusForbidden)},
		"no such repository": {"404", RepositoryNotFound, "check the URL", func(t *testing.T, s *server) Target {
			target := s.target()
			target.URL = s.HTTPAddress() + "/team/other.git"
			return target
		}},
		"in trouble":    {"503", Unreachable, "", status(http.StatusServiceUnavailable)},
		"slow down":     {"429", Unreachable, "", status(http.StatusTooManyRequests)},
		"too large":     {"413", PushRejected, "large", status(http.StatusRequestEntityTooLarge)},
		"no Git server": {"418", InvalidInput, "check the URL", status(http.StatusTeapot)},
		"no such port": {"nobody listens", Unreachable, "", func(t *testing.T, s *server) Target {
			target := s.target()
			s.StopHTTP()
			return target
		}},
		"no such branch": {"another one is there", BranchNotFound, `"master"`, func(t *testing.T, s *server) Target {
			target := s.target()
			target.Branch = "master"
			return target
		}},
		"unknown authority": {"no ca.crt", CertificateRejected, "ca.crt", func(t *testing.T, s *server) Target {
			cert, key := certificate(t)
			s.StopHTTP()
			require.NoError(t, s.StartHTTPS(cert, key, cert, "127.0.0.1"))
			return s.target()
		}},
		"unknown host key": {"known_hosts has another one", HostKeyRejected, "known_hosts", func(t *testing.T, s *server) Target {
			target := s.sshTarget(t)
			address, err := url.Parse(target.URL)
			require.NoError(t, err)
			pair, err := fluxssh.NewEd25519Generator().Generate()
			require.NoError(t, err)
			target.Auth["known_hosts"] = []byte("[" + address.Hostname() + "]:" + address.Port() + " " + string(pair.PublicKey))
			return target
		}},
		"no known hosts": {"none are given", InvalidInput, "known_hosts", func(t *testing.T, s *server) Target {
			target := s.sshTarget(t)
			delete(target.Auth, "known_hosts")
			return target
		}},
		"no such repository over SSH": {"git says so on its standard error", RepositoryNotFound, "", func(t *testing.T, s *server) Target {
			target := s.sshTarget(t)
			target.URL = strings.Replace(target.URL, "repo.git", "other.git", 1)
			return target
		}},
		"silent server": {"a server that accepts and says nothing", Timeout, "timeout", func(t *testing.T, s *server) Target {
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, listener.Close()) })
			target := s.target()
			target.URL, target.Timeout = "http://"+listener.Addr().String()+"/r.git", 200*time.Millisecond
			return target
		}},
		"silent SSH server": {"go-git's handshake knows no context", Timeout, "timeout", func(t *testing.T, s *server) Target {
			target := s.sshTarget(t)
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, listener.Close()) })
			target.URL, target.Timeout = "ssh://git@"+listener.Addr().String()+"/r.git", 200*time.Millisecond
			return target
		}},
		"SHA-256": {"go-git reads SHA-1 only, and so does source-controller", UnsupportedRepository, "SHA-256", func(t *testing.T, s *server) Target {
			require.NoError(t, os.RemoveAll(s.bare))
			gitIn(t, s.Root(), "init", "-q", "--bare", "-b", "main", "--object-format=sha256", s.bare)
			tree := gitIn(t, s.bare, "write-tree")
			gitIn(t, s.bare, "update-ref", "refs/heads/main", gitIn(t, s.bare, "commit-tree", tree, "-m", "x"))
			return s.target()
		}},
		"no push options": {"the server does not advertise them", InvalidInput, "push options", func(t *testing.T, s *server) Target {
			target := s.target()
			target.PushOptions = map[string]string{"a": "b"}
			return target
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			noLeftovers(t)
			s := serveSeeded(t, map[string]string{"README.md": "1"})
			target := tc.prepare(t, s)
			_, err := Publish(t.Context(), target, folders, commitOf("one"), writing(someFiles))
			failed := requireReason(t, err, tc.want)
			assert.Contains(t, failed.Error(), tc.says)
			assertClean(t, err)
			t.Log(failed)
			assert.Len(t, s.commits(t, "main"), 1)
		})
	}
}

// status is a server that answers everything with one status.
func status(code int) func(*testing.T, *server) Target {
	return func(t *testing.T, s *server) Target {
		s.StopHTTP()
		s.AddHTTPMiddlewares(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		})
		require.NoError(t, s.StartHTTP())
		return s.target()
	}
}

func TestMalformedTargets(t *testing.T) {
	good := Target{URL: "https://example.org/r.git", Branch: "main"}
	cases := map[string]func(*Target){
		"no URL":               func(t *Target) { t.URL = "" },
		"scp-like":             func(t *Target) { t.URL = "git@example.org:r.git" },
		"file":                 func(t *Target) { t.URL = "file:///tmp/r.git" },
		"file on a host":       func(t *Target) { t.URL = "file://host/tmp/r.git" },
		"control characters":   func(t *Target) { t.URL = "https://" + "user:" + "canary\x00@example.org" },
		"no branch":            func(t *Target) { t.Branch = "" },
		"branch with space":    func(t *Target) { t.Branch = "a b" },
		"branch with dots":     func(t *Target) { t.Branch = "a..b" },
		"push branch":          func(t *Target) { t.PushBranch = "-x\x01" },
		"foreign source":       func(t *Target) { t.Refspec = "refs/heads/other:refs/heads/x" },
		"no destination":       func(t *Target) { t.Refspec = "HEAD" },
		"short destination":    func(t *Target) { t.Refspec = "HEAD:main" },
		"forced on the branch": func(t *Target) { t.Refspec = "+HEAD:refs/heads/main" },
		"token and password": func(t *Target) {
			t.Auth = map[string][]byte{"bearerToken": []byte("x")}
			t.URL = "https://bob:pass@example.org/r.git"
		},
		"password without name": func(t *Target) { t.Auth = map[string][]byte{"password": []byte(canary)} },
		"SSH without a login":   func(t *Target) { t.URL = "ssh://git@example.org/r.git" },
		"SSH with a bad key": func(t *Target) {
			t.URL = "ssh://git@example.org/r.git"
			t.Auth = map[string][]byte{"identity": []byte(canary), "known_hosts": []byte("example.org ssh-ed25519 AAAA")}
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			target := good
			spoil(&target)
			_, err := Publish(t.Context(), target, folders, commitOf("one"), writing(someFiles))
			requireReason(t, err, InvalidInput)
			assertClean(t, err)
		})
	}
}

func TestMalformedCommits(t *testing.T) {
	cases := map[string]func(*Commit){
		"no author":           func(c *Commit) { c.AuthorName = "" },
		"author with bracket": func(c *Commit) { c.AuthorEmail = "a>\nparent x" },
		"no message":          func(c *Commit) { c.Message = " \n" },
		"NUL":                 func(c *Commit) { c.Message = "a\x00b" },
		"key with space":      func(c *Commit) { c.Trailer.Key = "a b" },
		"no subject":          func(c *Commit) { c.Trailer.Subject = "" },
		"two subjects":        func(c *Commit) { c.Trailer.Subject = "a b" },
		"value with newline":  func(c *Commit) { c.Trailer.Value = "a\nb" },
		"no value":            func(c *Commit) { c.Trailer.Value = "" },
		"another's record":    func(c *Commit) { c.Message = "x\n\nthreescale-restore: other/y digest run" },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			commit := commitOf("one")
			spoil(&commit)
			_, err := Publish(t.Context(), Target{URL: "https://example.org/r.git", Branch: "main"}, folders, commit, writing(someFiles))
			requireReason(t, err, InvalidInput)
		})
	}
}

// hostile is a repository in which names of our folders are traps.
func hostile(t *testing.T) *server {
	t.Helper()
	s := serve(t)
	dir := filepath.Join(t.TempDir(), "work")
	gitIn(t, "", "clone", "-q", s.bare, dir)
	other := filepath.Join(t.TempDir(), "sub")
	gitIn(t, "", "init", "-q", other)
	gitIn(t, other, "commit", "-q", "--allow-empty", "-m", "x")
	gitIn(t, dir, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other, "sub")
	for name, data := range map[string]string{
		".gitignore": "*\n", "apps/.gitignore": "*.yaml\n", "file": "x", "apps/dir/x": "x",
		".gitattributes": "* text eol=crlf\napps/** filter=lfs diff=lfs merge=lfs -text\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	for name, target := range map[string]string{"out": "/etc", "in": "apps/dir", "apps/link": "dir", "apps/dir/leaf": "x"} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	gitIn(t, dir, "-c", "filter.lfs.clean=cat", "add", "-A", "-f")
	gitIn(t, dir, "commit", "-q", "-m", "traps")
	gitIn(t, dir, "push", "-q", "origin", "main")
	return s
}

func TestRefusedPaths(t *testing.T) {
	s := hostile(t)
	cases := map[string]struct {
		folder string
		edit   Edit
	}{
		"symlink out":              {"out", write("out/a")},
		"below a symlink out":      {"out/base", write("out/base/a")},
		"symlink within":           {"in", write("in/a")},
		"nested symlink":           {"apps/link/base", write("apps/link/base/a")},
		"file":                     {"file", write("file/a")},
		"below a file":             {"file/base", write("file/base/a")},
		"submodule":                {"sub", write("sub/a")},
		"below a submodule":        {"sub/base", write("sub/base/a")},
		"symlink in the folder":    {"apps", write("apps/link/a")},
		"symlink as the file":      {"apps/dir", write("apps/dir/leaf")},
		"remove a symlink":         {"apps/dir", Edit{Remove: []string{"apps/dir/leaf"}}},
		"directory as the file":    {"apps", write("apps/dir")},
		"remove a directory":       {"apps", Edit{Remove: []string{"apps/dir"}}},
		"outside":                  {"apps/dir", write("apps/other")},
		"outside with dots":        {"apps/dir", write("apps/dir/../../x")},
		"prefix of a name":         {"apps/di", write("apps/dir/y")},
		"the folder itself":        {"apps/dir", write("apps/dir")},
		"absolute":                 {"apps/dir", write("/etc/passwd")},
		"Git's directory":          {"apps/dir", write("apps/dir/.git/config")},
		"Git's directory, HFS+":    {"apps/dir", write("apps/dir/.g\u200cit/config")},
		"Git's directory, NTFS":    {"apps/dir", write("apps/dir/GIT~1/config")},
		"Git's directory, stream":  {"apps/dir", write("apps/dir/.git::$INDEX_ALLOCATION/config")},
		"backslash":                {"apps/dir", write(`apps/dir/a\..\b`)},
		"newline":                  {"apps/dir", write("apps/dir/a\nb")},
		"file and directory":       {"apps/dir", write("apps/dir/a", "apps/dir/a/b")},
		"folder with dots":         {"apps/../..", write("x")},
		"folder in Git's":          {".git/hooks", write(".git/hooks/pre-push")},
		"root as the folder":       {".", write("x")},
		"empty folder":             {"", write("x")},
		"absolute folder":          {"/etc", write("/etc/passwd")},
		"folder with double slash": {"apps//dir", write("apps//dir/a")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			noLeftovers(t)
			_, err := Publish(t.Context(), s.target(), []string{tc.folder}, commitOf("one"), func(context.Context, fs.FS) (Edit, error) { return tc.edit, nil })
			requireReason(t, err, PathRefused)
			assert.Len(t, s.commits(t, "main"), 1)
		})
	}
}

func write(names ...string) Edit {
	edit := Edit{Write: map[string][]byte{}}
	for _, name := range names {
		edit.Write[name] = []byte("data")
	}
	return edit
}

func TestIgnoredAndFilteredFilesAreCommittedAsTheyAre(t *testing.T) {
	s := hostile(t)
	data := "a\r\nb\nc"
	_, err := Publish(t.Context(), s.target(), []string{"apps/base"}, commitOf("one"), writing(map[string]string{"apps/base/x.yaml": data}))
	require.NoError(t, err)
	assert.Equal(t, data, string(s.content(t, "main", "apps/base/x.yaml")))
	assert.Equal(t, "A\tapps/base/x.yaml", gitIn(t, s.bare, "diff-tree", "--no-commit-id", "--name-status", "-r", "main"), "symlinks and submodules stay")
}

func TestFilesOfACommit(t *testing.T) {
	s := hostile(t)
	for _, picks := range []string{"false", "true"} {
		gitIn(t, s.bare, "config", "uploadpack.allowFilter", picks)
		gitIn(t, s.bare, "config", "uploadpack.allowAnySHA1InWant", picks)
		_, err := Inspect(t.Context(), s.target(), Trailer{}, func(_ context.Context, files fs.FS) error {
			for _, name := range []string{"out/passwd", "in/x", "apps/link", "sub/x", "sub"} {
				_, err := fs.ReadFile(files, name)
				assert.ErrorIs(t, err, errNotRegular, name)
			}
			for _, name := range []string{"../x", "/etc/passwd", "apps/../file", ""} {
				_, err := files.Open(name)
				assert.ErrorIs(t, err, fs.ErrInvalid, name)
			}
			_, err := fs.Stat(files, "file/x")
			assert.ErrorIs(t, err, fs.ErrNotExist)
			data, err := fs.ReadFile(files, "file")
			assert.NoError(t, err)
			assert.Equal(t, "x", string(data))
			found, err := fs.Stat(files, "apps/dir")
			assert.NoError(t, err)
			assert.True(t, found.IsDir())
			_, err = files.Open("apps/dir")
			assert.ErrorContains(t, err, "is a directory")
			return nil
		})
		require.NoError(t, err)
	}
}

func TestTheDiffIsProven(t *testing.T) {
	s := serveSeeded(t, map[string]string{"README.md": "1", "apps/base/x/a.yaml": "1"})
	second := s.seed(t, "main", map[string]string{"README.md": "2", "apps/base/x/a.yaml": "2"})
	storer := filesystem.NewStorage(osfs.New(s.bare), cache.NewObjectLRUDefault())
	defer func() { assert.NoError(t, storer.Close()) }()
	trees := hashes(gitIn(t, s.bare, "rev-parse", second+"~^{tree}", second+"^{tree}"))
	edit := Edit{Write: map[string][]byte{"apps/base/x/a.yaml": []byte("2")}}
	failed := requireReason(t, checkDiff(t.Context(), storer, trees[0], trees[1], folders, edit), Internal)
	assert.Contains(t, failed.Error(), "README.md")
	edit.Write["apps/base/x/a.yaml"] = []byte("3")
	failed = requireReason(t, checkDiff(t.Context(), storer, trees[0], trees[0], folders, edit), Internal)
	assert.Contains(t, failed.Error(), "a.yaml")
}

func TestOneRequestForEachFileThatIsRead(t *testing.T) {
	bytes := 0
	s := serve(t, func(g *gittestserver.GitServer) {
		g.AddHTTPMiddlewares(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&counter{w, &bytes}, r) })
		})
	})
	big := strings.Builder{}
	for i := range 200_000 {
		big.WriteString(time.Unix(int64(i)*7919, 0).UTC().String())
	}
	s.seed(t, "main", map[string]string{"big": big.String(), "small": "x"})
	gitIn(t, s.bare, "config", "uploadpack.allowFilter", "true")
	gitIn(t, s.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
	_, err := Publish(t.Context(), s.target(), folders, commitOf("one"), func(ctx context.Context, files fs.FS) (Edit, error) {
		data, err := fs.ReadFile(files, "small")
		assert.NoError(t, err)
		assert.Equal(t, "x", string(data))
		return writing(someFiles)(ctx, files)
	})
	require.NoError(t, err)
	assert.Less(t, bytes, 20_000, "files that nobody reads are not fetched")
}

type counter struct {
	http.ResponseWriter

	bytes *int
}

func (c *counter) Flush() {}

func (c *counter) Write(p []byte) (int, error) {
	*c.bytes += len(p)
	return c.ResponseWriter.Write(p)
}
