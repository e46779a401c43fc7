package mover_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

// TestACopyWithoutLinksIsRestored takes the symlinks of a volume away, as a tool for object stores does. What is
// inspected is verified all the same, with a warning, and refilled whole.
func TestACopyWithoutLinksIsRestored(t *testing.T) {
	for name, encrypted := range map[string]bool{"Plaintext": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, encrypted, nil)
			removed := 0
			require.NoError(t, filepath.WalkDir(s.inspect.Volume, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.Type() == fs.ModeSymlink {
					removed++
					return os.Remove(path)
				}
				return err
			}))
			require.GreaterOrEqual(t, removed, 2, "latest, and that of the run")
			inspected, err := s.runInspect()
			require.NoError(t, err)
			assert.True(t, inspected.Completed)
			assert.True(t, inspected.Verified)
			assert.Equal(t, runID, inspected.Run)
			assert.Contains(t, strings.Join(inspected.Warnings, "\n"), "the run lacks 1 symlinks")
			result, err := s.runRefill()
			require.NoError(t, err)
			assert.True(t, result.Completed)
			inspected, err = s.runInspect()
			require.NoError(t, err)
			assert.Equal(t, job.ExistingStorage{Present: true, Same: true}, inspected.Existing)
		})
	}
}
