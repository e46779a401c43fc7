package task

import "threescale.dev/backup/fn/compose/internal/facts"

// Find returns the work of each kind, with the tasks that have ended, in the order in
// which they start: each kind waits for those before it.
func Find(f *facts.Facts) []Work {
	return []Work{
		findRun(f),
		findVerification(f),
	}
}
