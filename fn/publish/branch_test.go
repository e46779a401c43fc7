package publish

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	fluxssh "github.com/fluxcd/pkg/ssh"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func hashes(text string) []plumbing.Hash {
	var list []plumbing.Hash
	for each := range strings.FieldsSeq(text) {
		list = append(list, plumbing.NewHash(each))
	}
	return list
}

func TestPushBranch(t *testing.T) {
	noLeftovers(t)
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	s.hook(t, "update", `test "$1" != refs/heads/main || { echo 'main is protected' >&2; exit 1; }`)
	target := s.target()
	target.PushBranch = "restore/x"
	publish := func(value string) (Result, error) {
		return Publish(t.Context(), target, folders, commitOf(value), writing(with(someFiles, map[string]string{"apps/base/x/a.yaml": value})))
	}
	one, err := publish("one")
	require.NoError(t, err)
	assert.Equal(t, "restore/x", one.Branch)
	again, err := publish("one")
	require.NoError(t, err)
	assert.True(t, again.Found, "it waits there to be merged")
	assert.Equal(t, one.Commit, again.Commit)

	require.NoError(t, os.Remove(filepath.Join(s.bare, "hooks/update")))
	moved := s.seed(t, "main", map[string]string{"README.md": "2"})
	two, err := publish("two")
	require.NoError(t, err)
	assert.Equal(t, []string{two.Commit, moved}, s.commits(t, "restore/x")[:2], "made anew from main, over our own commit")
	assert.Equal(t, moved, s.commits(t, "main")[0])

	s.seed(t, "restore/x", map[string]string{"apps/base/x/fixup.yaml": "by hand"})
	_, err = publish("three")
	requireReason(t, err, BranchNotOurs)
	assert.Equal(t, "by hand", string(s.content(t, "restore/x", "apps/base/x/fixup.yaml")))

	gitIn(t, s.bare, "update-ref", "refs/heads/main", "refs/heads/restore/x")
	three, err := publish("three")
	require.NoError(t, err, "merged, it may be used again")
	assert.True(t, three.Pushed)

	other := commitOf("one")
	other.Trailer.Subject = "ns/y"
	_, err = Publish(t.Context(), target, folders, other, writing(map[string]string{"apps/base/x/a.yaml": "y"}))
	requireReason(t, err, BranchNotOurs)
}

func TestAForcedPushThatTheServerForbids(t *testing.T) {
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	gitIn(t, s.bare, "config", "receive.denyNonFastForwards", "true")
	target := s.target()
	target.PushBranch = "restore"
	_, err := Publish(t.Context(), target, folders, commitOf("one"), writing(someFiles))
	require.NoError(t, err)
	tries := 0
	_, err = Publish(t.Context(), target, folders, commitOf("two"), func(ctx context.Context, files fs.FS) (Edit, error) {
		tries++
		return writing(map[string]string{"apps/base/x/a.yaml": "2"})(ctx, files)
	})
	requireReason(t, err, PushRejected)
	assert.Equal(t, 1, tries)
}

func TestRefspecAndPushOptions(t *testing.T) {
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	gitIn(t, s.bare, "config", "receive.advertisePushOptions", "true")
	seen := filepath.Join(t.TempDir(), "seen")
	s.hook(t, "pre-receive", `echo "$GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0 $GIT_PUSH_OPTION_1" >`+seen)
	target := s.target()
	target.PushBranch = "auto"
	target.Refspec = "refs/heads/auto:refs/for/main"
	target.PushOptions = map[string]string{"merge_request.create": "", "merge_request.target": "main"}
	result, err := Publish(t.Context(), target, folders, commitOf("one"), writing(someFiles))
	require.NoError(t, err)
	data, err := os.ReadFile(seen)
	require.NoError(t, err)
	assert.Equal(t, "2 merge_request.create= merge_request.target=main\n", string(data))
	for _, ref := range []string{"refs/heads/auto", "refs/for/main"} {
		assert.Equal(t, result.Commit, gitIn(t, s.bare, "rev-parse", ref))
	}
	assert.NotEqual(t, result.Commit, s.commits(t, "main")[0])

	s.hook(t, "update", `test "$1" != refs/heads/main || exit 1`)
	target = s.target()
	target.PushBranch, target.Refspec = "auto2", "HEAD:refs/heads/main"
	_, err = Publish(t.Context(), target, folders, commitOf("two"), writing(someFiles))
	requireReason(t, err, PushRejected)
	_, err = tryGit(s.bare, "rev-parse", "--verify", "refs/heads/auto2")
	assert.Error(t, err, "all or nothing")
}

