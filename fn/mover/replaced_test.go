package mover_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/retention"
)

// Whoever can mount the volume can replace a run whole: by one that every list and
// every digest of its own says is intact. What is known of it from elsewhere tells.

// steady is a history whose files stay as they are.
type steady struct {
	t *testing.T
	o job.Options
}

func newSteady(t *testing.T) *steady {
	t.Helper()
	return &steady{t: t, o: options(t)}
}

// run backs up, so many days after noon, with what is known.
func (s *steady) run(id string, days int, policy retention.Policy, known ...string) job.Result {
	s.t.Helper()
	o := s.o
	o.Run, o.Policy, o.Known = id, policy, known
	result, err := mover.Backup(s.t.Context(), o, mover.Env{Now: func() time.Time { return noon.AddDate(0, 0, days) }})
	require.NoError(s.t, err)
	return result
}

// replace puts a forged run, made of the same files, in the place of a run.
func (s *steady) replace(id string) {
	s.t.Helper()
	forger := &steady{t: s.t, o: s.o}
	forger.o.Volume = s.t.TempDir()
	forger.run(id, -1, retention.Policy{})
	place := filepath.Join(s.o.Volume, "runs", id)
	require.NoError(s.t, os.RemoveAll(place))
	out, err := exec.CommandContext(s.t.Context(), "cp", "-a", filepath.Join(forger.o.Volume, "runs", id), place).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

func (s *steady) left() []string { return (&history{t: s.t, o: s.o}).left() }

func known(run string, r job.Result) string { return job.KnownManifest(run, r.ManifestSHA256) }

const (
	first  = "20261122t120000z-00000001"
	second = "20261123t120000z-00000002"
	third  = "20261124t120000z-00000003"
)

// TestReplacedRunIsNotLinkedTo: what a run links to is vouched for by its digest.
func TestReplacedRunIsNotLinkedTo(t *testing.T) {
	cases := map[string]struct {
		reason   string
		replace  bool
		known    func(original job.Result) []string
		linked   bool
		warnings int
	}{
		"Itself":         {"it is what was written", false, func(r job.Result) []string { return []string{known(first, r)} }, true, 0},
		"Replaced":       {"its files may be anybody's", true, func(r job.Result) []string { return []string{known(first, r)} }, false, 1},
		"NothingKnown":   {"nobody can tell", true, func(job.Result) []string { return nil }, true, 0},
		"OthersAreKnown": {"a forger adds a run just as well", true, func(r job.Result) []string { return []string{known(second, r)} }, false, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSteady(t)
			original := s.run(first, 0, retention.Policy{})
			if tc.replace {
				s.replace(first)
			}
			result := s.run(third, 2, retention.Policy{}, tc.known(original)...)
			assert.Equal(t, tc.linked, result.LinkedFiles > 0, tc.reason)
			require.Len(t, result.Warnings, tc.warnings)
			if tc.warnings > 0 {
				assert.Contains(t, result.Warnings[0], `run "`+first+`" was replaced and was not used`)
			}
		})
	}
}

// TestReplacedRunDisplacesNone: a forgery is no backup, and is left to be looked at.
func TestReplacedRunDisplacesNone(t *testing.T) {
	s := newSteady(t)
	good := s.run(first, 0, retention.Policy{})
	forged := s.run(second, 1, retention.Policy{})
	s.replace(second)
	digests := []string{known(first, good), known(second, forged)}
	result := s.run(third, 2, retention.Policy{KeepLast: 2}, digests...)
	assert.Empty(t, result.Removed, "two good ones are kept")
	assert.Contains(t, result.Warnings, "the retention leaves 1 runs that are not what the status knows: "+second+"; look at them, then remove them")
	assert.ElementsMatch(t, []string{first, second, third}, s.left())
}

// add puts a run of a digest that nobody knows on the volume, as somebody may
// write it who chooses its place in the order, and its date.
func (s *steady) add(id string, sequence int64, start time.Time) {
	s.t.Helper()
	s.replace(id)
	path := filepath.Join(s.o.Volume, "runs", id, "manifest.json")
	text, err := os.ReadFile(path)
	require.NoError(s.t, err)
	for pattern, with := range map[string]string{
		`"sequence": \d+`:      fmt.Sprintf(`"sequence": %d`, sequence),
		`"startTime": "[^"]+"`: fmt.Sprintf(`"startTime": %q`, start.Format(time.RFC3339)),
	} {
		text = regexp.MustCompile(pattern).ReplaceAll(text, []byte(with))
	}
	require.NoError(s.t, os.WriteFile(path, text, 0o600))
}

