package simulate_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
)

// goOn reconciles and runs Jobs until none is left.
func (i *installation) goOn() {
	i.t.Helper()
	for range 10 {
		for range 3 { // a copy follows a run once that is in the status, and its Job follows its report
			i.reconcile()
		}
		if _, ran, err := i.RunJob(i.t.Context(), i.World); !ran {
			require.NoError(i.t, err)
			return
		}
	}
	require.Fail(i.t, "it never comes to rest", "%v", i.status())
}

func (i *installation) verified() (status, message string) { return i.condition("Verified") }

func (i *installation) condition(kind string) (status, message string) {
	conditions, _ := i.status("conditions").([]any)
	for _, entry := range conditions {
		if c := entry.(map[string]any); c["type"] == kind {
			return c["status"].(string), c["message"].(string)
		}
	}
	return "", ""
}

// TestNights: six weeks with the real mover on a real volume. What the rules
// keep is there and verifies; damage is found, and does not outlive the next run.
func TestNights(t *testing.T) {
	i := newInstallation(t, `, schedule: "0 2 * * *", verify: {schedule: "0 5 * * 0"}, retention: {keepDaily: 5, keepWeekly: 3, keepMonthly: 2}`)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	i.Now = func() time.Time { return now }
	i.goOn()
	source := i.PVCs["system-storage"]
	for night := range 42 {
		now = time.Date(2026, 11, 23+night, 2, 0, 3, 0, time.UTC)
		require.NoError(t, os.WriteFile(filepath.Join(source, "new-of-"+now.Format(time.DateOnly)), []byte(now.String()), 0o600))
		i.goOn()
		if night == 10 { // a Wednesday
			i.flip("new-of-2026-11-23")
		}
		now = now.Add(4 * time.Hour)
		i.goOn()
		status, message := i.verified()
		switch newest, _ := i.status("lastRun", "id").(string); night {
		case 6: // the first Sunday
			assert.Equal(t, "True", status, message)
		case 13: // the Sunday after the damage, whose night still linked to it
			assert.Equal(t, "False", status)
			assert.Contains(t, message, "new-of-2026-11-23")
			assert.Contains(t, message, newest)
		case 20, 41: // the night after it has mended all runs that have the file
			assert.Equal(t, "True", status, message)
		}
	}
	volume, err := archive.OpenVolume(i.volume)
	require.NoError(t, err)
	defer volume.Close()
	runs, err := volume.Runs(t.Context())
	require.NoError(t, err)
	var days []string
	for _, run := range runs {
		days = append(days, run.StartTime().Format(time.DateOnly))
		report, err := volume.Verify(t.Context(), run.ID, archive.VerifyOptions{})
		require.NoError(t, err)
		assert.NoError(t, report.Err(), run.ID)
	}
	assert.Equal(t, []string{"2026-12-20", "2026-12-27", "2026-12-30", "2026-12-31", "2027-01-01", "2027-01-02", "2027-01-03"}, days)
}

// flip changes a bit of a file of the newest run, and neither its size nor its times.
func (i *installation) flip(name string) {
	i.t.Helper()
	path := filepath.Join(i.volume, "latest", "system-filestorage-pvc", name)
	info, err := os.Stat(path)
	require.NoError(i.t, err)
	data, err := os.ReadFile(path)
	require.NoError(i.t, err)
	data[0] ^= 1
	require.NoError(i.t, os.WriteFile(path, data, info.Mode()))
	require.NoError(i.t, os.Chtimes(path, time.Time{}, info.ModTime()))
}