func TestSignedCommits(t *testing.T) {
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	publish := func(t *testing.T, commit Commit) string {
		result, err := Publish(t.Context(), s.target(), folders, commit, writing(map[string]string{"apps/base/x/a.yaml": commit.Trailer.Value}))
		require.NoError(t, err)
		return result.Commit
	}
	t.Run("OpenPGP", func(t *testing.T) {
		needProgram(t, "gpg")
		secret, public := openPGPKey(t, "opened by this")
		signer, err := OpenPGPSigner(map[string][]byte{"git.asc": secret, "passphrase": []byte("opened by this")})
		require.NoError(t, err)
		commit := commitOf("openpgp")
		commit.Signer = signer
		made := publish(t, commit)
		home, err := os.MkdirTemp("", "gpg") // a socket's path has to be short
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, os.RemoveAll(home)) })
		t.Setenv("GNUPGHOME", home)
		ring := filepath.Join(t.TempDir(), "key.asc")
		require.NoError(t, os.WriteFile(ring, public, 0o600))
		out, err := exec.Command("gpg", "--batch", "--quiet", "--no-autostart", "--import", ring).CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Contains(t, gitIn(t, s.bare, "verify-commit", "-v", made), "Good signature")
	})
	t.Run("SSH", func(t *testing.T) {
		needProgram(t, "ssh-keygen")
		pair, err := fluxssh.NewEd25519Generator().Generate()
		require.NoError(t, err)
		signer, err := SSHSigner(map[string][]byte{"identity": pair.PrivateKey})
		require.NoError(t, err)
		commit := commitOf("ssh")
		commit.Signer = signer
		made := publish(t, commit)
		public, _, _, _, err := ssh.ParseAuthorizedKey(pair.PublicKey)
		require.NoError(t, err)
		allowed := filepath.Join(t.TempDir(), "allowed")
		require.NoError(t, os.WriteFile(allowed, append([]byte("flux@example.org "), ssh.MarshalAuthorizedKey(public)...), 0o600))
		assert.Contains(t, gitIn(t, s.bare, "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", "-v", made), "Good \"git\" signature")
	})
	t.Run("a signer that fails", func(t *testing.T) {
		commit := commitOf("broken")
		commit.Signer = brokenSigner{}
		_, err := Publish(t.Context(), s.target(), folders, commit, writing(map[string]string{"apps/base/x/a.yaml": "z"}))
		requireReason(t, err, InvalidInput)
	})
	gitIn(t, s.bare, "fsck", "--strict")
}

func TestSigningKeys(t *testing.T) {
	secret, public := openPGPKey(t, canary)
	pair, err := fluxssh.NewEd25519Generator().Generate()
	require.NoError(t, err)
	openPGP := map[string]map[string][]byte{
		"nothing":          {},
		"no key":           {"git.asc": []byte(canary)},
		"public key":       {"git.asc": public},
		"wrong passphrase": {"git.asc": secret, "passphrase": []byte("wrong")},
		"no passphrase":    {"git.asc": secret},
	}
	for name, data := range openPGP {
		_, err := OpenPGPSigner(data)
		requireReason(t, err, InvalidInput)
		assert.NotContains(t, err.Error(), canary, name)
	}
	for name, data := range map[string]map[string][]byte{"nothing": {}, "no key": {"identity": []byte(canary)}, "public key": {"identity": pair.PublicKey}} {
		_, err := SSHSigner(data)
		requireReason(t, err, InvalidInput)
		assert.NotContains(t, err.Error(), canary, name)
	}
}

type brokenSigner struct{}

func (brokenSigner) Sign(_ io.Reader) ([]byte, error) {
	return nil, errors.New("expired")
}

