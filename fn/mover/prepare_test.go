package mover_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
)

// prepareOptions are those of a pod whose volume has what a killed one has left.
func prepareOptions(t *testing.T) job.PrepareOptions {
	t.Helper()
	o := job.PrepareOptions{Run: "20261122t120000z-1a2b3c4d", Database: []string{"backend-redis", "system-database"}, Volume: t.TempDir(), Tools: t.TempDir()}
	write(t, o.Volume, job.RunScratch(o.Run)+"/backend-redis/keys.resp", "half")
	write(t, o.Volume, job.RunScratch(o.Run)+"/system-redis.json", "{}")
	write(t, o.Volume, job.RunScratch("20261122t110000z-1a2b3c4d")+"/of-another-run", "stays")
	return o
}

func TestPrepare(t *testing.T) {
	o := prepareOptions(t)
	reporter := &recorder{}
	for range 2 { // a pod that is tried again has neither volume empty
		prepared, err := mover.Prepare(t.Context(), o, mover.Env{Reporter: reporter, Now: now})
		require.NoError(t, err)
		assert.Equal(t, job.Prepared{Run: o.Run, Completed: true}, prepared)
		var left []string
		scratch := filepath.Join(o.Volume, job.RunScratch(o.Run))
		require.NoError(t, filepath.WalkDir(scratch, func(path string, _ os.DirEntry, err error) error {
			left = append(left, strings.TrimPrefix(path, scratch))
			return err
		}))
		assert.Equal(t, []string{"", "/backend-redis", "/failures", "/system-database"}, left, "a directory for each container, and no more")
		tools, err := os.ReadDir(o.Tools)
		require.NoError(t, err)
		require.Len(t, tools, 1, "nothing but the program")
	}
	assert.FileExists(t, filepath.Join(o.Volume, job.RunScratch("20261122t110000z-1a2b3c4d"), "of-another-run"))
	assert.Empty(t, reporter.results, "the run has not ended")

	copied := filepath.Join(o.Tools, "mover")
	out, err := exec.CommandContext(t.Context(), copied, "-test.run=^$").CombinedOutput()
	require.NoError(t, err, "it is this very program: %s", out)
}

