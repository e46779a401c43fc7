package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"threescale.dev/backup/fn/api/job"
)

// dueRun returns the run that the spec asks for and that was not handled yet;
// nil when there is none. A trigger goes before a slot: somebody waits for it.
func (c *composition) dueRun() *run {
	runs := c.observed.Composite.Status.Runs
	triggered := c.spec.Trigger != "" && c.spec.Trigger != c.lastTrigger()
	switch {
	case len(runs) == 0 && (triggered || c.spec.Schedule == ""):
		return c.observedRun(c.firstRunID())
	case triggered && len(runs) > 0:
		return c.observedRun(c.triggeredRunID(runs[0].ID))
	case c.backups.isDue():
		return c.scheduledRun()
	}
	return nil
}

// scheduledRun returns the run of the slot that is due; nil if it was already,
// before a clock went backwards.
func (c *composition) scheduledRun() *run {
	id := c.scheduledRunID(c.backups.due)
	if wasFinished(c.observed.Composite.Status, id) {
		c.backups.skip()
		return nil
	}
	return c.observedRun(id)
}

// scheduledRunID is the time of the slot, and a digest.
func (c *composition) scheduledRunID(slot time.Time) string {
	return job.RunID(slot, c.hash(string(job.CauseSchedule), scheduled(slot).Value))
}

// firstRunID is the time at which the composite was made, and a digest.
func (c *composition) firstRunID() string {
	created := c.observed.Composite.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	cause, value := job.CauseCreation, ""
	if c.spec.Trigger != "" {
		cause, value = job.CauseTrigger, c.spec.Trigger
	}
	return job.RunID(created, c.hash(string(cause), value))
}

// triggeredRunID has no time of its own; it follows from the run before, so
// that triggers A, B and A again are three runs.
func (c *composition) triggeredRunID(before string) string {
	return "trigger-" + c.hash(c.spec.Trigger, before)[:12]
}

// hash digests parts, each behind its length, below the composite's UID.
func (c *composition) hash(parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{string(c.observed.Composite.UID)}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
