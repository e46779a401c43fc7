package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

// spoil changes a place before a restore, and returns more of its command line.
type spoil func(t *testing.T, i *installed, s *site) []string

func withArgs(args ...string) spoil {
	return func(*testing.T, *installed, *site) []string { return args }
}

// flip changes one bit in the middle of a file of the volume; a star may stand for a folder.
func flip(pattern string) spoil {
	return func(t *testing.T, i *installed, _ *site) []string {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "volume")
		require.NoError(t, exec.CommandContext(t.Context(), "cp", "-a", i.volume, copied).Run())
		found, err := filepath.Glob(filepath.Join(copied, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		data, err := os.ReadFile(found[0])
		require.NoError(t, err)
		data[len(data)/2] ^= 1
		require.NoError(t, os.WriteFile(found[0], data, 0o644))
		return []string{"--volume", copied}
	}
}

// rules replaces the repository's rules; without any, there are none.
func rules(text string) spoil {
	return func(t *testing.T, _ *installed, s *site) []string {
		t.Helper()
		require.NoError(t, os.Remove(filepath.Join(s.repository, ".sops.yaml")))
		if text != "" {
			put(t, s.repository, ".sops.yaml", text)
		}
		gitIn(t, s.repository, "commit", "-q", "-a", "-m", "rules")
		return nil
	}
}

// TestRestoreRefuses: of what cannot be restored nothing is written, neither to the repository nor to the file storage.
func TestRestoreRefuses(t *testing.T) {
	needGit(t)
	plain, encrypted := newInstalled(t, false), newInstalled(t, true)
	cases := map[string]struct {
		reason string
		from   *installed // plain unless it says otherwise
		spoil  spoil
		code   int
		says   string
	}{
		"AnotherManifest": {"the run was replaced on the volume", nil, withArgs("--manifest-sha256", strings.Repeat("0", 64)), job.ExitIntegrity, "it was replaced, or another run is meant"},
		"NoRules":         {"nobody could decrypt", nil, rules(""), job.ExitUsage, "there is no .sops.yaml beside or above it: add one, and commit it"},
		"RulesNotCommitted": {"a commit is encrypted by what is committed", nil, func(t *testing.T, i *installed, s *site) []string {
			t.Helper()
			rules("")(t, i, s)
			put(t, s.repository, ".sops.yaml", i.rules())
			return nil
		}, job.ExitUsage, "and commit it"},
		"KeyService":     {"it could not be tested", nil, rules("creation_rules:\n- kms: arn:aws:kms:eu-west-1:1:key/x\n"), job.ExitUsage, "only age is supported"},
		"NoMatch":        {"the rules are for other files", nil, rules("creation_rules:\n- path_regex: ^clusters/\n  age: " + plain.recipient + "\n"), job.ExitUsage, "no creation rule matches"},
		"WholeFile":      {"Flux could not build it", nil, rules("creation_rules:\n- age: " + plain.recipient + "\n"), job.ExitUsage, "or give --recipient"},
		"MalformedRules": {"a typing mistake", nil, rules("creation_rules: ["), job.ExitUsage, "malformed YAML"},
		"Recipient":      {"a typing mistake", nil, withArgs("--recipient", "age1mistyped"), job.ExitUsage, "cannot encrypt for age recipient 1"},
		"LinkedRules": {"the rules would be another's", nil, func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			require.NoError(t, os.Rename(filepath.Join(s.repository, ".sops.yaml"), filepath.Join(s.repository, "rules.yaml")))
			require.NoError(t, os.Symlink("rules.yaml", filepath.Join(s.repository, ".sops.yaml")))
			gitIn(t, s.repository, "add", "-A")
			gitIn(t, s.repository, "commit", "-q", "-m", "link")
			return nil
		}, job.ExitUsage, "is a symlink, which is never followed"},

		"FlippedSecret":    {"damage", nil, flip("runs/*/secrets/system-app.json"), job.ExitIntegrity, "secrets/system-app.json is changed"},
		"FlippedFile":      {"damage", nil, flip("trees/*/files/tenant-001/script.sh"), job.ExitIntegrity, "script.sh is changed"},
		"FlippedEncrypted": {"damage, which needs no key to be found", encrypted, flip("runs/*/secrets/system-app.json.age"), job.ExitIntegrity, "system-app.json.age is changed"},
		"UnknownRun":       {"there is none of that ID", nil, withArgs("--run", "20200101t000000z-00000000"), job.ExitUsage, "no such run"},
		"MalformedRun":     {"an ID is no path", nil, withArgs("--run", "../x"), job.ExitUsage, "../x"},
		"NoIdentity":       {"the run is encrypted", encrypted, withArgs(), job.ExitNoPermission, "give the identity of a recipient"},
		"WrongIdentity":    {"it is encrypted for others", encrypted, withArgs("--identities", plain.keys), job.ExitNoPermission, "none of the 1 age identities"},
		"EmptyVolume": {"there is no run at all", nil, func(t *testing.T, _ *installed, _ *site) []string {
			t.Helper()
			return []string{"--volume", t.TempDir()}
		}, job.ExitUsage, "no such run"},
		"BadNamespace": {"there can be no such namespace", nil, withArgs("-n", "3scale_dr"), job.ExitUsage, "not a DNS label"},
		"BadName":      {"a name is no path", nil, withArgs("--name", "../dr"), job.ExitUsage, "must be a DNS label"},
		"BadDomain":    {"there can be no such domain", nil, withArgs("--wildcard-domain", "*.example.com"), job.ExitUsage, "domain"},
		"BadExisting":  {"it is not known", nil, withArgs("--existing", "Delete"), job.ExitUsage, "must be one of"},
		"NoRepository": {"it has no .git", nil, func(t *testing.T, _ *installed, _ *site) []string {
			t.Helper()
			return []string{"--repository", t.TempDir()}
		}, job.ExitUsage, "run git init first"},
		"MissingRepository": {"a typing mistake", nil, withArgs("--repository", "/no/such/place"), job.ExitUsage, "/no/such/place"},
		"MissingBranch":     {"there is none", nil, withArgs("--branch", "other"), job.ExitUsage, `it has no branch "other"`},
		"BadBranch":         {"Git allows no such name", nil, withArgs("--branch", "a..b"), job.ExitUsage, "Git allows no such name"},
		"BadAuthor":         {"Git could not tell it apart", nil, withArgs("--author", "a <b>"), job.ExitUsage, "author's name"},

		"PathAbove":    {"it leads out of the repository", nil, withArgs("--path", "../elsewhere"), job.ExitUsage, "leads out of the directory"},
		"PathAbsolute": {"it is none of the repository", nil, withArgs("--path", "/apps"), job.ExitUsage, "must be relative"},
		"PathOfGit":    {"it is Git's own", nil, withArgs("--path", ".git/hooks"), job.ExitUsage, "is Git's own directory"},
		"PathLinked": {"somebody else's files are behind it", nil, func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			require.NoError(t, os.Symlink("..", filepath.Join(s.repository, "apps")))
			gitIn(t, s.repository, "add", "-A")
			gitIn(t, s.repository, "commit", "-q", "-m", "link")
			return nil
		}, job.ExitUsage, `"apps" is a file, a symlink or a submodule`},
		"PathThroughLinkOfWorkTree": {"the work tree leads elsewhere than the commit", nil, func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(s.repository, "apps")))
			return nil
		}, job.ExitUsage, "work tree"},

		"StorageInRepository": {"its user would commit it", nil, func(_ *testing.T, _ *installed, s *site) []string {
			return []string{"--file-storage", filepath.Join(s.repository, "files")}
		}, job.ExitUsage, "overlap"},
		"RepositoryInStorage": {"Mirror would remove it", nil, func(_ *testing.T, _ *installed, s *site) []string {
			return []string{"--file-storage", filepath.Dir(s.repository), "--existing", "Mirror"}
		}, job.ExitUsage, "overlap"},
		"StorageIsRepository": {"likewise, behind a symlink", nil, func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			link := filepath.Join(t.TempDir(), "link")
			require.NoError(t, os.Symlink(s.repository, link))
			return []string{"--file-storage", link, "--existing", "Mirror"}
		}, job.ExitUsage, "overlap"},
		"StorageIsVolume": {"Mirror would remove the backup", nil, func(_ *testing.T, i *installed, _ *site) []string {
			return []string{"--file-storage", i.volume, "--existing", "Mirror"}
		}, job.ExitUsage, "volume"},
		"StorageIsFile": {"a typing mistake", nil, func(_ *testing.T, i *installed, _ *site) []string {
			return []string{"--file-storage", filepath.Join(i.files, ".htaccess")}
		}, job.ExitIO, "cannot make the directory of the file storage"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i := tc.from
			if i == nil {
				i = plain
			}
			s := newSite(t, plain.rules())
			args := s.restore(i, tc.spoil(t, i, s)...)
			before, volume := s.state(t), entries(t, i.volume)
			done := execute(t, args...)
			assert.Equal(t, tc.code, done.code, "%s: %s", tc.reason, done.stderr)
			assert.Contains(t, done.stderr, tc.says, tc.reason)
			assert.Empty(t, done.stdout)
			assert.Equal(t, before, s.state(t), tc.reason)
			assert.NoDirExists(t, s.storage, tc.reason)
			assert.Equal(t, volume, entries(t, i.volume))
		})
	}
}

