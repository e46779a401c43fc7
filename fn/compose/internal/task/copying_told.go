package task

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
)

// finish records how the copy in flight ended, if it has.
func (c *copying) finish(f *facts.Facts) {
	if c.record.StartTime == nil {
		c.record.StartTime = c.Created()
	}
	result, err := job.ParseCopyResult(c.Data(), c.about.Run)
	switch judge(c.Task.Task, result != nil && result.Completed, err) {
	case going:
		return
	case completed:
		c.complete(f, result)
	case unreadable:
		c.fail(f, v1alpha1.ReasonCopyFailed, job.Sentence(err.Error()))
	case silent:
		c.fail(f, v1alpha1.ReasonCopyFailed, fmt.Sprintf(text.CopyNoResult, specs.CopyReportName(c.spec(f)), f.Namespace))
	case failed:
		reason, message := c.failure(f, result)
		c.fail(f, reason, message)
		c.noteCopied(f, result)
	}
	c.record.Progress = nil
	if where := location(f); where != "" && c.about.Location != where {
		c.record = offsiteBefore(f) // the spec names another bucket by now
		c.record.ID, c.record.State, c.record.CompletionTime = c.ID, v1alpha1.RunFailed, c.Job.EndTime()
	}
	c.end(c.record.State, c.record.CompletionTime)
}

func (c *copying) complete(f *facts.Facts, result *job.CopyResult) {
	if known := digestOf(f.Status, result.Run); known != "" && known != result.ManifestSHA256 {
		c.fail(f, v1alpha1.ReasonDamaged, job.Sentence(text.CopyOther))
		return
	}
	c.record.State, c.record.Reason, c.record.Message = v1alpha1.RunCompleted, "", ""
	c.record.Failures, c.record.RetryTime = 0, nil
	c.record.CompletionTime = completionOf(f, result.CompletionTime, c.record.StartTime, c.Job)
	c.record.LastSuccessfulTime = c.record.CompletionTime
	c.record.Run, c.record.ManifestSHA256 = result.Run, result.ManifestSHA256
	c.record.Bytes, c.record.Requests = result.Bytes, result.Requests
	c.record.Removed, c.record.Warnings = result.Removed, result.Warnings
}

// noteCopied records the run of a copy that failed for another one, which the copy of the
// next run tries again. Until then its message is a warning.
func (c *copying) noteCopied(f *facts.Facts, result *job.CopyResult) {
	if result == nil || result.ManifestSHA256 == "" || digestOf(f.Status, result.Run) != result.ManifestSHA256 {
		return
	}
	c.record.Run, c.record.ManifestSHA256 = result.Run, result.ManifestSHA256
	c.record.LastSuccessfulTime, c.record.Warnings = c.record.CompletionTime, []string{c.record.Message}
}

// digestOf is the digest of a run's manifest that a status knows; "": it knows none.
func digestOf(status v1alpha1.ThreeScaleBackupStatus, run string) string {
	for _, known := range knownManifests(status) {
		if digest, ok := strings.CutPrefix(known, run+"="); ok {
			return digest
		}
	}
	return ""
}

func (c *copying) fail(f *facts.Facts, reason, message string) {
	c.record.State, c.record.Reason, c.record.Message = v1alpha1.RunFailed, reason, message
	c.record.Failures = min(c.about.Failures, 1<<30) + 1
	c.record.CompletionTime = cmp.Or(c.Job.EndTime(), &metav1.Time{Time: f.Now})
	c.record.RetryTime = &metav1.Time{Time: c.record.CompletionTime.Add(backoff(c.record.Failures))}
}

// failure says why a copy failed and what to do: in the mover's words if its report has
// any, else in those of the Job controller.
func (c *copying) failure(f *facts.Facts, result *job.CopyResult) (reason, message string) {
	because := why(c.Job)
	switch {
	case because.Reason == "DeadlineExceeded":
		return v1alpha1.ReasonCopyFailed, text.CopyDeadline
	case result == nil || result.Reason == "" || result.Message == "" || !reasonPattern.MatchString(result.Reason):
		return v1alpha1.ReasonCopyFailed, fmt.Sprintf(text.CopySilently, because.Reason, because.Message, f.Namespace)
	}
	advice := job.FailureOf(result.Reason).BackupAdvice
	switch result.Reason {
	case v1alpha1.ReasonBucketOwned:
		advice = text.OwnedAdvice
	case v1alpha1.ReasonIntegrity: // the message tells whether the volume or the bucket is damaged
		advice = ""
	}
	if advice == "" {
		return result.Reason, job.Sentence(result.Message)
	}
	return result.Reason, fmt.Sprintf(text.CopyAdvised, job.Sentence(result.Message), advice)
}

