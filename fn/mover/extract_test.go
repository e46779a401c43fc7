package mover_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/threescale"
)

// TestInspectWithoutDatabases: what System's database is concerns the plan of every restore.
func TestInspectWithoutDatabases(t *testing.T) {
	s := newStage(t, false, nil)
	s.inspect.Databases = v1alpha1.DatabasesSkip
	result, err := s.runInspect()
	require.NoError(t, err)
	require.Len(t, result.Databases, 1)
	assert.Equal(t, string(threescale.SystemDatabase), result.Databases[0].Name)
	assert.False(t, result.Databases[0].Dumped)
	assert.Contains(t, result.Databases[0].Message, `the run has no Secret "system-database"`)
}

// TestExtractOfWhatIsNot: the plan named it, so something is wrong.
func TestExtractOfWhatIsNot(t *testing.T) {
	s := newStage(t, false, nil)
	for name, tc := range map[string]struct {
		edit func(*job.ExtractOptions)
		want string
	}{
		"NotDumped": {func(*job.ExtractOptions) {}, v1alpha1.ReasonUsage},
		"NoSecret":  {func(o *job.ExtractOptions) { o.Connections = t.TempDir() }, v1alpha1.ReasonDatabaseUnsupported},
		"NoRun":     {func(o *job.ExtractOptions) { o.Run = "20260101t000000z-1a2b3c4d" }, v1alpha1.ReasonRunNotFound},
		"Replaced":  {func(o *job.ExtractOptions) { o.ManifestSHA256 = "00" }, v1alpha1.ReasonRunReplaced},
	} {
		t.Run(name, func(t *testing.T) {
			o := job.ExtractOptions{Run: runID, Volume: s.inspect.Volume, Database: []string{string(threescale.SystemDatabase)}, Scratch: filepath.Join(t.TempDir(), "dumps")}
			tc.edit(&o)
			result, err := mover.Extract(t.Context(), o, s.env())
			require.Error(t, err)
			assert.Equal(t, tc.want, result.Reason, result.Message)
		})
	}
}
