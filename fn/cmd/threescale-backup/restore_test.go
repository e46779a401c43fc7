package main

import (
	"encoding/base64"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/decrypt"
)

const otherDomain = "apps.other.example"

// TestRestore goes the whole way, from an installation to a commit and a file storage.
func TestRestore(t *testing.T) {
	needGit(t)
	cases := map[string]struct {
		reason    string
		encrypted bool
		bare      bool
		path      string
	}{
		"WorkTree":  {"a clone of somebody", false, false, "apps/3scale"},
		"Bare":      {"what a server has", false, true, "./apps/3scale/"},
		"Encrypted": {"nothing readable is on the volume", true, false, "."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i := newInstalled(t, tc.encrypted)
			s := newSite(t, i.rules())
			if tc.bare {
				bare := filepath.Join(t.TempDir(), "bare.git")
				gitIn(t, "", "clone", "-q", "--bare", s.repository, bare)
				s.repository = bare
			}
			seed := s.commits(t, "main")
			answer := executeJSON[restored](t, s.restore(i, "--path", tc.path, "--wildcard-domain", otherDomain, "--identities", i.keys)...)
			assert.Equal(t, entries(t, i.files), entries(t, s.storage), "the file storage is the one that was backed up")
			assert.Equal(t, []string{answer.Commit, seed[0]}, s.commits(t, "main"), "there is one commit more")
			gitIn(t, s.repository, "fsck", "--strict")
			if !tc.bare {
				assert.Empty(t, gitIn(t, s.repository, "status", "--porcelain"), "the work tree shows the commit")
			}
			assert.Equal(t, path.Join(tc.path, "overlays/dr"), answer.Path)
			for changed := range strings.FieldsSeq(gitIn(t, s.repository, "diff", "--name-only", seed[0], answer.Commit)) {
				assert.True(t, strings.HasPrefix(changed, path.Join(tc.path, "base/dr")+"/") || strings.HasPrefix(changed, answer.Path+"/"), changed)
			}
			s.assertNoPlaintext(t)
			assertRestored(t, i, s, &answer)
		})
	}
}

// assertRestored proves that the overlay of a commit comes to the installation.
func assertRestored(t *testing.T, i *installed, s *site, answer *restored) {
	t.Helper()
	var files []overlay.File
	for name, data := range s.tree(t, answer.Commit) {
		if strings.Contains(name, "/dr/") {
			files = append(files, overlay.File{Path: name, Data: data})
		}
	}
	built, err := overlay.BuildFiles(files, answer.Path)
	require.NoError(t, err)
	assert.ElementsMatch(t, answer.Objects, texts(slices.Collect(maps.Keys(built))))
	secrets := 0
	for _, object := range dataset.Installation(dataset.Options{Seed: 1}) {
		kind, name := object.GetKind(), object.GetName()
		restored, ours := built[overlay.Key{Kind: kind, Name: name}]
		if kind != "Secret" || name == "somebody-elses" {
			continue
		}
		require.True(t, ours, name)
		secrets++
		file := slices.IndexFunc(files, func(f overlay.File) bool { return strings.HasSuffix(f.Path, "/secret-"+name+".yaml") })
		plain, err := decrypt.Document(files[file].Data, i.identity)
		require.NoError(t, err, name)
		want, _ := object.Object["data"].(map[string]any)
		if name == "backend-listener" {
			want["route_endpoint"] = base64.StdEncoding.EncodeToString([]byte("https://backend-3scale." + otherDomain))
		}
		assert.Equal(t, want, decode(t, plain)["data"], name)
		assert.NotEqual(t, want, restored.Object["data"], "%s is encrypted", name)
	}
	assert.Len(t, answer.Encrypted, secrets+1, "the Secrets and ConfigMap system")
	assert.Contains(t, answer.Encrypted, "ConfigMap/system")
	assert.Empty(t, built[overlay.Key{Kind: "ConfigMap", Name: "system-environment"}].Object["sops"])
	assert.NotEmpty(t, built[overlay.Key{Kind: "ConfigMap", Name: "system"}].Object["sops"])
	apiManager := built[overlay.Key{Kind: "APIManager", Name: "example"}]
	assert.Equal(t, otherDomain, apiManager.Object["spec"].(map[string]any)["wildcardDomain"])
}