// Record implements Work.
func (c *copying) Record(f *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus) {
	if f.Spec.Offsite == nil && c.ID == "" {
		status.Offsite = nil
		return
	}
	status.Offsite = c.record.DeepCopy()
	if c.InFlight() {
		status.Offsite.Progress = progressOf(c.Task.Task)
	}
}

// Condition implements Work. While a copy is tried again, it tells why the one before
// failed, so that it does not change with each try.
func (c *copying) Condition(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) *metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, format string, args ...any) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ConditionOffsiteCopied, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	last := cmp.Or(after.LastRun, &v1alpha1.LastRun{})
	switch {
	case f.Spec.Offsite == nil && c.ID == "":
		return removed(f, v1alpha1.ConditionOffsiteCopied)
	case last.ID != "" && last.ID == c.record.Run:
		return is(metav1.ConditionTrue, v1alpha1.ReasonCopied, text.Copied, last.ID, c.record.Location)
	case len(c.missing) > 0:
		return is(metav1.ConditionFalse, c.missing[0].Reason, "%s", text.Joined(c.missing))
	case last.ID == "":
		return is(metav1.ConditionFalse, v1alpha1.ReasonCopyPending, text.NothingToCopy)
	case c.record.Reason != "":
		return is(metav1.ConditionFalse, c.record.Reason, text.CopyFailed, last.ID, c.record.Message)
	case c.InFlight():
		return is(metav1.ConditionFalse, v1alpha1.ReasonCopyPending, text.CopyGoes, c.about.Run, c.spec(f).Name(), f.Namespace, c.ID)
	}
	if isReplaced(f, heldBefore(f)) {
		return is(metav1.ConditionFalse, v1alpha1.ReasonCopyPending, text.CopyLost, last.ID)
	}
	return is(metav1.ConditionFalse, v1alpha1.ReasonCopyPending, text.CopyWaits, last.ID)
}

// removed is a condition of what spec.offsite asked for before, since a condition that
// is not told any more stays as it is; nil if there was none.
func removed(f *facts.Facts, condition string) *metav1.Condition {
	if !slices.Contains(f.Shows, condition) {
		return nil
	}
	return &metav1.Condition{Type: condition, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonOffsiteRemoved, Message: text.OffsiteRemoved}
}

// Warnings implements Work.
func (c *copying) Warnings(*facts.Facts, v1alpha1.ThreeScaleBackupStatus) []text.Finding {
	var out []text.Finding
	for _, warning := range c.record.Warnings {
		out = append(out, text.Findingf(v1alpha1.ReasonCopyWarnings, text.CopyWarned, warning)...)
	}
	return out
}

// Events implements Work: the first try of a copy, its success, and each new reason for
// which it fails.
func (c *copying) Events(f *facts.Facts, _ v1alpha1.ThreeScaleBackupStatus) []text.Event {
	before := cmp.Or(f.Status.Offsite, &v1alpha1.OffsiteStatus{})
	tell := func(reason, format string, args ...any) text.Event {
		return text.Event{Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.InFlight() && before.ID != c.ID && c.about.Failures == 0:
		return []text.Event{tell(text.ReasonCopyStarted, text.CopyStarted, c.about.Run, c.about.Location)}
	case !c.EndedNow || c.record.State == v1alpha1.RunFailed && (c.record.Reason == "" || c.record.Reason == before.Reason):
		return nil
	case c.record.State == v1alpha1.RunFailed:
		event := tell(c.record.Reason, text.CopyFailed, c.about.Run, c.record.Message)
		event.Warning = true
		return []text.Event{event}
	}
	out := []text.Event{tell(v1alpha1.ReasonCopied, text.Copied, c.record.Run, c.record.Location)}
	if len(c.record.Removed) > 0 {
		out = append(out, tell(text.ReasonRunsRemoved, text.CopyRemoved, strings.Join(c.record.Removed, ", ")))
	}
	return out
}
