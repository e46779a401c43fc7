package compose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// maxRuns bounds the history in the status.
const maxRuns = 10

// summarize writes the status, the conditions and the events, and says when to
// be asked again. Nothing in them changes while nothing happens.
func (c *composition) summarize() {
	before := c.observed.Composite.Status
	status := before.DeepCopy()
	status.Conditions = nil
	status.NotIncluded = threescale.NotIncluded()
	if c.apiManager() != nil {
		status.APIManagerSourceName = c.apiManager().name()
	}
	c.summarizeRun(status)
	c.summarizeVolume(status)
	c.summarizeSchedule(status)
	c.summarizeVerification(status)
	c.desired.Status = *status
	c.desired.Ready = c.passed()
	c.desired.Conditions = []Condition{c.preflightCondition(), c.completedCondition(), c.warningCondition()}
	if verified := c.verifiedCondition(); verified != nil {
		c.desired.Conditions = append(c.desired.Conditions, *verified)
	}
	c.desired.Events = slices.Concat(c.events(before), c.scheduleEvents(before), c.verificationEvents(before))
	c.desired.TTL = c.ttl()
}

func (c *composition) summarizeRun(status *v1alpha1.ThreeScaleBackupStatus) {
	status.Progress = nil
	status.LastHandledTrigger = c.lastTrigger()
	r := c.run
	if r == nil {
		return
	}
	status.StartTime, status.CompletionTime = r.record.StartTime, r.record.CompletionTime
	if r.cause.Kind == job.CauseTrigger && !wasFinished(c.observed.Composite.Status, r.id) {
		status.LastHandledTrigger = r.cause.Value
	}
	status.Runs = withRun(status.Runs, r.record)
	if !r.finished {
		status.Progress = progressOf(r.report)
		if r.inconsistent {
			c.warnf(v1alpha1.ReasonSourcesChanging, "%s", inconsistency())
		}
		return
	}
	status.Completed = r.record.State == v1alpha1.RunCompleted
	if r.result != nil {
		warnings := r.result.Warnings
		if r.inconsistent {
			warnings = append([]string{inconsistency()}, warnings...)
		}
		if warning := r.clockWarning(); warning != "" {
			warnings = append([]string{warning}, warnings...)
		}
		status.LastSuccessfulTime = r.record.CompletionTime
		status.Manifests = withoutManifests(withManifest(status.Manifests, r.id, r.result.ManifestSHA256), r.result.Removed)
		status.LastRun = &v1alpha1.LastRun{
			ID:             r.id,
			Files:          r.result.Files,
			Bytes:          r.result.Bytes,
			LinkedFiles:    r.result.LinkedFiles,
			ManifestSHA256: r.result.ManifestSHA256,
			Skipped:        job.Bounded(r.result.Skipped),
			Warnings:       job.Bounded(warnings),
			Encrypted:      r.result.Encrypted,
			Removed:        job.BoundedIDs(r.result.Removed),
			FreedBytes:     r.result.FreedBytes,
		}
	}
}

func wasFinished(status v1alpha1.ThreeScaleBackupStatus, id string) bool {
	return slices.ContainsFunc(status.Runs, func(r v1alpha1.Run) bool {
		return r.ID == id && r.State != v1alpha1.RunRunning
	})
}

// withRun puts record at the place of its ID, else first.
func withRun(runs []v1alpha1.Run, record v1alpha1.Run) []v1alpha1.Run {
	for i := range runs {
		if runs[i].ID == record.ID {
			runs[i] = record
			return runs
		}
	}
	runs = append([]v1alpha1.Run{record}, runs...)
	return runs[:min(len(runs), maxRuns)]
}

func progressOf(report Object) *v1alpha1.Progress {
	p, err := job.ParseProgress(dataTexts(report))
	if err != nil || p == nil {
		return &v1alpha1.Progress{Phase: job.PhaseSnapshot}
	}
	return (*v1alpha1.Progress)(p)
}