// TestRestoreTellsAll: the answer in JSON leaves nothing out.
func TestRestoreTellsAll(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	s := newSite(t, i.rules())
	listed := executeJSON[[]listedRun](t, "list", "--volume", i.volume)
	answer := executeJSON[restored](t, s.restore(i, "--wildcard-domain", otherDomain, "--omit-database-secrets")...)
	filled := answer.FileStorage
	require.NotNil(t, filled)
	assert.True(t, filled.Completed)
	assert.Equal(t, filled.Files, filled.WrittenFiles)
	assert.Len(t, answer.Objects, 19, "a ConfigMap more, and a Secret less")
	assert.Contains(t, answer.Objects, "PersistentVolumeClaim/system-storage")
	assert.Len(t, answer.Encrypted, 15)
	answer.FileStorage, answer.Objects, answer.Encrypted, answer.Source.UID = nil, nil, nil, ""
	assert.Equal(t, restored{
		contents: contents{
			Run: listed[0].ID, ManifestSHA256: listed[0].ManifestSHA256, Verified: true, Namespace: "3scale-dr",
			Source:         job.Source{Namespace: "3scale", APIManager: "example", ThreeScale: "2.16.0", WildcardDomain: "apps.example.com", FileStorage: &recorded.PVC{StorageClass: new("files"), Size: "100Mi", AccessModes: []string{"ReadWriteMany"}}},
			Recipients:     []string{i.recipient},
			Omitted:        []string{"Secret/backend-redis", "Secret/system-database", "Secret/system-redis", "Secret/zync"},
			Rewritten:      []string{"APIManager example spec.wildcardDomain", "ConfigMap system-environment data.THREESCALE_SUPERDOMAIN", "Secret backend-listener data.route_endpoint"},
			LeftWithDomain: []string{},
			Dropped:        []string{},
			NotIncluded:    []string{"databases", "capability resources", "changes to Routes"},
			Warnings:       []string{},
		},
		Commit: s.commits(t, "main")[0], Branch: "main", Committed: true, WorkTree: true, Path: "apps/3scale/overlays/dr",
	}, answer)
}