// TestAddedRunDisplacesNone: whoever can write to the volume can add a run that is
// newer than all others by its own word, for as long as it is there.
func TestAddedRunDisplacesNone(t *testing.T) {
	const (
		added    = "20261121t120000z-0000000a"
		greatest = 1<<53 - 1
	)
	cases := map[string]struct {
		reason   string
		sequence int64
		days     int
		known    bool // what is known of the runs that we wrote
		removed  []string
		stays    bool // the added one
	}{
		"Greatest":        {"no run can come after it", greatest, 3650, true, []string{first}, true},
		"GreatestOfToday": {"likewise", greatest, 2, true, []string{first}, true},
		"Between":         {"and in the place of another", 2, 1, true, []string{first}, true},
		"Old":             {"what is older than all that is known may be from before that was", 1, -3, true, []string{added, first}, false},
		"NothingKnown":    {"then nobody can tell", greatest, 3650, false, []string{first, second}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSteady(t)
			digests := []string{known(first, s.run(first, 0, retention.Policy{})), known(second, s.run(second, 1, retention.Policy{}))}
			s.add(added, tc.sequence, noon.AddDate(0, 0, tc.days))
			if !tc.known {
				digests = nil
			}
			result := s.run(third, 2, retention.Policy{KeepLast: 2}, digests...)
			assert.Equal(t, tc.removed, result.Removed, tc.reason)
			assert.Equal(t, tc.stays, slices.Contains(s.left(), added), tc.reason)
			assert.Contains(t, s.left(), third)
			assert.Equal(t, tc.stays && tc.known, slices.Contains(result.Warnings, "the retention leaves 1 runs that are not what the status knows: "+added+"; look at them, then remove them"), tc.reason)
		})
	}
}

func TestVerifyComparesWhatIsKnown(t *testing.T) {
	cases := map[string]struct {
		reason  string
		run     string
		arrange func(s *steady)
		damaged []string
	}{
		"AllAsKnown": {"nothing was replaced", job.All, func(*steady) {}, nil},
		"Replaced":   {"an older run than the newest", job.All, func(s *steady) { s.replace(first) }, []string{first}},
		"OnlyOne":    {"it is the one that is read", first, func(s *steady) { s.replace(first) }, []string{first}},
		"Removed": {"the retention removes runs", job.All, func(s *steady) {
			require.NoError(s.t, os.RemoveAll(filepath.Join(s.o.Volume, "runs", first)))
		}, nil},
		"Unreadable": {"of a newer format, that is compared which can be", job.All, func(s *steady) {
			write(s.t, s.o.Volume, "runs/"+first+"/manifest.json", `{"formatVersion": 99}`)
		}, []string{first}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSteady(t)
			digests := []string{known(first, s.run(first, 0, retention.Policy{})), known(second, s.run(second, 1, retention.Policy{}))}
			tc.arrange(s)
			got, err := mover.Verify(t.Context(), job.VerifyOptions{Run: tc.run, Volume: s.o.Volume, Known: digests}, mover.Env{Now: now})
			require.NoError(t, err)
			assert.Equal(t, tc.damaged, got.DamagedRuns, "%s: %v", tc.reason, got.Problems)
			for _, problem := range got.Problems {
				assert.Contains(t, problem, "runs/"+first+"/manifest.json is changed")
			}
		})
	}
}

// TestReplacedRunIsNotRestored, by either of the two pods that read it.
func TestReplacedRunIsNotRestored(t *testing.T) {
	s := newStage(t, false, nil)
	original, err := s.runInspect()
	require.NoError(t, err)
	s.inspect.ManifestSHA256, s.refill.ManifestSHA256 = original.ManifestSHA256, original.ManifestSHA256
	_, err = s.runInspect()
	require.NoError(t, err, "it is the one that was written")
	puts := s.handover.puts

	evil := newStage(t, false, map[string]string{
		"apimanager/apimanager-backup.json": installation()["apimanager/apimanager-backup.json"],
		"secrets/system-seed.json":          strings.ReplaceAll(installation()["secrets/system-seed.json"], marker, "ZXZpbA=="),
	})
	require.NoError(t, os.RemoveAll(s.inspect.Volume))
	require.NoError(t, os.Rename(evil.inspect.Volume, s.inspect.Volume))
	for _, run := range []string{runID, job.Latest} {
		s.inspect.Run = run
		got, err := s.runInspect()
		require.Error(t, err)
		assert.Equal(t, v1alpha1.ReasonRunReplaced, got.Reason, "%v", err)
		assert.Contains(t, got.Message, original.ManifestSHA256)
		assert.Equal(t, job.ExitIntegrity, mover.ExitCode(err))
		assert.Equal(t, puts, s.handover.puts, "nothing of it is handed over")
	}
	result, err := s.runRefill()
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonRunReplaced, result.Reason)
}
