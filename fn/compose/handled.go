package compose

import (
	"encoding/json"
	"fmt"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// What a ThreeScaleBackup has dealt with is in its status, and also on the report
// of each run and each verification, as of when that one started: a status can be
// lost, be it that somebody clears it or that core may not write it.

// handled is what observed reports say was dealt with.
func (c *composition) handled() job.Handled {
	if c.known.handled != nil {
		return *c.known.handled
	}
	var out job.Handled
	var newest time.Time
	for _, object := range c.observed.Composed {
		var h job.Handled
		if err := json.Unmarshal([]byte(object.annotation(v1alpha1.AnnotationHandled)), &h); err != nil || checkTrigger(h.Trigger) != nil {
			continue // has none, or not ours
		}
		out.Slot, out.VerifySlot = later(out.Slot, h.Slot), later(out.VerifySlot, h.VerifySlot)
		if created, _ := object.created(); newest.IsZero() || created.After(newest) || created.Equal(newest) && h.Trigger > out.Trigger {
			newest, out.Trigger = created, h.Trigger
		}
	}
	c.known.handled = &out
	return out
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}

// lastTrigger is the newest trigger that started a run.
func (c *composition) lastTrigger() string {
	if !c.isNew() {
		return c.observed.Composite.Status.LastHandledTrigger
	}
	return c.handled().Trigger
}

// isNew tells that nothing is known of the composite yet, or no longer.
func (c *composition) isNew() bool {
	status := c.observed.Composite.Status
	return len(status.Runs) == 0 && len(status.NotIncluded) == 0 // which each status tells
}

// handledNow is what is dealt with once what this call starts has started, as JSON.
func (c *composition) handledNow() string {
	h := job.Handled{Trigger: c.lastTrigger()}
	if c.run != nil && c.run.cause.Kind == job.CauseTrigger {
		h.Trigger = c.run.cause.Value
	}
	h.Slot, h.VerifySlot = c.backups.last(), c.checks.last()
	data, err := json.Marshal(h)
	if err != nil && c.desired.Fatal == nil {
		c.desired.Fatal = fmt.Errorf("cannot encode what was handled: %w", err)
	}
	return string(data)
}