// openPGPKey makes a key pair, the private one locked.
func openPGPKey(t *testing.T, passphrase string) (secret, public []byte) {
	t.Helper()
	entity, err := openpgp.NewEntity("Flux", "", "flux@example.org", nil)
	require.NoError(t, err)
	encode := func(kind string, write func(w io.Writer) error) []byte {
		var out strings.Builder
		armored, err := armor.Encode(&out, kind, nil)
		require.NoError(t, err)
		require.NoError(t, write(armored))
		require.NoError(t, armored.Close())
		return []byte(out.String())
	}
	public = encode(openpgp.PublicKeyType, func(w io.Writer) error { return entity.Serialize(w) })
	require.NoError(t, entity.EncryptPrivateKeys([]byte(passphrase), nil))
	secret = encode(openpgp.PrivateKeyType, func(w io.Writer) error {
		return entity.SerializePrivateWithoutSigning(w, nil)
	})
	return secret, public
}

func TestLocal(t *testing.T) {
	bare := filepath.Join(t.TempDir(), "bare.git")
	gitIn(t, "", "init", "-q", "--bare", "-b", "main", bare)
	work := filepath.Join(t.TempDir(), "work")
	gitIn(t, "", "init", "-q", "-b", "main", work)
	for name, dir := range map[string]string{"bare": bare, "work tree": work} {
		t.Run(name, func(t *testing.T) {
			publish := func(value string, edit Edit) (Result, error) {
				return Local(t.Context(), Repository{Directory: dir}, folders, commitOf(value), func(context.Context, fs.FS) (Edit, error) { return edit, nil }, nil)
			}
			one, err := publish("one", Edit{Write: map[string][]byte{"apps/base/x/a.yaml": []byte("1"), "apps/base/x/b.yaml": []byte("1")}})
			require.NoError(t, err)
			assert.True(t, one.Pushed)
			assert.Equal(t, dir == work, one.Shown)
			again, err := publish("one", Edit{})
			require.NoError(t, err)
			assert.True(t, again.Found)
			two, err := publish("two", Edit{Write: map[string][]byte{"apps/base/x/a.yaml": []byte("2")}, Remove: []string{"apps/base/x/b.yaml"}})
			require.NoError(t, err)
			assert.Equal(t, []string{two.Commit, one.Commit}, strings.Fields(gitIn(t, dir, "log", "--format=%H", "main")))
			same, err := publish("three", Edit{Write: map[string][]byte{"apps/base/x/a.yaml": []byte("2")}})
			require.NoError(t, err)
			assert.False(t, same.Pushed)
			assert.Equal(t, "2", gitIn(t, dir, "show", "main:apps/base/x/a.yaml"))
			gitIn(t, dir, "fsck", "--strict")
			failed := errors.New("the disk is full")
			_, err = Local(t.Context(), Repository{Directory: dir}, folders, commitOf("four"), writing(map[string]string{"apps/base/x/a.yaml": "4"}), func(context.Context) error { return failed })
			assert.Equal(t, failed, err)
			assert.Equal(t, two.Commit, gitIn(t, dir, "rev-parse", "main"), "it is not committed then")
			ready := 0
			_, err = Local(t.Context(), Repository{Directory: dir}, folders, commitOf("five"), writing(map[string]string{"apps/base/x/a.yaml": "2"}), func(context.Context) error { ready++; return nil })
			require.NoError(t, err)
			assert.Equal(t, 1, ready, "there is nothing to commit, and much else to do")
			if dir == work {
				assert.Empty(t, gitIn(t, dir, "status", "--porcelain"), "the work tree shows the commit")
				data, err := os.ReadFile(filepath.Join(dir, "apps/base/x/a.yaml"))
				require.NoError(t, err)
				assert.Equal(t, "2", string(data))
				assert.NoFileExists(t, filepath.Join(dir, "apps/base/x/b.yaml"))
			}
		})
	}
}

