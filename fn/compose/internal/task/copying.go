package task

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/fn/specs"
)

// A copy that failed is tried again after a minute, then after twice as long each
// time, and at last each hour.
const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// copying is the Work of copying runs to the bucket: one copy as far as it is observed.
type copying struct {
	Task

	// record is what the status says of it. Until it has ended, the results in it are
	// those of the ones before.
	record v1alpha1.OffsiteStatus
	// about is what the copy was started for.
	about job.Copying
	// missing is what stops copies until somebody mends it.
	missing []text.Finding
	// mayWork: its Job may be made.
	mayWork bool
}

// ReportName implements Work.
func (c *copying) ReportName(f *facts.Facts) string { return specs.CopyReportName(c.spec(f)) }

func (c *copying) spec(f *facts.Facts) specs.OffsiteCopy {
	about, _ := json.Marshal(c.about) //nolint:errchkjson // texts and a number
	return specs.OffsiteCopy{Identity: f.Identity, ID: c.ID, About: string(about)}
}

// findCopying returns the work of copying. Observed objects count more than the status,
// which may have been lost.
func findCopying(f *facts.Facts, r *run) Work {
	id := ""
	for observed, t := range f.Copies {
		if job.IsRunID(observed) && (id == "" || startedAfter(t, f.Copies[id])) {
			id = observed
		}
	}
	if before := offsiteBefore(f); id == "" && job.IsRunID(before.ID) {
		id = before.ID
	}
	c := &copying{record: offsiteBefore(f)}
	if id != "" {
		c = copyOf(f, id)
	}
	c.Yields = true
	if c.InFlight() {
		c.finish(f)
	}
	switch lost := c.InFlight() && c.Job == nil && c.about.Run == ""; {
	case f.Spec.Offsite == nil && (!c.InFlight() || c.Job == nil):
		return &copying{} // what is in the bucket stays, and is no longer ours to tell
	case lost:
		c = c.dropped(preflight.Findings{})
	}
	c.RetryTime, c.Unrecorded = c.record.RetryTime, c.waitsForStatus(f, r)
	return c
}

// startedAfter orders observed copies, of which there is more than one only if the
// status was lost: the one at work, then the newest.
func startedAfter(t, other facts.Task) bool {
	if mine, theirs := t.Job.IsActive(), other.Job.IsActive(); mine != theirs {
		return mine
	}
	if mine, theirs := t.Created(), other.Created(); !mine.Equal(theirs) {
		return theirs == nil || theirs.Before(mine)
	}
	return t.ID > other.ID
}

// location is where the spec has runs copied to; "": nowhere.
func location(f *facts.Facts) string {
	if f.Spec.Offsite == nil {
		return ""
	}
	b := f.Spec.Offsite.Bucket
	return strings.Join([]string{b.Endpoint, b.BucketName, cmp.Or(b.Prefix, f.BucketPrefix())}, "/")
}

// offsiteBefore is what the status says of the bucket that the spec names. Of what was
// found in another bucket it says nothing.
func offsiteBefore(f *facts.Facts) v1alpha1.OffsiteStatus {
	before := f.Status.Offsite.DeepCopy()
	switch where := location(f); {
	case before == nil:
		return v1alpha1.OffsiteStatus{Location: where}
	case where != "" && before.Location != where:
		out := v1alpha1.OffsiteStatus{Location: where}
		if v := before.Verification; v != nil {
			out.Verification = &v1alpha1.VerificationStatus{ID: v.ID, State: v.State, Schedule: v.Schedule}
		}
		return out
	}
	return *before
}

// copyOf returns the copy called id.
func copyOf(f *facts.Facts, id string) *copying {
	c := &copying{Task: Task{Task: f.Copies[id]}, record: offsiteBefore(f)}
	c.ID, c.about = id, aboutOf(f.Copies[id])
	if c.record.ID != id {
		c.record.ID, c.record.State = id, v1alpha1.RunRunning
		c.record.StartTime, c.record.CompletionTime, c.record.RetryTime = nil, nil, nil
		c.record.Failures = c.about.Failures
	}
	c.State = c.record.State
	return c
}