// TestRestoreAgain: a restore that is on the branch already makes no second commit, and sees to the file storage.
func TestRestoreAgain(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	s := newSite(t, "")
	second := newInstalled(t, false)
	base := []string{"--recipient", i.recipient, "--recipient", second.recipient}
	steps := []struct {
		reason    string
		before    func(t *testing.T)
		args      []string
		committed bool
		written   int64
	}{
		{"it is new", nil, base, true, 124},
		{"the same again", nil, base, false, 0},
		{"in another order, which is the same", nil, []string{"--recipient", second.recipient, "--recipient", i.recipient}, false, 0},
		{"a path that is the same", nil, append(slices.Clone(base), "--path", "./apps//3scale"), false, 0},
		{"the run by its ID", nil, append(slices.Clone(base), "--run", i.latest(t)), false, 0},
		{"only the file storage was lost", func(t *testing.T) { require.NoError(t, os.RemoveAll(s.storage)) }, base, false, 124},
		{"others have committed since", func(t *testing.T) { gitIn(t, s.repository, "commit", "-q", "--allow-empty", "-m", "theirs") }, base, false, 0},
		{"another domain", nil, append(slices.Clone(base), "--wildcard-domain", otherDomain), true, 0},
		{"the domain of before, which was replaced", nil, base, true, 0},
		{"other recipients", nil, base[:2], true, 0},
		{"all recipients again", nil, base, true, 0},
		{"another storage class", nil, append(slices.Clone(base), "--storage-class", "fast"), true, 0},
		{"the storage class of the backup again", nil, base, true, 0},
		{"fewer Secrets", nil, append(slices.Clone(base), "--omit-database-secrets"), true, 0},
		{"another restore", nil, append(slices.Clone(base), "--name", "other"), true, 0},
		{"the one before the other", nil, append(slices.Clone(base), "--omit-database-secrets"), false, 0},
		{"it was asked for", nil, append(slices.Clone(base), "--omit-database-secrets", "--force"), true, 0},
		{"a forced one is found, too", nil, append(slices.Clone(base), "--omit-database-secrets"), false, 0},
		{"there is a newer run", func(t *testing.T) { i.backup(t, false) }, append(slices.Clone(base), "--omit-database-secrets"), true, 0},
	}
	for _, step := range steps {
		if step.before != nil {
			step.before(t)
		}
		commits := len(s.commits(t, "main"))
		answer := executeJSON[restored](t, s.restore(i, step.args...)...)
		require.Equal(t, step.committed, answer.Committed, step.reason)
		if step.committed {
			commits++
		}
		require.Len(t, s.commits(t, "main"), commits, step.reason)
		assert.Contains(t, s.commits(t, "main"), answer.Commit, step.reason)
		assert.Equal(t, "main", answer.Branch)
		assert.Equal(t, step.written, answer.FileStorage.WrittenFiles, step.reason)
		assert.Equal(t, entries(t, i.files), entries(t, s.storage), step.reason)
		assert.Empty(t, gitIn(t, s.repository, "status", "--porcelain"), step.reason)
	}
	trailers := gitIn(t, s.repository, "log", "--format=%(trailers:key=Threescale-Restore,valueonly)")
	for line := range strings.SplitSeq(strings.ReplaceAll(trailers, "\n\n", "\n"), "\n") {
		if line != "" {
			assert.Regexp(t, `^3scale-dr/(dr|other) [0-9a-f]{64} \d{8}t\d{6}z-[0-9a-f]{8}$`, line)
		}
	}
}

// latest is the ID of the newest run.
func (i *installed) latest(t *testing.T) string {
	t.Helper()
	runs := executeJSON[[]listedRun](t, "list", "--volume", i.volume)
	return runs[len(runs)-1].ID
}

// TestRestoreOfAPIManagerBackup: it has no manifest, and its objects say what it is.
func TestRestoreOfAPIManagerBackup(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	written := filepath.Join(t.TempDir(), "volume")
	for _, dir := range []string{"secrets", "configmaps", "apimanager"} {
		require.NoError(t, os.CopyFS(filepath.Join(written, dir), os.DirFS(filepath.Join(i.volume, "latest", dir))))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(written, "system-filestorage-pvc"), 0o755))
	i.volume = written
	s := newSite(t, i.rules())
	first := executeJSON[restored](t, s.restore(i)...)
	assert.True(t, first.Committed)
	assert.False(t, first.Verified)
	assert.NotEmpty(t, first.Warnings)
	assert.False(t, executeJSON[restored](t, s.restore(i)...).Committed, "the same again")
	secret := filepath.Join(written, "secrets", "system-app.json")
	data, err := os.ReadFile(secret)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(secret, []byte(strings.Replace(string(data), `"type"`, `"immutable": false, "type"`, 1)), 0o644))
	assert.True(t, executeJSON[restored](t, s.restore(i)...).Committed, "the operator has backed up again")
}