// TestLocalWithLineEnds: a work tree that is clean by Git's own word is clean, whatever line ends Git gives it, and stays so.
func TestLocalWithLineEnds(t *testing.T) {
	const file, kept = "apps/base/x/a.yaml", "apps/base/x/kept.yaml"
	for name, tc := range map[string]struct {
		attributes string
		config     []string
	}{
		"attribute eol": {"*.yaml text eol=crlf\n", nil},
		"text and eol":  {"* text=auto\n", []string{"core.eol", "crlf"}},
		"autocrlf":      {"", []string{"core.autocrlf", "true"}},
		"none":          {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			gitIn(t, dir, "init", "-q", "-b", "main")
			if tc.config != nil {
				gitIn(t, dir, append([]string{"config"}, tc.config...)...)
			}
			publish := func(value, data string) error {
				_, err := Local(t.Context(), Repository{Directory: dir}, folders, commitOf(value), writing(map[string]string{file: data, kept: "a: 1\nb: 2\n"}), nil)
				return err
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, ".gitattributes"), []byte(tc.attributes), 0o644))
			gitIn(t, dir, "add", "-A")
			gitIn(t, dir, "commit", "-q", "-m", "attributes")
			require.NoError(t, publish("one", "a: 1\nb: 2\n"))
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "apps")))
			gitIn(t, dir, "checkout", "-q", "--", ".")
			found, err := os.ReadFile(filepath.Join(dir, file))
			require.NoError(t, err)
			require.Equal(t, name != "none", strings.Contains(string(found), "\r\n"), "Git writes it so")
			require.Empty(t, gitIn(t, dir, "status", "--porcelain"))

			require.NoError(t, publish("two", "a: 2\nb: 2\n"))
			assert.Empty(t, gitIn(t, dir, "status", "--porcelain"))
			gitIn(t, dir, "add", "--renormalize", ".")
			assert.Empty(t, gitIn(t, dir, "status", "--porcelain"), "also where Git reads all of it again")
			assert.Equal(t, "a: 2\nb: 2", gitIn(t, dir, "show", "main:"+file))

			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte("a: 2\r\nb: mine\r\n"), 0o644))
			requireReason(t, publish("three", "a: 3\nb: 2\n"), WorkTreeDirty)
		})
	}
}

// TestLocalRunsNoHook: neither those in Git's own folder, nor the one that is asked what has changed.
func TestLocalRunsNoHook(t *testing.T) {
	dir, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	gitIn(t, dir, "init", "-q", "-b", "main")
	gitIn(t, dir, "commit", "-q", "--allow-empty", "-m", "seed")
	hooks := filepath.Join(dir, ".git", "hooks")
	require.NoError(t, os.MkdirAll(hooks, 0o755))
	for _, name := range []string{"post-index-change", "fsmonitor"} {
		require.NoError(t, os.WriteFile(filepath.Join(hooks, name), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755))
	}
	gitIn(t, dir, "config", "core.fsmonitor", filepath.Join(hooks, "fsmonitor"))
	_, err := Local(t.Context(), Repository{Directory: dir}, folders, commitOf("one"), writing(someFiles), nil)
	require.NoError(t, err)
	assert.NoFileExists(t, ran)
}

// TestLocalInATerminal: Ctrl-C there goes to all processes of a group, and must not end Git between two files.
func TestLocalInATerminal(t *testing.T) {
	dir, group := t.TempDir(), filepath.Join(t.TempDir(), "group")
	gitIn(t, dir, "init", "-q", "-b", "main")
	gitIn(t, dir, "config", "filter.seen.smudge", "cut -d' ' -f5 /proc/$$/stat >"+group+"; cat")
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".gitattributes"), []byte("*.yaml filter=seen\n"), 0o644))
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-q", "-m", "attributes")
	_, err := Local(t.Context(), Repository{Directory: dir}, folders, commitOf("one"), writing(someFiles), nil)
	require.NoError(t, err)
	seen, err := os.ReadFile(group)
	require.NoError(t, err)
	assert.NotEqual(t, strconv.Itoa(syscall.Getpgrp()), strings.TrimSpace(string(seen)))
}

// TestLocalNeedsGit: whoever has no git is told to install it.
func TestLocalNeedsGit(t *testing.T) {
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q", "-b", "main")
	gitIn(t, dir, "commit", "-q", "--allow-empty", "-m", "seed")
	t.Setenv("PATH", t.TempDir())
	_, err := Local(t.Context(), Repository{Directory: dir}, folders, commitOf("one"), writing(someFiles), nil)
	requireReason(t, err, UnsupportedRepository)
	require.ErrorContains(t, err, "install git")
}

