package overlay

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/test/dataset"
)

var update = flag.Bool("update", false, "write the golden files")

// goldens are inputs by the name of the folder in testdata that holds their tree.
func goldens() map[string]Input {
	elsewhere := input()
	elsewhere.Name, elsewhere.Namespace = "copy", "3scale-copy"
	elsewhere.WildcardDomain, elsewhere.StorageClass = "apps.other.example.org", "fast"
	elsewhere.FileStorage.StorageClass = new("fast")

	omit := input()
	omit.OmitDatabaseSecrets = true

	existing := input()
	existing.StorageClass = "fast"
	existing.FileStorage = &FileStorage{
		StorageClass: new(""), Size: resource.MustParse("20Gi"),
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany},
	}

	operators := input()
	operators.Objects = operatorsBackup(dataset.Options{})

	s3 := input()
	s3.Objects = backup(dataset.Options{S3: true})
	s3.Admitted, s3.FileStorage, s3.StorageClass = keys(s3.Objects), nil, "fast"

	return map[string]Input{
		"in-place": input(), "elsewhere": elsewhere, "without-database-secrets": omit, "existing-claim": existing,
		"operators-backup": operators, "s3": s3,
	}
}

func TestGolden(t *testing.T) {
	for name, in := range goldens() {
		t.Run(name, func(t *testing.T) {
			tree, err := Build(in)
			require.NoError(t, err)
			dir := filepath.Join("testdata", name)
			if *update {
				require.NoError(t, os.RemoveAll(dir))
			}
			got := map[string]string{}
			for _, file := range tree.Files {
				got[file.Path] = content(t, file)
				if *update {
					golden := filepath.Join(dir, filepath.FromSlash(file.Path))
					require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
					require.NoError(t, os.WriteFile(golden, []byte(got[file.Path]), 0o644))
				}
			}
			assert.Equal(t, readTree(t, dir), got, "if this is meant, run: go test ./fn/overlay -update")
		})
	}
}

// TestGoldenFilesHoldNoSecret looks for values of the data set, in each form.
func TestGoldenFilesHoldNoSecret(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	cases := 0
	for _, entry := range entries {
		if entry.Name() == "fuzz" {
			continue
		}
		cases++
		for name, text := range readTree(t, filepath.Join("testdata", entry.Name())) {
			for _, form := range dataset.MarkerForms() {
				assert.NotContains(t, text, form, "%s %s", entry.Name(), name)
			}
		}
	}
	assert.Equal(t, len(goldens()), cases, "a golden tree that nobody compares")
}

// readTree returns the files below a folder by their slash paths.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		relative, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(relative)] = string(text)
		return err
	}))
	return files
}
