package archive

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/progress"
)

func (f *fixture) verifyRuns(opts VerifyRunsOptions) *VolumeReport {
	f.t.Helper()
	opts.Workers = 3
	report, err := f.volume.VerifyRuns(f.t.Context(), opts)
	require.NoError(f.t, err)
	return report
}

// TestVerifyRunsTellsWhatVerifyTells: reading what runs share once changes nothing of what is found.
func TestVerifyRunsTellsWhatVerifyTells(t *testing.T) {
	for name, tc := range damages() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			require.NoError(t, os.Symlink("somewhere", filepath.Join(f.files, "link")))
			result := f.write("r1")
			f.write("r2")
			f.add("more", "x")
			f.write("r3")
			tc.do(t, f, result)
			all := f.verifyRuns(VerifyRunsOptions{})
			var runs []string
			for _, report := range all.Runs {
				runs = append(runs, report.Run)
				want := f.report(report.Run)
				assert.Equal(t, want.Problems, report.Problems, report.Run)
				assert.Equal(t, want.ProblemCount, report.ProblemCount)
				assert.Equal(t, []any{want.State, want.ManifestSHA256, want.Objects, want.Files, want.Bytes},
					[]any{report.State, report.ManifestSHA256, report.Objects, report.Files, report.Bytes}, report.Run)
			}
			assert.ElementsMatch(t, []string{"r1", "r2", "r3"}, runs)
			var damaged *IntegrityError
			require.ErrorAs(t, all.Err(), &damaged, tc.reason)
			assert.Equal(t, all.Damages(), f.verifyRuns(VerifyRunsOptions{}).Damages(), "always in the same order")
		})
	}
}

// TestVerifyRunsReadsOnce: thirty nights cost the reading of one, and of what changed.
func TestVerifyRunsReadsOnce(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.write("r2")
	f.add("third", "x")
	f.write("r3")
	f.add("fourth", "xy")
	f.write("r4")
	var last Progress
	report := f.verifyRuns(VerifyRunsOptions{Progress: func(p Progress) { last = p }})
	require.NoError(t, report.Err())
	assert.Empty(t, report.Damages())
	assert.Empty(t, report.Warnings)
	assert.Equal(t, int64(4*3+6), report.Files, "objects of each run, and six files, whatever they are linked to")
	assert.Equal(t, int64(4*64+20), report.Bytes)
	assert.Equal(t, Progress{Phase: progress.Verify, FilesDone: 27, FilesTotal: 27, BytesDone: 4*64 + 17 + 18 + 20, BytesTotal: 4*64 + 17 + 18 + 20}, last)
	for i, run := range []string{"r4", "r3", "r2", "r1"} {
		assert.Equal(t, run, report.Runs[i].Run, "the newest first")
	}
	assert.Equal(t, int64(4), report.Runs[3].Files, "each report tells of the whole run")
}

// TestVerifyRunsTellsEachRunOfADamagedFile: a file that is linked into many trees harms all of their runs, and is one
// file all the same.
func TestVerifyRunsTellsEachRunOfADamagedFile(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.write("r2")
	f.add("third", "x")
	third := f.write("r3")
	require.NoError(t, os.Remove(filepath.Join(f.files, "tenant-002/.htaccess")))
	f.write("r4")
	replaceIn(t, f.stored(third, "tenant-002/.htaccess"), "deny", "open")
	report := f.verifyRuns(VerifyRunsOptions{})
	problem := Problem{
		Path: "trees/" + third.Manifest.Tree + "/files/tenant-002/.htaccess", Kind: Changed,
		Got: "sha256:" + dirfd.DigestOf([]byte("open")), Want: "sha256:" + dirfd.DigestOf([]byte("deny")),
	}
	assert.Equal(t, []Damage{{Problem: problem, Runs: []string{"r3", "r2", "r1"}}}, report.Damages())
	assert.Equal(t, problem.String()+"; in runs r3, r2, r1", report.Damages()[0].String())
	require.EqualError(t, report.Err(), "3 runs are damaged: r3, r2, r1")
	assert.Empty(t, report.Runs[0].Problems)
}

func TestDamageNamesSomeRuns(t *testing.T) {
	p := Problem{Path: "p", Kind: Missing}
	assert.Equal(t, "p is missing; in run a", Damage{p, []string{"a"}}.String())
	assert.Equal(t, "p is missing; in runs a, b, c and 2 more", Damage{p, []string{"a", "b", "c", "d", "e"}}.String())
}

