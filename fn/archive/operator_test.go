package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// addOperatorBackup writes what APIManagerBackup writes.
func addOperatorBackup(f *fixture) {
	f.t.Helper()
	files := map[string]string{
		"secrets/system-app.json":                 "{\"kind\": \"Secret\"}\n",
		"secrets/system-recaptcha.json":           "",
		"configmaps/system-environment.json":      "{\"kind\": \"ConfigMap\"}\n",
		"apimanager/apimanager-backup.json":       "{\"kind\": \"APIManager\"}\n",
		"system-filestorage-pvc/tenant/logo.png":  "a logo",
		"system-filestorage-pvc/tenant/.htaccess": "deny",
		"lost+found/x":                            "",
	}
	for path, content := range files {
		require.NoError(f.t, os.MkdirAll(filepath.Dir(f.path(path)), 0o755))
		require.NoError(f.t, os.WriteFile(f.path(path), []byte(content), 0o644))
	}
}

func TestOperatorBackupIsRead(t *testing.T) {
	f := newFixture(t)
	addOperatorBackup(f)
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"apimanagerbackup Unverified"}, ids(runs))
	r := f.open(Latest)
	assert.Equal(t, Unverified, r.Info().State)
	objects, err := r.Objects(t.Context())
	var damaged *IntegrityError
	require.ErrorAs(t, err, &damaged, "an empty file is what it leaves of an object that it could not read")
	assert.Equal(t, []Problem{{Path: "secrets/system-recaptcha.json", Kind: Malformed, Got: "size 0"}}, damaged.Problems)
	assert.Equal(t, sortedObjects(), objects, "the others can be read all the same")
	for range 2 {
		assert.Equal(t, map[string]string{"tenant/logo.png": "a logo", "tenant/.htaccess": "deny"}, restore(t, r), "as often as it is asked for")
	}
	report := f.report(UnverifiedRun)
	assert.Equal(t, damaged.Problems, report.Problems)
	assert.Len(t, report.Warnings, 1, "that nothing can be verified is said")
	assert.Equal(t, int64(3), report.Objects)
	assert.Equal(t, int64(2), report.Files)
}

func TestOperatorBackupHasNoManifest(t *testing.T) {
	f := newFixture(t)
	addOperatorBackup(f)
	report, err := f.volume.Verify(t.Context(), Latest, VerifyOptions{ManifestSHA256: strings.Repeat("0", 64)})
	require.NoError(t, err)
	assert.Equal(t, "manifest.json", report.Problems[0].Path, "a run that was expected is not the one that is there")
}

func TestForeignLatestIsKept(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.WriteFile(f.path("latest"), []byte("somebody's"), 0o644))
	result := f.write("r1")
	assert.Len(t, result.Manifest.Warnings, 1)
	assert.Equal(t, "somebody's", f.read("latest"))
	assert.Equal(t, "r1\n", f.read("LATEST"), "the file stands for the link")
	f.verify("r1")
}

func TestOperatorBackupInPart(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.MkdirAll(f.path("secrets"), 0o755))
	report := f.report(Latest)
	assert.Equal(t, []Problem{{Path: "apimanager", Kind: Missing}, {Path: "system-filestorage-pvc", Kind: Missing}}, report.Problems)
	r := f.open(Latest)
	assert.False(t, r.HasFiles())
	objects, err := r.Objects(t.Context())
	require.NoError(t, err)
	assert.Empty(t, objects)
}

func TestOperatorBackupIsKept(t *testing.T) {
	f := newFixture(t)
	addOperatorBackup(f)
	before := dump(t, f.root)
	f.addSome()
	result := f.write("r1")
	require.Len(t, result.Manifest.Warnings, 1)
	assert.Contains(t, result.Manifest.Warnings[0], "apimanager, configmaps, secrets, system-filestorage-pvc")
	f.verify("r1")
	assert.Equal(t, "r1", f.report(Latest).Run, "a verified run is newer than one that nobody knows the time of")
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"apimanagerbackup Unverified", "r1 Complete"}, ids(runs))
	f.remove("r1")
	for _, ours := range []string{"runs", "trees", ".lock"} {
		require.NoError(t, os.RemoveAll(f.path(ours)))
	}
	assert.Equal(t, before, dump(t, f.root), "nothing of the operator's was touched")
}

func TestForeignLinksAreKept(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.Symlink("somewhere/else", f.path("secrets")))
	result := f.write("r1")
	assert.Len(t, result.Manifest.Warnings, 1)
	target, err := os.Readlink(f.path("secrets"))
	require.NoError(t, err)
	assert.Equal(t, "somewhere/else", target)
	assert.NoFileExists(t, f.path("configmaps"), "a view in part would mislead")
}
