package gitserver_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/gitserver"
)

func TestProtocols(t *testing.T) {
	s, r := start(t)
	cases := map[string]struct {
		reason string
		url    string
		ca     []byte
		auth   transport.AuthMethod
		want   string // Of the error; empty: there is none.
	}{
		"HTTP":             {reason: "the user with the password should be let in", url: r.HTTP(), auth: basic(s.BasicAuth())},
		"HTTPAnonymous":    {reason: "nobody else should", url: r.HTTP(), want: "authentication required"},
		"HTTPPassword":     {reason: "nor the user with another password", url: r.HTTP(), auth: &githttp.BasicAuth{Username: "git", Password: "other"}, want: "authentication required"},
		"HTTPS":            {reason: "who knows the authority should trust the server", url: r.HTTPS(), ca: s.TLSAuth()["ca.crt"], auth: basic(s.TLSAuth())},
		"HTTPSNoAuthority": {reason: "nobody else should", url: r.HTTPS(), auth: basic(s.TLSAuth()), want: "certificate"},
		"SSH":              {reason: "the key should be let in", url: r.SSH(), auth: key(t, s.SSHAuth()["identity"], s.SSHAuth()["known_hosts"])},
		"SSHOtherKey":      {reason: "no other key should be", url: r.SSH(), auth: key(t, other(t).SSHAuth()["identity"], s.SSHAuth()["known_hosts"]), want: "unable to authenticate"},
		"SSHOtherHost":     {reason: "a client should notice another host", url: r.SSH(), auth: key(t, s.SSHAuth()["identity"], other(t).SSHAuth()["known_hosts"]), want: "knownhosts"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clone, err := git.PlainClone(t.TempDir(), false, &git.CloneOptions{URL: tc.url, Auth: tc.auth, CABundle: tc.ca})
			if tc.want != "" {
				require.ErrorContains(t, err, tc.want, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			head, err := clone.Head()
			require.NoError(t, err)
			want, err := r.Head(t.Context(), "main")
			require.NoError(t, err)
			require.Equal(t, want, head.Hash().String())
		})
	}
}

func TestHistory(t *testing.T) {
	_, r := start(t)
	first, err := r.Head(t.Context(), "main")
	require.NoError(t, err)
	message := "Restore\n\nThe reason.\n\nThreescale-Restore: 3scale/dr 1 2\nSigned-off-by: Nobody <nobody@example.com>"
	second, err := r.Push(t.Context(), gitserver.Change{Branch: "main", Message: message, Files: map[string][]byte{
		"README.md": nil, "apps/äpfel.yaml": []byte("a: b\n"), "apps/empty": {},
	}})
	require.NoError(t, err)

	commits, err := r.Commits(t.Context(), "main")
	require.NoError(t, err)
	require.Len(t, commits, 2)
	assert.Equal(t, gitserver.Commit{
		Hash: second, Parents: []string{first}, Author: "Repository maintainer <maintainer@example.com>", Message: message,
		Trailers: map[string][]string{"Threescale-Restore": {"3scale/dr 1 2"}, "Signed-off-by": {"Nobody <nobody@example.com>"}},
	}, commits[0])
	assert.Equal(t, first, commits[1].Hash)
	assert.Empty(t, commits[1].Parents)

	for revision, want := range map[string][]string{first: {"README.md", "apps/.keep"}, second: {"apps/.keep", "apps/empty", "apps/äpfel.yaml"}} {
		got, err := r.Files(t.Context(), revision)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	changed, err := r.Changed(t.Context(), second)
	require.NoError(t, err)
	assert.Equal(t, []string{"README.md", "apps/empty", "apps/äpfel.yaml"}, changed)
	data, err := r.ReadFile(t.Context(), "main", "apps/äpfel.yaml")
	require.NoError(t, err)
	assert.Equal(t, "a: b\n", string(data))
	_, err = r.ReadFile(t.Context(), "main", "README.md")
	require.ErrorContains(t, err, `cannot run git cat-file in repository "apps"`)

	clone := filepath.Join(t.TempDir(), "clone")
	require.NoError(t, r.Clone(t.Context(), clone, first))
	require.FileExists(t, filepath.Join(clone, "README.md"))
	require.NoFileExists(t, filepath.Join(clone, "apps", "empty"))
}

func TestBranches(t *testing.T) {
	_, r := start(t)
	_, err := r.Push(t.Context(), gitserver.Change{Branch: "restore", From: "main", Message: "On a branch", Files: map[string][]byte{"new": []byte("new")}})
	require.NoError(t, err)
	_, err = r.Push(t.Context(), gitserver.Change{Branch: "orphan", Message: "Of no ancestor", Files: map[string][]byte{"only": []byte("only")}})
	require.NoError(t, err)
	branches, err := r.Branches(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"main", "orphan", "restore"}, branches)

	merge, err := r.Merge(t.Context(), "restore", "main")
	require.NoError(t, err)
	head, err := r.Head(t.Context(), "main")
	require.NoError(t, err)
	require.Equal(t, merge, head)
	files, err := r.Files(t.Context(), "main")
	require.NoError(t, err)
	require.Equal(t, []string{"README.md", "apps/.keep", "new"}, files)
}

func TestEmptyRepository(t *testing.T) {
	s, _ := start(t)
	r, err := s.CreateRepository(t.Context(), "empty", "main", "")
	require.NoError(t, err)
	_, err = git.PlainClone(t.TempDir(), false, &git.CloneOptions{URL: r.HTTP(), Auth: basic(s.BasicAuth())})
	require.ErrorIs(t, err, transport.ErrEmptyRemoteRepository)
	_, err = r.Head(t.Context(), "main")
	require.Error(t, err)
}

// TestProtect pushes as a client does: by HTTP and SSH it is refused with the
// hook's words, on another branch it is not.
func TestProtect(t *testing.T) {
	s, r := start(t)
	require.NoError(t, r.Protect("main"))
	urls := map[string]transport.AuthMethod{r.HTTP(): basic(s.BasicAuth()), r.SSH(): key(t, s.SSHAuth()["identity"], s.SSHAuth()["known_hosts"])}
	for url, auth := range urls {
		before, err := r.Head(t.Context(), "main")
		require.NoError(t, err)
		err = push(t, url, auth, "main")
		require.ErrorContains(t, err, "hook declined")
		require.ErrorContains(t, err, "Changes must be made through a pull request.")
		after, err := r.Head(t.Context(), "main")
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.NoError(t, push(t, url, auth, strings.ToLower(t.Name())+url[:3]))
		_, err = r.Push(t.Context(), gitserver.Change{Branch: "main", Message: "By the maintainer"})
		require.NoError(t, err)
	}
	require.NoError(t, r.SetUpdateHook(""))
	require.NoError(t, push(t, r.HTTP(), basic(s.BasicAuth()), "main"))
}

// start starts a server with a repository "apps" of two files.
func start(t *testing.T) (*gitserver.Server, *gitserver.Repository) {
	t.Helper()
	s := other(t)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "README.md"), []byte("apps\n"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "apps"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "apps", ".keep"), nil, 0o600))
	r, err := s.CreateRepository(t.Context(), "apps", "main", folder)
	require.NoError(t, err)
	return s, r
}

