package mover_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
)

// verification is a volume with three runs, the last of which has a file more.
type verification struct {
	t       *testing.T
	options job.Options // of the last run
	digest  string      // of its manifest
	verify  job.VerifyOptions
	reports *reports
}

func newVerification(t *testing.T) *verification {
	t.Helper()
	v := &verification{t: t, options: options(t), reports: &reports{data: map[string]string{}}}
	for i, run := range []string{"r1", "r2", "r3"} {
		if i == 2 {
			write(t, v.options.FileStorage, "tenant/later.png", "later")
		}
		v.options.Run = run
		clock := noon.AddDate(0, 0, i)
		result, err := mover.Backup(t.Context(), v.options, mover.Env{Now: func() time.Time { return clock }})
		require.NoError(t, err)
		v.digest = result.ManifestSHA256
	}
	v.verify = job.VerifyOptions{Run: job.All, Volume: v.options.Volume}
	return v
}

func (v *verification) run() (job.Verification, error) {
	v.t.Helper()
	got, err := mover.Verify(v.t.Context(), v.verify, mover.Env{Reporter: v.reports, Now: now})
	reported, parseErr := job.ParseVerification(v.reports.data)
	require.NoError(v.t, parseErr)
	require.Equal(v.t, &got, reported, "what is returned is what was reported")
	return got, err
}

// stored returns the path of a file of the file storage as a run has it.
func (v *verification) stored(run, path string) string {
	return filepath.Join(v.options.Volume, "runs", run, "system-filestorage-pvc", path)
}

// addRun makes a copy of the first run one that comes after all others.
func (v *verification) addRun(id string) {
	v.t.Helper()
	runs := filepath.Join(v.options.Volume, "runs")
	out, err := exec.CommandContext(v.t.Context(), "cp", "-a", filepath.Join(runs, "r1"), filepath.Join(runs, id)).CombinedOutput()
	require.NoError(v.t, err, "%s", out)
	manifest := filepath.Join(runs, id, "manifest.json")
	text, err := os.ReadFile(manifest)
	require.NoError(v.t, err)
	text = []byte(strings.NewReplacer(`"run": "r1"`, `"run": "`+id+`"`, `"sequence": 1`, `"sequence": 99`).Replace(string(text)))
	require.NoError(v.t, os.WriteFile(manifest, text, 0o600))
}

func TestVerifyTellsThatAllIsWell(t *testing.T) {
	cases := map[string]struct {
		reason      string
		run         string
		runs, files int64
	}{
		"All":    {"what runs share is read once", job.All, 3, 3*4 + 2},
		"Latest": {"the newest run alone", job.Latest, 1, 4 + 2},
		"One":    {"a run of choice", "r1", 1, 4 + 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newVerification(t)
			v.verify.Run, v.verify.ExpectRun, v.verify.ManifestSHA256 = tc.run, "r3", v.digest
			before := listing(t, v.options.Volume)
			got, err := v.run()
			require.NoError(t, err)
			assert.Equal(t, before, listing(t, v.options.Volume), "nothing is written")
			assert.Equal(t, tc.runs, got.Runs, tc.reason)
			assert.Equal(t, tc.files, got.Files, tc.reason)
			assert.Positive(t, got.Bytes)
			assert.True(t, got.Completed)
			assert.Equal(t, noon, got.StartTime)
			assert.Equal(t, noon, got.CompletionTime)
			assert.Empty(t, got.DamagedRuns)
			assert.Empty(t, got.Problems)
			assert.Empty(t, got.Warnings)
			assert.Empty(t, got.Reason)
		})
	}
}

// listing tells of all that is on a volume but its content.
func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if info, infoErr := d.Info(); err == nil && infoErr == nil {
			found[path] = info.Mode().String() + info.ModTime().String()
		}
		return err
	}))
	return found
}