// TestRestoreIntoWorkTree: a work tree shows the commit, or is not touched, or the restore is refused.
func TestRestoreIntoWorkTree(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	const mine = "apps/3scale/base/dr/kustomization.yaml"
	cases := map[string]struct {
		reason string
		spoil  spoil
		says   string // why it is refused; empty: it is not
		status string // of the work tree afterwards
		branch string // that has the commit
	}{
		"Clean": {"it shows the commit", withArgs(), "", "", "main"},
		"ChangesElsewhere": {"they are none of ours", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			put(t, s.repository, "README.md", "changed\n")
			put(t, s.repository, "new", "not tracked\n")
			put(t, s.repository, "staged", "staged\n")
			gitIn(t, s.repository, "add", "staged")
			return nil
		}, "", " M README.md\nA  staged\n?? new", "main"},
		"OtherBranch": {"the work tree is not touched", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			gitIn(t, s.repository, "branch", "other")
			put(t, s.repository, mine, "mine\n")
			return []string{"--branch", "other"}
		}, "", "?? apps/", "other"},
		"OrphanBranch": {"a repository just made", func(t *testing.T, i *installed, s *site) []string {
			t.Helper()
			require.NoError(t, os.RemoveAll(s.repository))
			gitIn(t, "", "init", "-q", "-b", "first", s.repository)
			return []string{"--recipient", i.recipient}
		}, "", "", "first"},
		"NotTracked": {"it would be overwritten", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			put(t, s.repository, mine, "mine\n")
			return nil
		}, "differs from the newest commit", "?? apps/", ""},
		"Changed": {"it would be overwritten", func(t *testing.T, i *installed, s *site) []string {
			t.Helper()
			executeJSON[restored](t, s.restore(i, "--file-storage", filepath.Join(t.TempDir(), "elsewhere"))...)
			put(t, s.repository, mine, "mine\n")
			return []string{"--wildcard-domain", otherDomain}
		}, "differs from the newest commit", " M " + mine, ""},
		"Removed": {"it would come back", func(t *testing.T, i *installed, s *site) []string {
			t.Helper()
			executeJSON[restored](t, s.restore(i, "--file-storage", filepath.Join(t.TempDir(), "elsewhere"))...)
			require.NoError(t, os.Remove(filepath.Join(s.repository, mine)))
			return []string{"--wildcard-domain", otherDomain}
		}, "differs from the newest commit", " D " + mine, ""},
		"Staged": {"its user's next commit would take it back", func(t *testing.T, i *installed, s *site) []string {
			t.Helper()
			executeJSON[restored](t, s.restore(i, "--file-storage", filepath.Join(t.TempDir(), "elsewhere"))...)
			shown, err := os.ReadFile(filepath.Join(s.repository, mine))
			require.NoError(t, err)
			put(t, s.repository, mine, "mine\n")
			gitIn(t, s.repository, "add", mine)
			put(t, s.repository, mine, string(shown))
			return []string{"--wildcard-domain", otherDomain}
		}, "differs from the newest commit", "MM " + mine, ""},
		"Merging": {"a commit would end the merge", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			put(t, s.repository, ".git/MERGE_HEAD", gitIn(t, s.repository, "rev-parse", "HEAD"))
			return nil
		}, "finish it first", "", ""},
		"Detached": {"no branch is checked out", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			gitIn(t, s.repository, "checkout", "-q", "--detach")
			return nil
		}, "no branch is checked out", "", ""},
		"Linked": {"another work tree would take the commit back", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			gitIn(t, s.repository, "worktree", "add", "-q", "-b", "other", filepath.Join(t.TempDir(), "linked"))
			return []string{"--branch", "other"}
		}, "has it checked out", "", ""},
		"LinkedToBare": {"likewise, of a repository without one of its own", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			bare := filepath.Join(t.TempDir(), "bare.git")
			gitIn(t, "", "clone", "-q", "--bare", s.repository, bare)
			gitIn(t, bare, "worktree", "add", "-q", filepath.Join(t.TempDir(), "linked"), "main")
			return []string{"--repository", bare}
		}, "has it checked out", "", ""},
		"LinkedElsewhere": {"another work tree has another branch", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			gitIn(t, s.repository, "worktree", "add", "-q", "-b", "other", filepath.Join(t.TempDir(), "linked"))
			return nil
		}, "", "", "main"},
		"InLinked": {"it is no repository", func(t *testing.T, _ *installed, s *site) []string {
			t.Helper()
			linked := filepath.Join(t.TempDir(), "linked")
			gitIn(t, s.repository, "worktree", "add", "-q", "-b", "other", linked)
			return []string{"--repository", linked}
		}, "linked work tree", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, i.rules())
			args := s.restore(i, tc.spoil(t, i, s)...)
			refs := gitIn(t, s.repository, "for-each-ref")
			done := execute(t, args...)
			assert.Equal(t, tc.status, gitIn(t, s.repository, "status", "--porcelain"), tc.reason)
			if tc.says != "" {
				assert.Equal(t, job.ExitUsage, done.code, tc.reason)
				assert.Contains(t, done.stderr, tc.says, tc.reason)
				assert.Equal(t, refs, gitIn(t, s.repository, "for-each-ref"), tc.reason)
				assert.NoDirExists(t, s.storage, tc.reason)
				return
			}
			require.Equal(t, 0, done.code, done.stderr)
			assert.Contains(t, gitIn(t, s.repository, "log", "-1", "--format=%B", tc.branch), "Threescale-Restore: 3scale-dr/dr ", tc.reason)
			assert.Equal(t, entries(t, i.files), entries(t, s.storage))
		})
	}
}