// TestPrepareRemovesWhatEndedRunsLeft: dumps are readable, also those of an encrypted run whose pod was killed.
func TestPrepareRemovesWhatEndedRunsLeft(t *testing.T) {
	o := prepareOptions(t)
	write(t, o.Volume, job.RunScratch("trigger-1a2b3c4d5e6f")+"/of-another-backup", "stays")
	o.Ended = []string{"20261122t110000z-1a2b3c4d", "20261121t110000z-1a2b3c4d"}
	_, err := mover.Prepare(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	left, err := os.ReadDir(filepath.Join(o.Volume, job.ScratchFolder))
	require.NoError(t, err)
	var names []string
	for _, entry := range left {
		names = append(names, entry.Name())
	}
	assert.Equal(t, []string{o.Run, "trigger-1a2b3c4d5e6f"}, names, "another backup may be at work on the same volume")
	o.Ended = []string{".."}
	_, err = mover.Prepare(t.Context(), o, mover.Env{Reporter: &recorder{}, Now: now})
	require.ErrorContains(t, err, `".." is no ID of a run`)
}

// TestPrepareCannotRemoveWhatEndedRunsLeft: a directory that another user made, or a file that an NFS server still
// holds, would otherwise fail each run from then on.
func TestPrepareCannotRemoveWhatEndedRunsLeft(t *testing.T) {
	const kept, gone = "20261121t110000z-1a2b3c4d", "20261122t110000z-1a2b3c4d"
	o := prepareOptions(t)
	o.Tools, o.Ended = "", []string{kept, gone}
	write(t, o.Volume, job.RunScratch(kept)+"/keys.resp", "of another user")
	scratch := filepath.Join(o.Volume, job.ScratchFolder)
	require.NoError(t, os.Chmod(filepath.Dir(o.Volume), 0o755))
	require.NoError(t, filepath.WalkDir(o.Volume, func(path string, _ os.DirEntry, err error) error {
		require.NoError(t, err)
		return os.Chmod(path, 0o777)
	}))
	closed := filepath.Join(scratch, kept)
	require.NoError(t, os.Chmod(closed, 0o555))
	defer os.Chmod(closed, 0o755)

	runtime.LockOSThread() // the user is that of the thread; without Unlock, it ends with the test
	user := os.Geteuid()
	if user == 0 { // who may remove everything
		require.NoError(t, syscall.Setfsuid(65534))
		defer func() { require.NoError(t, syscall.Setfsuid(user)) }()
	}
	prepared, err := mover.Prepare(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	require.Len(t, prepared.Warnings, 1)
	assert.Contains(t, prepared.Warnings[0], kept)
	assert.DirExists(t, closed)
	assert.NoDirExists(t, filepath.Join(scratch, gone))
	assert.NoDirExists(t, filepath.Join(scratch, o.Run, "backend-redis", "keys.resp"))

	require.NoError(t, os.Mkdir(filepath.Join(scratch, o.Run, "closed"), 0o755))
	write(t, scratch, o.Run+"/closed/keys.resp", "half")
	require.NoError(t, os.Chmod(filepath.Join(scratch, o.Run, "closed"), 0o555))
	defer os.Chmod(filepath.Join(scratch, o.Run, "closed"), 0o755)
	_, err = mover.Prepare(t.Context(), o, mover.Env{Now: now})
	require.ErrorContains(t, err, o.Run, "its own must be empty")
}

// TestPrepareForEverybody: the image of a database's client has a user of its own, and the mover a umask that keeps
// others out.
func TestPrepareForEverybody(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	o := prepareOptions(t)
	_, err := mover.Prepare(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(o.Tools, "mover"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), info.Mode())
}

func TestPrepareFailures(t *testing.T) {
	cases := map[string]struct {
		reason   string
		change   func(*testing.T, *job.PrepareOptions)
		want     string
		exitCode int
	}{
		"BadRunID": {
			reason: "it would be another folder of the volume",
			change: func(_ *testing.T, o *job.PrepareOptions) { o.Run = "../runs" },
			want:   v1alpha1.ReasonUsage, exitCode: job.ExitUsage,
		},
		"BadDatabase": {
			reason: "likewise",
			change: func(_ *testing.T, o *job.PrepareOptions) { o.Database = []string{"../x"} },
			want:   v1alpha1.ReasonUsage, exitCode: job.ExitUsage,
		},
		"NoVolume": {
			reason: "nothing may be written where no volume is mounted",
			change: func(_ *testing.T, o *job.PrepareOptions) { o.Volume += "-missing" },
			want:   v1alpha1.ReasonIO, exitCode: job.ExitIO,
		},
		"NoTools": {
			reason: "the containers with clients would have no program",
			change: func(_ *testing.T, o *job.PrepareOptions) { o.Tools += "-missing" },
			want:   v1alpha1.ReasonIO, exitCode: job.ExitIO,
		},
		"SymlinkOnTheVolume": {
			reason: "whoever can write to the volume cannot have something else emptied",
			change: func(t *testing.T, o *job.PrepareOptions) {
				require.NoError(t, os.RemoveAll(filepath.Join(o.Volume, job.ScratchFolder)))
				elsewhere := t.TempDir()
				write(t, elsewhere, o.Run+"/precious", "stays")
				t.Cleanup(func() { assert.FileExists(t, filepath.Join(elsewhere, o.Run, "precious")) })
				require.NoError(t, os.Symlink(elsewhere, filepath.Join(o.Volume, job.ScratchFolder)))
			},
			want: v1alpha1.ReasonIO, exitCode: job.ExitIO,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := prepareOptions(t)
			tc.change(t, &o)
			reporter := &recorder{}
			prepared, err := mover.Prepare(t.Context(), o, mover.Env{Reporter: reporter, Now: now})
			require.Error(t, err, tc.reason)
			assert.Equal(t, tc.exitCode, mover.ExitCode(err), tc.reason)
			assert.False(t, prepared.Completed)
			require.Len(t, reporter.results, 1, "it is the run that failed")
			result := reporter.results[0]
			assert.Equal(t, tc.want, result.Reason, tc.reason)
			assert.Equal(t, err.Error(), result.Message)
			assert.False(t, result.Completed)
			assert.Equal(t, noon, result.CompletionTime)
		})
	}
}
