package task

import "threescale.dev/backup/fn/compose/internal/facts"

// Find returns where each kind of Job is, with what has ended. The kinds stand in the
// order in which they start: those behind wait for those ahead.
func Find(f *facts.Facts) []Work {
	return []Work{
		findRun(f),
		findVerification(f),
	}
}