// summarizeVolume notes which volume holds the runs. One that was replaced by
// hand holds none of them: the backup is not there any more.
func (c *composition) summarizeVolume(status *v1alpha1.ThreeScaleBackupStatus) {
	name, claim := c.volumeInUse()
	status.BackupPersistentVolumeClaimName = name
	if status.BackupPersistentVolumeClaimUID == "" {
		status.BackupPersistentVolumeClaimUID = string(claim.uid())
	}
	if c.completedNow() {
		status.BackupPersistentVolumeClaimUID = c.run.volume
	}
	if c.volumeReplaced() {
		status.Completed = false
	}
}

func (c *composition) completedNow() bool { return c.run != nil && c.run.result != nil }

// volumeReplaced tells that the volume of the last successful run is gone.
func (c *composition) volumeReplaced() bool {
	holds := ""
	switch status := c.observed.Composite.Status; {
	case c.completedNow():
		holds = c.run.volume
	case status.LastRun != nil:
		holds = status.BackupPersistentVolumeClaimUID
	}
	_, claim := c.volumeInUse()
	return holds != "" && holds != string(claim.uid())
}

func (c *composition) preflightCondition() Condition {
	if c.passed() {
		return Condition{v1alpha1.ConditionPreflightPassed, statusTrue, v1alpha1.ReasonPassed, "A backup can be taken as things are now"}
	}
	return Condition{v1alpha1.ConditionPreflightPassed, statusFalse, c.problems[0].reason, joined(c.problems)}
}

func (c *composition) warningCondition() Condition {
	warnings := slices.Concat(c.warnings, c.cautions())
	if last := c.desired.Status.LastRun; last != nil {
		for _, text := range last.Warnings {
			warnings = append(warnings, finding{v1alpha1.ReasonRunWarnings, job.Sentence(text)})
		}
		if len(last.Skipped) > 0 {
			warnings = append(warnings, finding{v1alpha1.ReasonRunWarnings, "Not in the newest run: " + strings.Join(last.Skipped, ", ")})
		}
	}
	if len(warnings) == 0 {
		return Condition{v1alpha1.ConditionWarning, statusFalse, v1alpha1.ReasonNoWarnings, "Nothing wants attention"}
	}
	return Condition{v1alpha1.ConditionWarning, statusTrue, warnings[0].reason, joined(warnings)}
}

func joined(findings []finding) string {
	messages := make([]string, 0, len(findings))
	for _, f := range findings {
		messages = append(messages, f.message)
	}
	return strings.Join(slices.Compact(messages), ". ")
}

// completedCondition tells of the newest finished run, and while there is none
// yet of the one in flight.
func (c *composition) completedCondition() Condition {
	if c.volumeReplaced() {
		return Condition{v1alpha1.ConditionBackupCompleted, statusFalse, v1alpha1.ReasonBackupVolumeReplaced,
			fmt.Sprintf("PersistentVolumeClaim %q is not the one that holds the earlier runs; start a run with a new spec.trigger", c.desired.Status.BackupPersistentVolumeClaimName)}
	}
	for _, record := range c.desired.Status.Runs {
		switch record.State {
		case v1alpha1.RunRunning:
		case v1alpha1.RunCompleted:
			return Condition{v1alpha1.ConditionBackupCompleted, statusTrue, v1alpha1.ReasonCompleted,
				fmt.Sprintf("Run %s is on PersistentVolumeClaim %q, verified", record.ID, c.desired.Status.BackupPersistentVolumeClaimName)}
		case v1alpha1.RunFailed:
			return Condition{v1alpha1.ConditionBackupCompleted, statusFalse, record.Reason, fmt.Sprintf("Run %s: %s", record.ID, record.Message)}
		}
	}
	if c.run == nil {
		return Condition{v1alpha1.ConditionBackupCompleted, statusFalse, v1alpha1.ReasonNotStarted, c.notStarted()}
	}
	reason, message := c.inFlight(c.run)
	return Condition{v1alpha1.ConditionBackupCompleted, statusFalse, reason, message}
}

