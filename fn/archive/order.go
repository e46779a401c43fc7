package archive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxSequence is the greatest number that every reader of JSON can hold.
const maxSequence = 1<<53 - 1

// clockTolerance is how far the clocks of two nodes may differ without a warning.
const clockTolerance = time.Minute

// compareRuns orders the runs of a volume by when they were committed: negative if a is older than b. It goes by the
// sequence in their manifests, which no clock has a part in. Runs of format 1 have none: they are older than the
// others, and have only their start times to go by, as have two writers that did not notice each other. Runs without a
// manifest come first of all, and equals are ordered by ID.
func compareRuns(a, b RunInfo) int {
	return cmp.Or(
		cmp.Compare(a.sequence(), b.sequence()),
		a.StartTime().Compare(b.StartTime()),
		cmp.Compare(a.ID, b.ID),
	)
}

func sortRuns(runs []RunInfo) { slices.SortFunc(runs, compareRuns) }

// SortRuns sorts runs of a volume and of its copies in a bucket, oldest first, as each of them lists its own.
func SortRuns(runs []RunInfo) { sortRuns(runs) }

// sequence is the place of a run in the order, 0 if it is not known. It is all that is read of a newer format.
func (r *RunInfo) sequence() int64 {
	if r.Manifest != nil {
		return r.Manifest.Sequence
	}
	if newer, ok := errors.AsType[*VersionError](r.err); ok {
		return min(max(0, newer.sequence), maxSequence)
	}
	return 0
}

func nextSequence(runs []RunInfo) int64 {
	last := int64(0)
	for i := range runs {
		last = max(last, runs[i].sequence())
	}
	return min(last+1, maxSequence)
}

// datedAfter returns the complete runs that started after a time, by more than the clocks of two nodes may differ. If
// the time is now, or the start of a run that was committed later, some clock is or was wrong.
func datedAfter(runs []RunInfo, at time.Time) []RunInfo {
	var after []RunInfo
	for _, run := range runs {
		if run.State == Complete && run.StartTime().After(at.Add(clockTolerance)) {
			after = append(after, run)
		}
	}
	return after
}

// clockWarning names earlier runs that are dated after a run; empty if there are none.
func clockWarning(earlier []RunInfo, run string, start time.Time) string {
	after := datedAfter(earlier, start)
	if len(after) == 0 {
		return ""
	}
	more := ""
	if len(after) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(after)-1)
	}
	return fmt.Sprintf("run %q%s is dated %s, after run %q of %s that was written later: a node's clock is or was wrong; the order of runs does not depend on it",
		after[0].ID, more, after[0].StartTime().Format(time.RFC3339), run, start.Format(time.RFC3339))
}
