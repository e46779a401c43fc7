package job_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
)

func TestExtractOptionsRoundTrip(t *testing.T) {
	full := job.ExtractOptions{
		Run: "20261122t115900z-1a2b3c4d", Volume: job.VolumePath, ManifestSHA256: "00ff", Identities: job.IdentitiesPath,
		Database: []string{"backend-redis", "system-database"}, Scratch: job.DumpsPath, Connections: job.ConnectionsPath, Tools: job.ToolsPath,
		Namespace: "3scale", Report: "dr-load-1-report",
	}
	got, err := command[job.ExtractOptions](t, job.ExtractCommand, full.Args())
	require.NoError(t, err)
	assert.Equal(t, full, got)
	full.Volume, full.BucketOptions = "", bucket()
	got, err = command[job.ExtractOptions](t, job.ExtractCommand, full.Args())
	require.NoError(t, err)
	assert.Equal(t, full, got, "from a bucket")
	for _, wrong := range []job.ExtractOptions{{Database: full.Database, Scratch: "/s"}, {Run: "x", Scratch: "/s"}, {Run: "x", Database: full.Database}} {
		_, err := command[job.ExtractOptions](t, job.ExtractCommand, wrong.Args())
		assert.Error(t, err, "%+v", wrong)
	}
}

func TestLoadOptionsRoundTrip(t *testing.T) {
	full := job.LoadOptions{
		Run: "20261122t115900z-1a2b3c4d", Database: []string{"system-database"}, Encrypted: []string{"system-database"}, Policy: v1alpha1.DatabasesReplace,
		Attempt: "3scale/dr/1a2b3c4d", Loaded: []string{"system-database"}, Whole: []string{"backend-redis", "system-database"}, Scratch: job.DumpsPath, Connections: job.ConnectionsPath, Private: job.PrivatePath,
		Namespace: "3scale", Report: "dr-load-1-report",
	}
	for _, o := range []job.LoadOptions{full, {Run: "x", Policy: v1alpha1.DatabasesIfEmpty, Scratch: "/s", Connections: "/c"}} {
		got, err := command[job.LoadOptions](t, job.LoadCommand, o.Args())
		require.NoError(t, err)
		assert.Equal(t, o, got)
	}
	for _, policy := range []v1alpha1.DatabasesPolicy{"", v1alpha1.DatabasesSkip, "Drop"} {
		wrong := full
		wrong.Policy = policy
		_, err := command[job.LoadOptions](t, job.LoadCommand, wrong.Args())
		assert.Error(t, err, policy)
	}
}

func TestParseLoadResult(t *testing.T) {
	full := job.LoadResult{
		Run: "x", Completed: true, Reason: "r", Message: "m", CompletionTime: time.Unix(2, 5).UTC(),
		Databases: []job.LoadedDatabase{{Name: "backend-redis", Kind: recorded.Redis, ServerVersion: "7.2.4", Bytes: 3, Warnings: []string{"w"}}},
	}
	text, err := json.Marshal(full)
	require.NoError(t, err)
	got, err := job.ParseLoadResult(map[string]string{job.KeyLoad: string(text)}, "x")
	require.NoError(t, err)
	assert.Equal(t, &full, got)
	got, err = job.ParseLoadResult(map[string]string{job.KeyLoad: string(text)}, "y")
	require.NoError(t, err)
	assert.Nil(t, got, "a result is of the run that it names")
	_, err = job.ParseLoadResult(map[string]string{job.KeyLoad: "[]"}, "x")
	assert.Error(t, err)
}

// TestLargestLoadFits into what is read of it.
func TestLargestLoadFits(t *testing.T) {
	worst := strings.Repeat("\x01", 4<<10) // six characters in JSON
	list := make([]string, 100)
	for i := range list {
		list[i] = worst
	}
	r := job.LoadResult{Run: "x", Reason: worst, Message: worst}
	for range 4 { // there are no more databases
		r.Databases = append(r.Databases, job.LoadedDatabase{Name: worst, Kind: recorded.DatabaseKind(worst), ServerVersion: worst, Warnings: list})
	}
	text, err := json.Marshal(r.Bounded())
	require.NoError(t, err)
	assert.Less(t, len(text), job.MaxReportBytes)
}