// TestVerifyTellsDamage: damage is a finding, not a failure.
func TestVerifyTellsDamage(t *testing.T) {
	cases := map[string]struct {
		reason  string
		do      func(v *verification)
		damaged []string
		problem []string // what the problems hold, one each
		runs    int64
	}{
		"SharedFile": {"all runs that link it are told", func(v *verification) {
			flip(v.t, v.stored("r1", "tenant/logo.png"))
		}, []string{"r3", "r2", "r1"}, []string{"/files/tenant/logo.png is changed"}, 3},
		"FileOfOne": {"only the run that has it is told", func(v *verification) {
			flip(v.t, v.stored("r3", "tenant/later.png"))
		}, []string{"r3"}, []string{"; in run r3"}, 3},
		"Object": {"objects are verified too", func(v *verification) {
			flip(v.t, filepath.Join(v.options.Volume, "runs/r2/secrets/system-seed.json"))
		}, []string{"r2"}, []string{"runs/r2/secrets/system-seed.json is changed"}, 3},
		"Manifest": {"a run without its manifest is lost", func(v *verification) {
			require.NoError(v.t, os.Remove(filepath.Join(v.options.Volume, "runs/r2/manifest.json")))
		}, []string{"r2"}, []string{"runs/r2/manifest.json is malformed"}, 3},
		"Latest": {"a newest run that was damaged is not passed over", func(v *verification) {
			require.NoError(v.t, os.Remove(filepath.Join(v.options.Volume, "runs/r3/manifest.json")))
			v.verify.Run = job.Latest
		}, []string{"r3"}, []string{"runs/r3/manifest.json is malformed"}, 1},
		"Forged": {"a manifest that is known elsewhere cannot be replaced", func(v *verification) {
			v.verify.ExpectRun, v.verify.ManifestSHA256 = "r3", strings.Repeat("0", 64)
		}, []string{"r3"}, []string{"runs/r3/manifest.json is changed"}, 3},
		"Gone": {"nor its run taken away", func(v *verification) {
			require.NoError(v.t, os.RemoveAll(filepath.Join(v.options.Volume, "runs/r3")))
			v.verify.Run, v.verify.ExpectRun, v.verify.ManifestSHA256 = job.Latest, "r3", v.digest
		}, []string{"r3"}, []string{"runs/r3 is missing"}, 1},
		"Added": {"the latest is the one that is known, whatever else says so of itself", func(v *verification) {
			v.addRun("r9")
			flip(v.t, v.stored("r3", "tenant/later.png"))
			v.verify.Run, v.verify.ExpectRun, v.verify.ManifestSHA256 = job.Latest, "r3", v.digest
		}, []string{"r3"}, []string{"/files/tenant/later.png is changed"}, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newVerification(t)
			tc.do(v)
			got, err := v.run()
			require.NoError(t, err, "the Job did what it is for")
			assert.Equal(t, job.ExitOK, mover.ExitCode(err))
			assert.True(t, got.Completed)
			assert.Empty(t, got.Reason)
			assert.Equal(t, tc.damaged, got.DamagedRuns, tc.reason)
			require.Len(t, got.Problems, len(tc.problem), "%q", got.Problems)
			for i, want := range tc.problem {
				assert.Contains(t, got.Problems[i], want, tc.reason)
			}
			assert.Equal(t, tc.runs, got.Runs)
		})
	}
}

// TestVerifyBoundsWhatItTells: a report has to fit into an object, and says where the rest is told.
func TestVerifyBoundsWhatItTells(t *testing.T) {
	v := newVerification(t)
	for _, run := range []string{"r1", "r3"} {
		require.NoError(t, os.RemoveAll(v.stored(run, "tenant")))
	}
	for i := range 30 {
		write(t, v.stored("r3", "."), "additional"+string(rune('A'+i)), "")
	}
	got, err := v.run()
	require.NoError(t, err)
	require.Len(t, got.Problems, 20)
	assert.Equal(t, "and 14 more; threescale-backup verify --all lists them all", got.Problems[19])
}