// TestRestoreIntoExistingFiles: what becomes of a file storage that is not empty.
func TestRestoreIntoExistingFiles(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	want := entries(t, i.files)
	cases := map[string]struct {
		reason   string
		existing string
		code     int
		says     string
		left     []string // of what was there
		run      bool     // the run's files are there
	}{
		"Default":   {"somebody's data", "", job.ExitCannotCreate, "move it away, or choose", []string{"upload", "tenant-001"}, false},
		"Fail":      {"somebody's data", "Fail", job.ExitCannotCreate, "Overwrite, Mirror or Skip", []string{"upload", "tenant-001"}, false},
		"Skip":      {"it is to stay", "Skip", 0, "is left as it was, as asked", []string{"upload", "tenant-001"}, false},
		"Overwrite": {"what is not of the run stays", "Overwrite", 0, "holds all 124 files", []string{"upload"}, true},
		"Mirror":    {"what is not of the run goes", "Mirror", 0, "1 other entries were removed", nil, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, i.rules())
			put(t, s.storage, "upload", "theirs")
			put(t, s.storage, "tenant-001/script.sh", "theirs")
			before := s.state(t)
			args := s.restore(i)
			if tc.existing != "" {
				args = append(args, "--existing", tc.existing)
			}
			done := execute(t, args...)
			assert.Equal(t, tc.code, done.code, tc.reason)
			assert.Contains(t, done.stdout+done.stderr, tc.says, tc.reason)
			after := entries(t, s.storage)
			for _, name := range tc.left {
				assert.Contains(t, after, name, tc.reason)
			}
			if tc.code != 0 {
				assert.Equal(t, before, s.state(t), tc.reason)
				return
			}
			assert.Len(t, s.commits(t, "main"), 2)
			if !slices.Contains(tc.left, "upload") {
				assert.Equal(t, want, after, tc.reason)
			}
			data, err := os.ReadFile(filepath.Join(s.storage, "tenant-001/script.sh"))
			require.NoError(t, err)
			assert.Equal(t, tc.run, string(data) != "theirs", tc.reason)
		})
	}
}

// TestRestoreAgainIntoExistingFiles: a file storage that was used since is not harmed without being told to.
func TestRestoreAgainIntoExistingFiles(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	s := newSite(t, i.rules())
	executeJSON[restored](t, s.restore(i)...)
	put(t, s.storage, "upload", "new")
	before := s.state(t)
	done := execute(t, s.restore(i)...)
	assert.Equal(t, job.ExitCannotCreate, done.code)
	assert.Contains(t, done.stderr, `branch "main" has the restore already, as commit `+s.commits(t, "main")[0])
	assert.Equal(t, before, s.state(t))
	assert.True(t, executeJSON[restored](t, s.restore(i, "--existing", "Skip")...).FileStorage.Skipped)
	assert.Equal(t, before, s.state(t))
}

// TestCommandLineWithGit runs the scripts in testdata/git: what a user types and sees.
func TestCommandLineWithGit(t *testing.T) {
	needGit(t)
	testscript.Run(t, testscript.Params{Dir: "testdata/git", RequireUniqueNames: true, Setup: func(env *testscript.Env) error {
		env.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
		env.Setenv("GIT_CONFIG_SYSTEM", "/dev/null")
		return nil
	}})
}

// TestRestoreTellsWhatFluxIgnores: the commit is made, but it would not be applied, or not all of it.
func TestRestoreTellsWhatFluxIgnores(t *testing.T) {
	needGit(t)
	i := newInstalled(t, false)
	for pattern, file := range map[string]string{
		"/apps":                         "apps/3scale/base/dr/apimanager.yaml",
		"secret-*.yaml":                 "apps/3scale/base/dr/secret-",
		"persistentvolumeclaim.yaml":    "apps/3scale/overlays/dr/persistentvolumeclaim.yaml",
		"**/overlays/*/kustomization.*": "apps/3scale/overlays/dr/kustomization.yaml",
		"configmap-system-environment":  "",
	} {
		t.Run(pattern, func(t *testing.T) {
			s := newSite(t, i.rules())
			put(t, s.repository, ".sourceignore", pattern+"\n")
			gitIn(t, s.repository, "add", "-A")
			gitIn(t, s.repository, "commit", "-q", "-m", "ignore")
			warnings := strings.Join(executeJSON[restored](t, s.restore(i)...).Warnings, "\n")
			if file == "" {
				assert.NotContains(t, warnings, "Flux ignores")
				return
			}
			assert.Contains(t, warnings, `Flux ignores "`+file)
			assert.Contains(t, warnings, "by .sourceignore")
		})
	}
}