// aboutOf reads what a copy is about from its report, else from its Job.
func aboutOf(t facts.Task) job.Copying {
	var about job.Copying
	if err := json.Unmarshal([]byte(noteOf(t, v1alpha1.AnnotationCopying)), &about); err != nil || !job.IsRunID(about.Run) || about.Failures < 0 {
		return job.Copying{} // not ours
	}
	return about
}

// waitsForStatus reports whether a copy is due once the status records what has ended.
func (c *copying) waitsForStatus(f *facts.Facts, r *run) bool {
	switch {
	case f.Spec.Offsite == nil || c.InFlight():
		return false
	case r.EndedNow && r.State == v1alpha1.RunCompleted && c.about.Run != r.ID:
		return true
	}
	return c.EndedNow && c.State == v1alpha1.RunFailed && c.retryHasCome(f)
}

// retryHasCome reports whether a copy that failed may be tried again. A clock that was
// ahead may have left a time that is too far away.
func (c *copying) retryHasCome(f *facts.Facts) bool {
	at := c.record.RetryTime
	return at == nil || !f.Now.Before(at.Time) || at.Sub(f.Now) > lastRetry
}

// due returns the run that is to be copied; "": none.
func (c *copying) due(f *facts.Facts) string {
	last := f.Status.LastRun
	switch {
	case f.Spec.Offsite == nil, last == nil, isReplaced(f, heldBefore(f)):
		return ""
	case last.ID == c.record.Run, job.KnownManifest(last.ID, last.ManifestSHA256) == "":
		return ""
	case c.State == v1alpha1.RunFailed && c.about.Run == last.ID && c.about.Settings == settings(f) && !c.retryHasCome(f):
		return ""
	}
	return last.ID
}

// settings is a digest of the bucket in the spec and of the versions of its Secrets: a
// copy that failed is tried again at once when they change.
func settings(f *facts.Facts) string {
	spec, _ := json.Marshal(f.Spec.Offsite) //nolint:errchkjson // it was decoded from JSON
	parts := []string{"Settings", string(spec)}
	for _, secret := range specs.BucketSecrets(f.Spec.Offsite.Bucket) {
		version := ""
		if found := f.BucketSecrets[secret.Name]; found != nil {
			version = found.ResourceVersion
		}
		parts = append(parts, secret.Name, version)
	}
	return hash(f, parts...)[:8]
}

// Next implements Work. No copy starts beside a run or a verification, nor before the
// status records a completed run; a run that is due ends one.
func (c *copying) Next(f *facts.Facts, findings preflight.Findings, others []Work) Work {
	next := *c
	next.missing = findings.Bucket
	due, busy := c.due(f), inFlight(atWork(others))
	switch {
	case c.InFlight() && runInFlight(others):
		return c.dropped(findings) // the next one goes on where this one ends
	case c.InFlight():
	case c.EndedNow:
		return &next
	case due == "":
		if at := next.RetryTime; at != nil && !f.Now.Before(at.Time) {
			next.RetryTime = nil // there is nothing left to try
		}
		return &next
	case busy || endedNow(others, v1alpha1.RunCompleted):
		next.Waits = true
		return &next
	case f.Destination.PVC == nil || f.Image == "" || findings.JobRefused || len(findings.Bucket) > 0:
		next.Waits, next.missing = true, slices.Concat(findings.Bucket, findings.Problems)
		return &next
	default:
		next = *c.started(f, due)
		next.missing = findings.Bucket
	}
	next.mayWork = !busy && !findings.JobRefused && f.Spec.Offsite != nil && f.Destination.PVC != nil && next.Report != nil && f.Pods.MayReport(next.Report.Name)
	return &next
}

// atWork leaves out what has yielded to a run and is to be made again: runs that are due
// one after the other may end it each time, and a copy must not wait for it then.
func atWork(all []Work) []Work {
	return slices.DeleteFunc(slices.Clone(all), func(w Work) bool { return w.Base().Yields && w.Base().Job == nil })
}