func TestLocalRefuses(t *testing.T) {
	put := func(t *testing.T, dir, name, data string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	const file = "apps/base/x/a.yaml"
	cases := map[string]struct {
		want   Reason
		branch string
		spoil  func(t *testing.T, dir string)
	}{
		"changed file":   {WorkTreeDirty, "", func(t *testing.T, dir string) { put(t, dir, file, "mine") }},
		"removed file":   {WorkTreeDirty, "", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, file))) }},
		"untracked file": {WorkTreeDirty, "", func(t *testing.T, dir string) { put(t, dir, "apps/base/x/new.yaml", "mine") }},
		"staged file": {WorkTreeDirty, "", func(t *testing.T, dir string) {
			put(t, dir, file, "mine")
			gitIn(t, dir, "add", "-A")
			put(t, dir, file, "1")
		}},
		"directory linked": {WorkTreeDirty, "", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "apps/base/x"), filepath.Join(dir, "elsewhere")))
			require.NoError(t, os.Symlink("../../elsewhere", filepath.Join(dir, "apps/base/x")))
		}},
		"ignored file in a folder's place": {WorkTreeDirty, "", func(t *testing.T, dir string) {
			gitIn(t, dir, "rm", "-q", file)
			gitIn(t, dir, "commit", "-q", "-m", "none")
			put(t, dir, ".git/info/exclude", "/apps\n")
			put(t, dir, "apps/base", "mine")
		}},
		"ignored link in a folder's place": {WorkTreeDirty, "", func(t *testing.T, dir string) {
			gitIn(t, dir, "rm", "-q", file)
			gitIn(t, dir, "commit", "-q", "-m", "none")
			put(t, dir, ".git/info/exclude", "/apps\n")
			require.NoError(t, os.Symlink("/nowhere", filepath.Join(dir, "apps")))
		}},
		"merge": {WorkTreeDirty, "", func(t *testing.T, dir string) { put(t, dir, ".git/MERGE_HEAD", "x") }},
		"linked work tree": {UnsupportedRepository, "other", func(t *testing.T, dir string) {
			gitIn(t, dir, "worktree", "add", "-q", "-b", "other", filepath.Join(t.TempDir(), "linked"))
		}},
		"another git":      {RaceLost, "", func(t *testing.T, dir string) { put(t, dir, ".git/index.lock", "") }},
		"no such branch":   {BranchNotFound, "other", nil},
		"malformed branch": {InvalidInput, "a..b", nil},
		"detached":         {InvalidInput, "", func(t *testing.T, dir string) { gitIn(t, dir, "checkout", "-q", "--detach") }},
		"no repository":    {RepositoryNotFound, "", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, ".git"))) }},
		"SHA-256": {UnsupportedRepository, "", func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, ".git")))
			gitIn(t, "", "init", "-q", "--object-format=sha256", dir)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "work")
			gitIn(t, "", "init", "-q", "-b", "main", dir)
			put(t, dir, file, "1")
			gitIn(t, dir, "add", "-A")
			gitIn(t, dir, "commit", "-q", "-m", "seed")
			if tc.spoil != nil {
				tc.spoil(t, dir)
			}
			before, _ := tryGit(dir, "status", "--porcelain")
			_, err := Local(t.Context(), Repository{Directory: dir, Branch: tc.branch}, folders, commitOf("one"), writing(map[string]string{file: "2", "apps/base/x/new.yaml": "2"}), func(context.Context) error {
				assert.Fail(t, "what cannot be taken back is done, and then the commit is refused")
				return nil
			})
			requireReason(t, err, tc.want)
			after, _ := tryGit(dir, "status", "--porcelain")
			assert.Equal(t, before, after)
		})
	}
	t.Run("another branch", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "work")
		gitIn(t, "", "init", "-q", "-b", "main", dir)
		put(t, dir, file, "1")
		gitIn(t, dir, "add", "-A")
		gitIn(t, dir, "commit", "-q", "-m", "seed")
		gitIn(t, dir, "branch", "other")
		put(t, dir, file, "mine")
		result, err := Local(t.Context(), Repository{Directory: dir, Branch: "other"}, folders, commitOf("one"), writing(map[string]string{file: "2"}), nil)
		require.NoError(t, err, "its work tree is not touched")
		assert.Equal(t, result.Commit, gitIn(t, dir, "rev-parse", "other"))
		assert.Equal(t, "M "+file, gitIn(t, dir, "status", "--porcelain"))
	})
}