// TestRestoreGoesOn: what kept the commit away is put right, and the same command goes on.
func TestRestoreGoesOn(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	const restoredBefore = "the file storage is restored, and is left alone when this is run again"
	cases := map[string]struct {
		reason string
		file   string // in .git
		code   int
		says   string
		filled bool // the file storage is restored all the same
	}{
		"Merge":      {"its user is in the middle of something", "MERGE_HEAD", job.ExitUsage, "is not finished", false},
		"AnotherGit": {"it may end at any time", "index.lock", job.ExitTemporary, "another Git command is running", false},
		"BranchHeld": {"nobody knows before the branch is moved", "refs/heads/main/held", job.ExitTemporary, `cannot set the branch "main"`, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, i.rules())
			gitIn(t, s.repository, "pack-refs", "--all")
			put(t, s.repository, ".git/"+tc.file, "")
			done := execute(t, s.restore(i)...)
			assert.Equal(t, tc.code, done.code, tc.reason)
			assert.Contains(t, done.stderr, tc.says, tc.reason)
			assert.Equal(t, tc.filled, strings.Contains(done.stderr, restoredBefore), done.stderr)
			_, err := os.Stat(s.storage)
			assert.Equal(t, tc.filled, err == nil, tc.reason)
			assert.Len(t, s.commits(t, "main"), 1)
			require.NoError(t, os.RemoveAll(filepath.Join(s.repository, ".git", strings.TrimSuffix(tc.file, "/held"))))
			answer := executeJSON[restored](t, s.restore(i)...)
			assert.True(t, answer.Committed)
			assert.Equal(t, tc.filled, answer.FileStorage.WrittenFiles == 0)
			assert.Equal(t, entries(t, i.files), entries(t, s.storage))
		})
	}
}

// TestRestoreInterrupted: nothing is half done, and it can be tried again.
func TestRestoreInterrupted(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	s := newSite(t, i.rules())
	before := s.state(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, job.ExitTemporary, run(ctx, s.restore(i), io.Discard, io.Discard))
	assert.Equal(t, before, s.state(t))
}
