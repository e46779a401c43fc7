package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// withPolicies is an installation that refers to a Secret of each of the lengths, as a custom policy.
func withPolicies(t *testing.T, dir string, lengths ...int) {
	t.Helper()
	installation := dataset.Installation(dataset.Options{Seed: 1})
	var policies []any
	for _, length := range lengths {
		name := fmt.Sprintf("%0*d", length, length)
		policies = append(policies, map[string]any{"name": "p", "version": "1", "secretRef": map[string]any{"name": name}})
		installation = append(installation, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": map[string]any{"name": name, "namespace": "3scale"},
			"data": map[string]any{strings.Repeat("k", length): "eA=="}, // a key becomes a file's name, too
		}})
	}
	for _, object := range installation {
		if object.GetKind() == threescale.APIManagerKind {
			staging := object.Object["spec"].(map[string]any)["apicast"].(map[string]any)["stagingSpec"].(map[string]any)
			staging["customPolicies"] = policies
		}
	}
	text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": installation})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "objects")))
	put(t, dir, "objects/all.yaml", string(text))
}

// TestNamesOfAllLengths backs up Secrets whose names have every length that passes, and restores them; of those that
// do not pass, each is refused before anything is written.
func TestNamesOfAllLengths(t *testing.T) {
	needGit(t)
	for name, longest := range map[string]int{"Plain": 250, "Encrypted": 246} {
		t.Run(name, func(t *testing.T) {
			encrypted := name == "Encrypted"
			i := newInstalled(t, false)
			i.volume = filepath.Join(i.dir, "long")
			var lengths []int
			for length := 3; length <= longest; length++ {
				lengths = append(lengths, length)
			}
			withPolicies(t, i.dir, lengths...)
			i.backup(t, encrypted)
			done := execute(t, "verify", "--volume", i.volume)
			require.Equal(t, 0, done.code, done.stderr)

			s := newSite(t, i.rules())
			restore := s.restore(i)
			if encrypted {
				restore = append(restore, "--identities", i.keys)
			}
			done = execute(t, restore...)
			require.Equal(t, 0, done.code, done.stderr)
			files, err := filepath.Glob(filepath.Join(s.repository, "apps/3scale/base/dr/secret-0*.yaml"))
			require.NoError(t, err)
			assert.Len(t, files, len(lengths), "each is there by a name of its own")

			for length := longest + 1; length <= 253; length++ {
				withPolicies(t, i.dir, length)
				args := []string{"backup", "--volume", filepath.Join(i.dir, "none"), "--objects", filepath.Join(i.dir, "objects"), "--skip-file-storage"}
				if encrypted {
					args = append(args, "--recipient", i.recipient)
				}
				done := execute(t, args...)
				assert.Equal(t, 64, done.code)
				assert.Contains(t, done.stderr, fmt.Sprintf("its name has %d characters, and one that is stored in a file can have %d", length, longest))
				assert.Contains(t, done.stderr, "spec.apicast.stagingSpec.customPolicies[0].secretRef")
				assert.Len(t, entries(t, filepath.Join(i.dir, "none")), 1, "nothing is written but the folder")
			}
		})
	}
}
