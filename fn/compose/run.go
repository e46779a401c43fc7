package compose

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
)

// run is one run as far as it is observed.
type run struct {
	id      string
	attempt int
	cause   job.Cause
	// Observed objects; nil where there are none (yet).
	job     Object
	report  Object
	objects Object
	// copies are the Secret copies of the attempt, by the source's name.
	copies map[string]Object
	// inconsistent tells that the copies are of different moments.
	inconsistent bool
	// record is the run's line in the history.
	record v1alpha1.Run
	// finished tells that the record says so, as of an earlier call or this one.
	finished bool
	result   *job.Result
	// volume is the UID of the claim that the run is on, once it has succeeded.
	volume string
}

func (r *run) spec(c *composition) specs.Run {
	return specs.Run{Backup: c.backup, Namespace: c.namespace, ID: r.id, Attempt: r.attempt}
}

// observedRun gathers the objects of the run called id.
func (c *composition) observedRun(id string) *run {
	r := &run{id: id, copies: map[string]Object{}, record: v1alpha1.Run{ID: id, State: v1alpha1.RunRunning}}
	for _, record := range c.observed.Composite.Status.Runs {
		if record.ID == id {
			r.record = record
			r.finished = record.State != v1alpha1.RunRunning
		}
	}
	r.job = c.newest(keyJob, id)
	r.report = c.observed.Composed[keyReport+id]
	r.inconsistent = r.job.label(v1alpha1.LabelSnapshot) == v1alpha1.SnapshotInconsistent
	r.attempt = max(attemptOf(r.job), 1)
	if r.job == nil {
		r.attempt = max(attemptOf(c.newest(keyObjects, id)), attemptOf(c.newest(keySecretCopy, id)), 1)
	}
	for key, object := range c.observed.Composed {
		if object.label(v1alpha1.LabelRun) != id || attemptOf(object) != r.attempt {
			continue
		}
		switch {
		case strings.HasPrefix(key, keyObjects):
			r.objects = object
		case strings.HasPrefix(key, keySecretCopy):
			r.copies[object.annotation(v1alpha1.AnnotationSourceName)] = object
		}
	}
	r.cause = c.causeOf(r)
	return r
}

// newest returns the composed object of a run whose key has the prefix, of the
// highest attempt if there are several.
func (c *composition) newest(prefix, id string) Object {
	var found Object
	for key, object := range c.observed.Composed {
		if !strings.HasPrefix(key, prefix) || object.label(v1alpha1.LabelRun) != id {
			continue
		}
		if found == nil || attemptOf(object) > attemptOf(found) {
			found = object
		}
	}
	return found
}

func attemptOf(object Object) int {
	return specs.AttemptOf(map[string]string{v1alpha1.LabelAttempt: object.label(v1alpha1.LabelAttempt)})
}

// causeOf reads a run's cause from its report, where it was written when the
// run started, or from its snapshot; until then it is what the spec says.
func (c *composition) causeOf(r *run) job.Cause {
	var cause job.Cause
	if text := r.report.annotation(v1alpha1.AnnotationCause); text != "" {
		if err := json.Unmarshal([]byte(text), &cause); err == nil && checkTrigger(cause.Value) == nil {
			return cause
		}
	}
	var description job.Description
	if err := json.Unmarshal(dataOf(r.objects)[specs.ObjectKey(job.DescriptionFile)], &description); err == nil {
		return description.Cause
	}
	return c.causeByID(r.id)
}

// causeByID is the cause of a run of which nothing but its ID is known.
func (c *composition) causeByID(id string) job.Cause {
	if text, _, ok := strings.Cut(id, "-"); ok {
		slot, err := job.RunTime(text)
		if err == nil && id == c.scheduledRunID(slot) {
			return scheduled(slot)
		}
	}
	if c.spec.Trigger != "" {
		return job.Cause{Kind: job.CauseTrigger, Value: c.spec.Trigger}
	}
	return job.Cause{Kind: job.CauseCreation}
}

func scheduled(slot time.Time) job.Cause {
	return job.Cause{Kind: job.CauseSchedule, Value: slot.UTC().Format(time.RFC3339)}
}

// slotOf is the slot that started a run; nil if something else did.
func (c *composition) slotOf(r *run) *time.Time {
	if r == nil || r.cause.Kind != job.CauseSchedule {
		return nil
	}
	slot, ok := parseTime(r.cause.Value)
	if !ok || r.id != c.scheduledRunID(slot) {
		return nil // a cause that somebody else wrote
	}
	return &slot
}

// currentRun returns the run in flight, else the newest one, else nil. What is
// observed goes before the history, which may have been lost.
func (c *composition) currentRun() *run {
	seen := map[string]bool{}
	var open *run
	for key, object := range c.observed.Composed {
		id := runOf(key, object)
		if !job.IsRunID(id) || seen[id] {
			continue
		}
		seen[id] = true
		r := c.observedRun(id)
		if r.finished {
			continue
		}
		if open == nil || r.before(open) {
			open = r
		}
	}
	if open != nil {
		return open
	}
	if runs := c.observed.Composite.Status.Runs; len(runs) > 0 {
		return c.observedRun(runs[0].ID)
	}
	return nil
}

