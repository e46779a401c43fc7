package compose

import (
	"fmt"
	"time"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
)

// summarizeSchedule tells when the next run comes, and when the newest one is too old.
func (c *composition) summarizeSchedule(status *v1alpha1.ThreeScaleBackupStatus) {
	status.Schedule, status.NextRunTime, status.StaleTime = nil, nil, nil
	if c.backups == nil {
		return
	}
	status.Schedule = c.backups.status.DeepCopy()
	status.NextRunTime = status.Schedule.NextSlot
	if !status.Schedule.Suspended {
		status.StaleTime = timeOf(c.stale(status))
	}
}

// stale is when the newest successful run is too old for the schedule: when the
// run of the slot after it should have ended, be it that it started and went on
// as late as it may, but not later than two slots on.
func (c *composition) stale(status *v1alpha1.ThreeScaleBackupStatus) time.Time {
	from := c.backups.status.Since.Time
	for _, r := range status.Runs {
		if r.State == v1alpha1.RunCompleted && r.StartTime != nil && r.StartTime.After(from) && !r.StartTime.After(c.observed.Now.Add(clockTolerance)) {
			from = r.StartTime.Time
			break
		}
	}
	slot := c.backups.schedule.Next(from)
	if slot.IsZero() {
		return slot
	}
	patience := seconds(specs.DefaultDeadlineSeconds)
	if deadline := c.spec.Job.ActiveDeadlineSeconds; deadline != nil {
		patience = seconds(*deadline)
	}
	if deadline := c.spec.StartingDeadlineSeconds; deadline != nil {
		patience += seconds(*deadline)
	}
	latest := slot.Add(patience)
	if later := c.backups.schedule.Next(c.backups.schedule.Next(slot)); !later.IsZero() && later.Before(latest) {
		return later
	}
	return latest
}

// seconds takes more than a year for a year, which no Duration overflows with.
func seconds(n int64) time.Duration {
	const year = 365 * 24 * 60 * 60
	return time.Duration(min(n, year)) * time.Second
}

// cautions are the warnings that follow from the schedule and the runs before.
func (c *composition) cautions() []finding {
	var out []finding
	status := c.desired.Status
	if c.spec.Suspend && c.spec.Schedule != "" {
		out = append(out, finding{v1alpha1.ReasonSuspended, "No scheduled run starts while spec.suspend is true; spec.trigger still starts one"})
	}
	if s := status.Schedule; s != nil && s.MissedSlots > 0 && s.FirstMissedSlot != nil {
		out = append(out, finding{v1alpha1.ReasonSlotsMissed, missed(s)})
	}
	if last := status.LastRun; last != nil && last.Encrypted && c.spec.Encryption == nil {
		out = append(out, finding{v1alpha1.ReasonEncryptionRemoved, fmt.Sprintf("Run %s is encrypted, and the next will be stored readable: set spec.encryption again unless that is meant", last.ID)})
	}
	for _, restore := range c.readers() {
		out = append(out, finding{v1alpha1.ReasonRetentionWaits, fmt.Sprintf("No run is removed while %s %q reads the volume", v1alpha1.KindRestore, restore)})
	}
	return out
}

func missed(s *v1alpha1.ScheduleStatus) string {
	return fmt.Sprintf("%d slots of the schedule passed without a run: see what happened since status.schedule.firstMissedSlot, and spec.startingDeadlineSeconds", s.MissedSlots)
}

// notStarted says when the first run comes.
func (c *composition) notStarted() string {
	if c.backups == nil || c.backups.status.NextSlot == nil {
		return "No run has started"
	}
	return "No run has started; the first is due at status.nextRunTime"
}

// scheduleEvents tells of slots that were missed since the status before.
func (c *composition) scheduleEvents(before v1alpha1.ThreeScaleBackupStatus) []Event {
	now := c.desired.Status.Schedule
	if now == nil || now.MissedSlots == 0 || now.FirstMissedSlot == nil {
		return nil
	}
	if was := before.Schedule; was != nil && was.MissedSlots >= now.MissedSlots && was.FirstMissedSlot.Equal(now.FirstMissedSlot) {
		return nil
	}
	return []Event{{Warning: true, Reason: v1alpha1.ReasonSlotsMissed, Message: missed(now)}}
}