func (c *composition) inFlight(r *run) (reason, message string) {
	switch {
	case r.job == nil && !c.passed():
		return v1alpha1.ReasonTakingSnapshot, fmt.Sprintf("Run %s waits: see %s", r.id, v1alpha1.ConditionPreflightPassed)
	case c.desired.Resources[keyJob+r.key()] == nil:
		return v1alpha1.ReasonTakingSnapshot, fmt.Sprintf("Run %s copies Secrets and objects", r.id)
	}
	// One text for a pod that waits and one that runs: each change of a
	// condition is three more of the watch events that core counts.
	return v1alpha1.ReasonRunning, fmt.Sprintf("Run %s is in Job %q; if status.progress does not move, look at: kubectl -n %s describe job,pod -l %s=%s", r.id, r.spec(c).Name(), c.namespace, v1alpha1.LabelRun, r.id)
}

// events tells what changed since the status before: a start, an end.
func (c *composition) events(before v1alpha1.ThreeScaleBackupStatus) []Event {
	r := c.run
	if r == nil {
		return nil
	}
	var out []Event
	known := slices.ContainsFunc(before.Runs, func(record v1alpha1.Run) bool { return record.ID == r.id })
	if !known {
		out = append(out, Event{Reason: "BackupStarted", Message: fmt.Sprintf("Run %s started", r.id)})
	}
	if !r.finished || wasFinished(before, r.id) {
		return out
	}
	if r.record.State == v1alpha1.RunFailed {
		return append(out, Event{Warning: true, Reason: r.record.Reason, Message: fmt.Sprintf("Run %s failed: %s", r.id, r.record.Message)})
	}
	out = append(out, Event{Reason: v1alpha1.ReasonCompleted, Message: fmt.Sprintf("Run %s is on PersistentVolumeClaim %q, verified", r.id, c.desired.Status.BackupPersistentVolumeClaimName)})
	if removed := c.desired.Status.LastRun.Removed; len(removed) > 0 {
		out = append(out, Event{Reason: "RunsRemoved", Message: fmt.Sprintf("Retention removed %s and freed %d bytes", strings.Join(removed, ", "), c.desired.Status.LastRun.FreedBytes)})
	}
	return out
}

// ttl says when core asks again if nothing that it watches changes; 0 means never.
func (c *composition) ttl() time.Duration {
	ttl := c.ttlOfRun()
	for _, s := range []*slots{c.backups, c.checks} {
		if until := s.ttl(c.observed.Now); until > 0 && (ttl == 0 || until < ttl) {
			ttl = until
		}
	}
	return ttl
}

// ttlOfRun is when the run wants to be looked at again. Mostly a watch fires
// before; but core drops the events of a composite that has had a hundred at
// once, which a fresh core with a large installation reaches.
func (c *composition) ttlOfRun() time.Duration {
	r := c.run
	switch {
	case c.verification.inFlight() && c.verification.job != nil:
		return c.pollJob(c.verification.job)
	case c.verification.inFlight() && c.passed():
		return pollSoon
	case c.verification != nil && c.verification.endedNow(c.observed.Composite.Status):
		return pollSoon // a run may wait
	case r != nil && r.finished && !wasFinished(c.observed.Composite.Status, r.id):
		return pollSoon // a trigger or a verification may wait
	case r != nil && !r.finished && r.job != nil:
		return c.pollJob(r.job)
	case !c.passed():
		return pollWaiting
	case r != nil && !r.finished:
		return pollSoon
	case r != nil && c.observed.Composite.Unresponsive && c.lately(r):
		return pollWaiting // a trigger may have been dropped
	case len(c.readers()) > 0:
		return pollWaiting // core does not tell that they are gone
	}
	return 0
}

// lately tells whether a run ended so short a while ago that the events which it
// caused may still keep Crossplane from noticing others: five minutes.
func (c *composition) lately(r *run) bool {
	ended := r.record.CompletionTime
	return ended != nil && c.observed.Now.Sub(ended.Time) < 2*breakerCooldown
}

// pollJob grows with the Job's age, so that its end is noticed at most a tenth
// of its duration late.
func (c *composition) pollJob(running Object) time.Duration {
	created, ok := running.created()
	if !ok {
		return pollSoon
	}
	return min(max(c.observed.Now.Sub(created)/10, pollSoon), pollWaiting)
}