// TestVerifyWarns: what cannot be verified is neither well nor damaged.
func TestVerifyWarns(t *testing.T) {
	v := newVerification(t)
	path := filepath.Join(v.options.Volume, "runs/r2/manifest.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"formatVersion": 2`, `"formatVersion": 99`, 1)), 0o600))
	require.NoError(t, os.Remove(filepath.Join(v.options.Volume, "secrets")))
	write(t, v.options.Volume, "secrets/system-app.json", "")
	got, err := v.run()
	require.NoError(t, err)
	assert.Equal(t, int64(2), got.Runs)
	assert.Empty(t, got.DamagedRuns)
	text := strings.Join(got.Warnings, "\n")
	assert.Contains(t, text, "run r2: manifest has format version 99")
	assert.Contains(t, text, "run apimanagerbackup: written by APIManagerBackup: there are no digests to verify it by")
	assert.Contains(t, text, "run apimanagerbackup: secrets/system-app.json is malformed")
}

// TestVerifyDoesNotWait: it reads what is there while a writer holds the volume.
func TestVerifyDoesNotWait(t *testing.T) {
	v := newVerification(t)
	lock, err := os.OpenFile(filepath.Join(v.options.Volume, ".lock"), os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	got, err := v.run()
	require.NoError(t, err)
	assert.Equal(t, int64(3), got.Runs)
}

func TestVerifyFails(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(v *verification)
		want   string
		exit   int
	}{
		"NoVolume": {"the pod may have been started before its volume was there", func(v *verification) { v.verify.Volume += "-missing" }, v1alpha1.ReasonIO, job.ExitIO},
		"NoRun":    {"a run does not come back", func(v *verification) { v.verify.Run = "r9" }, v1alpha1.ReasonRunNotFound, job.ExitUsage},
		"NoRuns": {"nor does a newest one", func(v *verification) {
			v.verify.Run = job.Latest
			require.NoError(v.t, os.RemoveAll(filepath.Join(v.options.Volume, "runs")))
		}, v1alpha1.ReasonRunNotFound, job.ExitUsage},
		"NewerFormat": {"nothing was verified of what was asked for", func(v *verification) {
			v.verify.Run = "r3"
			write(v.t, v.options.Volume, "runs/r3/manifest.json", `{"formatVersion": 99}`)
		}, v1alpha1.ReasonUnsupportedFormat, job.ExitUsage},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newVerification(t)
			tc.do(v)
			got, err := v.run()
			require.Error(t, err, tc.reason)
			assert.Equal(t, tc.exit, mover.ExitCode(err), tc.reason)
			assert.False(t, got.Completed)
			assert.Equal(t, tc.want, got.Reason, tc.reason)
			assert.NotEmpty(t, got.Message)
			assert.Equal(t, noon, got.CompletionTime)
		})
	}
}

// TestVerifyInterrupted: what was not read is not told as damaged.
func TestVerifyInterrupted(t *testing.T) {
	v := newVerification(t)
	ctx, stop := context.WithCancel(t.Context())
	env := mover.Env{Reporter: v.reports, Now: now, Progress: func(p v1alpha1.Progress) {
		assert.Equal(t, "Verify", p.Phase)
		stop()
	}}
	got, err := mover.Verify(ctx, v.verify, env)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
	assert.Equal(t, v1alpha1.ReasonInterrupted, got.Reason)
	assert.Empty(t, got.DamagedRuns)
}

func TestVerifyForbidden(t *testing.T) {
	err := mover.Denied(&os.PathError{Op: "open", Path: "/backup/runs", Err: syscall.EACCES})
	assert.Equal(t, v1alpha1.ReasonUnreadable, mover.Reason(err), "nobody wanted to write")
	assert.Equal(t, job.ExitNoPermission, mover.ExitCode(err), "permissions do not change by themselves")
}

// TestBackupProvesLinks: nothing damaged is linked to, and what earlier runs have of it is mended.
func TestBackupProvesLinks(t *testing.T) {
	v := newVerification(t)
	flip(t, v.stored("r3", "tenant/logo.png"))
	v.options.Run, v.options.ProveLinks = "r4", true
	result, err := mover.Backup(t.Context(), v.options, mover.Env{Now: func() time.Time { return noon.AddDate(0, 0, 4) }})
	require.NoError(t, err)
	require.Len(t, result.Warnings, 2)
	assert.Contains(t, result.Warnings[0], "damaged files of earlier runs were replaced by good copies")
	assert.Contains(t, result.Warnings[1], "tenant/logo.png is damaged")
	got, err := v.run()
	require.NoError(t, err)
	assert.Empty(t, got.DamagedRuns)
}