func other(t *testing.T) *gitserver.Server {
	t.Helper()
	s, err := gitserver.Start(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// push clones main, commits and pushes to a branch.
func push(t *testing.T, url string, auth transport.AuthMethod, branch string) error {
	t.Helper()
	dir := t.TempDir()
	clone, err := git.PlainClone(dir, false, &git.CloneOptions{URL: url, Auth: auth})
	if err != nil {
		return err
	}
	tree, err := clone.Worktree()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pushed"), []byte(url+branch), 0o600))
	_, err = tree.Add("pushed")
	require.NoError(t, err)
	_, err = tree.Commit("Pushed", &git.CommitOptions{Author: &object.Signature{Name: "Client", Email: "client@example.com"}})
	require.NoError(t, err)
	var said bytes.Buffer
	err = clone.Push(&git.PushOptions{Auth: auth, Progress: &said, RefSpecs: []config.RefSpec{config.RefSpec("refs/heads/main:refs/heads/" + branch)}})
	if err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	return nil
}

func basic(secret map[string][]byte) *githttp.BasicAuth {
	return &githttp.BasicAuth{Username: string(secret["username"]), Password: string(secret["password"])}
}

func key(t *testing.T, identity, knownHosts []byte) transport.AuthMethod {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(path, knownHosts, 0o600))
	callback, err := gitssh.NewKnownHostsCallback(path)
	require.NoError(t, err)
	keys, err := gitssh.NewPublicKeys("git", identity, "")
	require.NoError(t, err)
	keys.HostKeyCallback = callback
	return keys
}