// dropped returns the work without the copy in flight.
func (c *copying) dropped(findings preflight.Findings) *copying {
	next := &copying{record: c.record, missing: findings.Bucket}
	next.Yields, next.Dropped = true, c.Job
	next.record.ID, next.record.State, next.record.StartTime, next.record.Progress = "", "", nil, nil
	return next
}

// started returns the copy of a run that starts now. Its ID has the time of the run, and
// follows from what is copied and from how many copies have failed.
func (c *copying) started(f *facts.Facts, run string) *copying {
	about := job.Copying{Run: run, Location: location(f), Settings: settings(f), Failures: c.record.Failures}
	at := cmp.Or(f.Status.LastSuccessfulTime, &metav1.Time{Time: time.Unix(0, 0)})
	id := job.RunID(at.Time, hash(f, "Copy", run, about.Location, about.Settings, strconv.Itoa(int(about.Failures))))
	next := &copying{record: c.record, about: about}
	next.Yields, next.Task.Task = true, f.Copies[id]
	next.ID, next.State = id, v1alpha1.RunRunning
	next.record.ID, next.record.State = id, v1alpha1.RunRunning
	next.record.StartTime, next.record.CompletionTime, next.record.RetryTime = next.Created(), nil, nil
	return next
}

// Resources implements Work. A finished copy leaves its report, and a Job that failed.
func (c *copying) Resources(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus, out map[string]runtime.Object) error {
	var err error
	if c.keepsReport() {
		var handled string
		handled, err = c.handled(after)
		out[facts.KeyCopyReport+c.ID] = specs.CopyReport(c.spec(f), handled)
	}
	switch {
	case c.keepsJob():
		out[facts.KeyCopyJob+c.ID] = c.Job.Kept
	case c.InFlight() && c.mayWork:
		out[facts.KeyCopyJob+c.ID] = specs.CopyJob(c.input(f, after))
	}
	return err
}

func (c *copying) input(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) specs.CopyInput {
	o := f.Spec.Offsite
	in := specs.CopyInput{
		Mover:      mover(f, after),
		Copy:       c.spec(f),
		Run:        c.about.Run,
		Owner:      owner(f),
		Bucket:     o.Bucket,
		Prefix:     f.BucketPrefix(),
		Mend:       offsiteDamageKnown(after),
		ObjectLock: o.ObjectLock,
	}
	if keep := cmp.Or(o.Retention, f.Spec.Retention); keep != nil {
		in.Retention, in.TimeZone = retention.Policy(*keep), f.Spec.TimeZone
	}
	return in
}

// offsiteDamageKnown reports whether the newest verification of the bucket found damage.
func offsiteDamageKnown(status v1alpha1.ThreeScaleBackupStatus) bool {
	if status.Offsite == nil || status.Offsite.Verification == nil {
		return false
	}
	v := status.Offsite.Verification
	return len(v.DamagedRuns)+len(v.Problems) > 0
}

// owner identifies who writes to the bucket: a backup of this name to its PVC, which
// outlives the status and the composite, and has a UID that no other PVC has, on whatever
// cluster. Of two backups to one PVC, each needs a prefix of its own.
func owner(f *facts.Facts) string {
	return strings.Join([]string{f.Namespace, f.Backup, string(f.Destination.PVC.UID)}, "/")
}

// backoff is how long to wait after so many failures in a row.
func backoff(failures int32) time.Duration {
	return min(firstRetry<<min(max(failures, 1)-1, 10), lastRetry)
}

// reasonPattern is what a condition takes as a reason. Reports are untrusted.
var reasonPattern = regexp.MustCompile(`^[A-Z][A-Za-z]{0,63}$`)

// runInFlight reports whether a run is in flight.
func runInFlight(all []Work) bool {
	return slices.ContainsFunc(all, func(w Work) bool { r, ok := w.(*run); return ok && r.InFlight() })
}