// TestVerifyRunsStates: what cannot be verified is told as such.
func TestVerifyRunsStates(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	operator := newFixture(t) // what it wrote lies at the root
	operator.addSome()
	operator.write("x")
	for _, dir := range []string{"secrets", "configmaps", "apimanager"} {
		require.NoError(t, os.CopyFS(f.path(dir), os.DirFS(operator.path("runs/x", dir))))
	}
	require.NoError(t, os.Truncate(f.path("secrets/system-app.json"), 0))
	f.write("r1")
	f.write("r2")
	f.write("newer")
	replaceIn(t, f.path("runs/newer/manifest.json"), `"formatVersion": 2`, `"formatVersion": 99`)
	require.NoError(t, os.MkdirAll(f.path("runs/.partial-r9"), 0o755))
	report := f.verifyRuns(VerifyRunsOptions{})
	states := map[string]State{}
	for _, run := range report.Runs {
		states[run.Run] = run.State
	}
	assert.Equal(t, map[string]State{"r1": Complete, "r2": Complete, "newer": Unsupported, UnverifiedRun: Unverified}, states)
	assert.NoError(t, report.Err(), "none of them is known to be damaged")
	assert.Equal(t, int64(2), report.Verified)
	assert.Empty(t, report.Damages())
	assert.Equal(t, []string{`latest does not lead to the newest run "r2"`}, report.Warnings)
	for _, run := range report.Runs {
		if run.State == Unsupported {
			require.Len(t, run.Warnings, 1)
			assert.Contains(t, run.Warnings[0], "format version 99")
		}
	}
}

// TestAllWarnings: what many runs share is told once, and does not hide what cannot be verified.
func TestAllWarnings(t *testing.T) {
	r := &VolumeReport{Warnings: []string{"of the volume"}, Runs: []*VerifyReport{
		{Run: "r5", State: Complete, Warnings: []string{"modes", "times"}},
		{Run: "r4", State: Complete, Warnings: []string{"modes"}},
		{Run: "r3", State: Complete, Warnings: []string{"modes"}},
		{Run: "r2", State: Complete, Warnings: []string{"modes"}, Problems: []Problem{{Path: "p", Kind: Missing}}},
		{Run: "r1", State: Unsupported, Warnings: []string{"newer"}},
		{Run: "op", State: Unverified, Warnings: []string{"no digests"}, Problems: []Problem{{Path: "q", Kind: Missing}}},
	}}
	assert.Equal(t, []string{
		"of the volume", "run r1: newer", "run op: no digests", "run op: q is missing",
		"runs r5, r4, r3 and 1 more: modes", "run r5: times",
	}, r.AllWarnings())
	assert.Len(t, r.Warnings, 1)
}

// TestVerifyRunsExpected: what is kept elsewhere cannot be forged on the volume.
func TestVerifyRunsExpected(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(t *testing.T, f *fixture, r *Result) (want string)
		path   string // of the problem; empty: none
	}{
		"Right": {"The manifest is the known one", func(_ *testing.T, _ *fixture, r *Result) string { return r.ManifestSHA256 }, ""},
		"Wrong": {"Another manifest is a forgery, however good", func(*testing.T, *fixture, *Result) string { return strings.Repeat("0", 64) }, "runs/r2/manifest.json"},
		"Gone": {"A run that should be there was lost", func(t *testing.T, f *fixture, r *Result) string {
			require.NoError(t, os.RemoveAll(f.path("runs/r2")))
			return r.ManifestSHA256
		}, "runs/r2"},
		"CalledNewer": {"Nobody hides a run by calling it newer", func(t *testing.T, f *fixture, r *Result) string {
			replaceIn(t, f.path("runs/r2/manifest.json"), `"formatVersion": 2`, `"formatVersion": 9`)
			return r.ManifestSHA256
		}, "runs/r2/manifest.json"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			want := tc.do(t, f, f.write("r2"))
			report := f.verifyRuns(VerifyRunsOptions{Expect: map[string]string{"r2": want}})
			damages := report.Damages()
			if tc.path == "" {
				assert.Empty(t, damages, tc.reason)
				return
			}
			require.Len(t, damages, 1, tc.reason)
			assert.Equal(t, tc.path, damages[0].Path)
			assert.Equal(t, []string{"r2"}, damages[0].Runs)
			assert.Error(t, report.Err())
		})
	}
}

func TestVerifyRunsOfAnEmptyVolume(t *testing.T) {
	report := newFixture(t).verifyRuns(VerifyRunsOptions{})
	assert.Equal(t, &VolumeReport{Warnings: []string{"there are no runs on the volume"}}, report)
	assert.NoError(t, report.Err())
}

// TestVerifyRunsOfOne: the others are not read, and what should be there is missed all the same.
func TestVerifyRunsOfOne(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.opts.Files = ""
	f.write("r2")
	flip(t, f.stored(first, aFile))
	report := f.verifyRuns(VerifyRunsOptions{Run: Latest})
	require.NoError(t, report.Err())
	require.Len(t, report.Runs, 1)
	assert.Equal(t, "r2", report.Runs[0].Run)
	assert.Equal(t, int64(3), report.Files)
	assert.Len(t, f.verifyRuns(VerifyRunsOptions{Run: "r1"}).Damages(), 1)
	assert.NoError(t, f.verifyRuns(VerifyRunsOptions{Run: "r2", Expect: map[string]string{"r1": first.ManifestSHA256}}).Err())
	gone := f.verifyRuns(VerifyRunsOptions{Run: "r2", Expect: map[string]string{"r0": first.ManifestSHA256}})
	require.Len(t, gone.Damages(), 1)
	assert.Equal(t, "runs/r0", gone.Damages()[0].Path)
	assert.Equal(t, int64(1), gone.Verified)

	_, err := f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{Run: "r0"})
	require.ErrorIs(t, err, ErrRunNotFound)
	replaceIn(t, f.path("runs/r2/manifest.json"), `"formatVersion": 2`, `"formatVersion": 99`)
	var newer *VersionError
	_, err = f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{Run: "r2"})
	require.ErrorAs(t, err, &newer, "nothing was verified of what was asked for")
}