// runOf is the ID of the run that an object belongs to; "" without one. That of a
// report is read from its key: many may write ConfigMaps, and so their labels.
func runOf(key string, object Object) string {
	if id, ok := strings.CutPrefix(key, keyReport); ok {
		return id
	}
	for _, prefix := range []string{keyJob, keyObjects, keySecretCopy} {
		if strings.HasPrefix(key, prefix) {
			return object.label(v1alpha1.LabelRun)
		}
	}
	return ""
}

// before orders unfinished runs, of which there is more than one only when the
// history was lost: one with a Job first, then the newest.
func (r *run) before(other *run) bool {
	if (r.job != nil) != (other.job != nil) {
		return r.job != nil
	}
	mine, _ := r.report.created()
	theirs, _ := other.report.created()
	if !mine.Equal(theirs) {
		return mine.After(theirs)
	}
	return r.id > other.id
}

// composeRun goes on with the run in flight, or starts the one that is due, or
// keeps what is left of the newest one.
func (c *composition) composeRun() {
	if c.run != nil && !c.run.finished {
		c.finish(c.run)
		if !c.run.finished {
			c.advance(c.run)
			return
		}
	} else if due := c.dueRun(); due != nil && c.passed() && !c.verification.inFlight() {
		c.run = due
		if c.slotOf(due) != nil {
			c.backups.start(c.observed.Now)
		}
		c.advance(due)
		return
	}
	if c.run != nil {
		c.keepFinished(c.run)
	}
}

// advance composes the snapshot, and the Job once the snapshot is whole and
// its sources still are what was copied.
func (c *composition) advance(r *run) {
	if r.job == nil && !c.passed() {
		// Something went missing while the snapshot was taken. What there is
		// stays; no Job starts from less than the whole.
		c.keepSnapshot(r)
		c.composeReport(r)
		return
	}
	if r.job == nil && c.snapshotExists(r) && !c.sourcesUnchanged(r) {
		c.retake(r)
	}
	c.composeReport(r)
	c.composeSnapshot(r)
	switch {
	case r.job != nil:
		c.desired.Resources[keyJob+r.key()] = frozenJob(r.job)
	case c.snapshotExists(r):
		c.desired.Resources[keyJob+r.key()] = specs.Job(c.jobInput(r))
	}
}

// key tells the objects of a run's attempts apart.
func (r *run) key() string {
	if r.attempt == 1 {
		return r.id
	}
	return fmt.Sprintf("%s/%d", r.id, r.attempt)
}

// composeHelpers composes what all runs and verifications share: the identity of
// their pods, which may write one report.
func (c *composition) composeHelpers() {
	var report string
	switch {
	case c.verification.inFlight() && (c.verification.job != nil || !c.busy()):
		report = specs.VerificationReportName(c.verification.spec(c))
	case c.run != nil:
		report = specs.ReportName(c.run.spec(c))
	default:
		return
	}
	identity := specs.Identity{Backup: c.backup, Namespace: c.namespace}
	c.desired.Resources[keyServiceAccount] = specs.ServiceAccount(identity)
	c.desired.Resources[keyRole] = specs.Role(identity, report)
	// The API server looks up the Role of a new RoleBinding, and core applies
	// what it gets in any order. So the first one comes with the Job; a pod
	// that is faster asks again.
	if c.observed.Composed[keyRole] != nil || c.observed.Composed[keyRoleBinding] != nil {
		c.desired.Resources[keyRoleBinding] = specs.RoleBinding(identity)
	}
}

func (c *composition) composeReport(r *run) {
	cause, err := json.Marshal(r.cause)
	if err != nil {
		c.desired.Fatal = fmt.Errorf("cannot encode the cause of run %q: %w", r.id, err)
		return
	}
	report := specs.Report(r.spec(c), string(cause))
	report.Annotations[v1alpha1.AnnotationHandled] = cmp.Or(r.report.annotation(v1alpha1.AnnotationHandled), c.handledNow())
	if volume := cmp.Or(r.report.annotation(v1alpha1.AnnotationVolume), r.volume); volume != "" {
		report.Annotations[v1alpha1.AnnotationVolume] = volume
	}
	if readers := c.readers(); len(readers) > 0 {
		report.Annotations[v1alpha1.AnnotationReaders] = strings.Join(readers, ", ")
	}
	c.desired.Resources[keyReport+r.id] = report
}

// keepFinished keeps what a finished run leaves: its report, from which a lost
// history is read again; its Secret copies, if the spec wants them; and a Job
// that failed, for its log, until the next run.
func (c *composition) keepFinished(r *run) {
	if r.report != nil {
		c.composeReport(r)
	}
	if c.spec.SecretCopies != v1alpha1.SecretCopiesNone {
		c.keepSnapshot(r)
	}
	if r.job != nil && (r.record.State == v1alpha1.RunFailed || isActiveJob(r.job)) {
		c.desired.Resources[keyJob+r.key()] = frozenJob(r.job)
	}
}
