package task

import "threescale.dev/backup/fn/compose/internal/facts"

// Find returns the work of each kind, with the tasks that have ended, in the order in
// which they start: each kind waits for those before it.
func Find(f *facts.Facts) []Work {
	r := findRun(f)
	return []Work{
		r,
		findCopying(f, r),
		findVerification(f, onVolume()),
		findVerification(f, inBucket()),
	}
}