func TestVerifyRunsCancelled(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := f.volume.VerifyRuns(ctx, VerifyRunsOptions{Progress: func(Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled, "what was not read is not told as damage")
}

// TestVerifyRunsTellsSomeOfMany: damage of everything does not take all memory to tell.
func TestVerifyRunsTellsSomeOfMany(t *testing.T) {
	f := newFixture(t)
	for i := range 30 {
		f.add("f"+itoa(1000+i), "content")
	}
	first := f.write("r1")
	require.NoError(t, os.RemoveAll(f.stored(first, "")))
	require.NoError(t, os.Mkdir(f.stored(first, ""), 0o755))
	info, err := f.volume.find(t.Context(), "r1")
	require.NoError(t, err)
	a := &runsVerifier{stored: f.volume, progress: &progress.Meter{}, seen: dirfd.NewSeen(), trees: map[sharedTree]*VerifyReport{}, left: map[string]int{}, most: minProblems, report: &VolumeReport{}}
	require.NoError(t, a.verify(t.Context(), info))
	assert.Len(t, a.report.Runs[0].Problems, minProblems)
	assert.Equal(t, int64(30), a.report.Runs[0].ProblemCount)
}

func TestVerifyRunsReadsARunOfManyRecipientsAndNone(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.opts.Recipients = []string{identity(t).Recipient().String()}
	f.write("r2")
	f.opts.Files = ""
	f.write("r3")
	report := f.verifyRuns(VerifyRunsOptions{})
	assert.NoError(t, report.Err(), "it takes no key")
	assert.Equal(t, int64(3*3+2*4), report.Files)
}

// TestVerifyRunsWhileRunsAreRemoved has retention go on beside a verification of all.
func TestVerifyRunsWhileRunsAreRemoved(t *testing.T) {
	for _, victim := range []string{"r1", "r2", "r3"} {
		t.Run(victim, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			for _, run := range []string{"r1", "r2", "r3", "r4"} {
				f.change("changing", run)
				f.write(run)
			}
			removed := false
			report, err := f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{Workers: 1, Progress: func(Progress) {
				if !removed {
					removed = f.tryRemove(victim) == nil
				}
			}})
			require.NoError(t, err)
			assert.Empty(t, report.Damages())
		})
	}
}

// TestVerifyRunsOfOneThatIsRemoved is the same of one run: there is nothing to tell of it.
func TestVerifyRunsOfOneThatIsRemoved(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.write("r2")
	_, err := f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{Run: "r1", Progress: func(p Progress) {
		if p.FilesDone == 0 {
			f.remove("r1")
		}
	}})
	require.ErrorIs(t, err, ErrRunNotFound)
}

// TestVerifyRunsWithoutLocksWhileRunsAreRemoved takes the files away under the one who reads them.
func TestVerifyRunsWithoutLocksWhileRunsAreRemoved(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.change("changing", "x")
	second := f.write("r2")
	f.change("changing", "xx")
	f.write("r3")
	report := f.verifyRuns(VerifyRunsOptions{Progress: func(p Progress) {
		if p.FilesDone >= 3+5+3 { // those of r3, and the objects of r2
			require.NoError(t, os.RemoveAll(f.path("runs/r2")))
			require.NoError(t, os.RemoveAll(f.path("trees", second.Manifest.Tree)))
		}
	}})
	assert.Empty(t, report.Damages())
	assert.Len(t, report.Runs, 2)
	assert.Equal(t, int64(2), report.Verified)
}

// TestRunsThatAreNotReadAreCompared: of what is known of other runs, their manifests tell whether they were replaced.
func TestRunsThatAreNotReadAreCompared(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	known := f.write("r1").ManifestSHA256
	f.write("r2")
	report := f.verifyRuns(VerifyRunsOptions{Run: "r2", Expect: map[string]string{"r1": known}})
	require.NoError(t, report.Err())
	require.Len(t, report.Runs, 1)

	require.NoError(t, os.WriteFile(filepath.Join(f.root, "runs", "r1", "manifest.json"), []byte("{}"), 0o600))
	report = f.verifyRuns(VerifyRunsOptions{Run: "r2", Expect: map[string]string{"r1": known}})
	require.Error(t, report.Err())
	damages := report.Damages()
	require.Len(t, damages, 1)
	assert.Equal(t, []string{"r1"}, damages[0].Runs)
	assert.Equal(t, "runs/r1/manifest.json", damages[0].Path)
	want := "sha256:" + known
	assert.Equal(t, want, damages[0].Want)
}
