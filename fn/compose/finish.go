package compose

import (
	"cmp"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// finish records how a run ended, if it has. A run is completed by the mover's
// own result, never by a Job that merely ended.
func (c *composition) finish(r *run) {
	if created, ok := r.report.created(); ok && r.record.StartTime == nil {
		r.record.StartTime = &metav1.Time{Time: created}
	}
	result, err := job.ParseResult(dataTexts(r.report), r.id)
	switch {
	case err != nil && (jobComplete(r.job) || jobFailed(r.job)):
		c.fail(r, v1alpha1.ReasonReportMissing, fmt.Sprintf("%s; start another run with spec.trigger", job.Sentence(err.Error())))
	case result != nil && result.Completed && (r.job == nil || !isActiveJob(r.job)):
		c.complete(r, result)
	case jobFailed(r.job):
		reason, message := failure(r, result)
		c.fail(r, reason, message)
	case jobComplete(r.job):
		c.fail(r, v1alpha1.ReasonReportMissing, fmt.Sprintf("Job %q ended well but left no result in ConfigMap %q; look at its log, then start another run with spec.trigger", r.job.name(), r.report.name()))
	}
}

// dataTexts are the data of a ConfigMap.
func dataTexts(configMap Object) map[string]string {
	out := map[string]string{}
	for key, value := range configMap.object("data") {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

func (c *composition) complete(r *run, result *job.Result) {
	r.finished, r.result = true, result
	r.record.State = v1alpha1.RunCompleted
	r.record.Bytes = result.Bytes
	r.record.Reason, r.record.Message = "", ""
	r.record.CompletionTime = c.completionOf(result.CompletionTime, r.record.StartTime, r.job)
	r.volume = c.volumeHolding(r)
}

// clockTolerance is how far the clock of a node may be apart from the others.
const clockTolerance = 5 * time.Minute

// completionOf is when a pod that began at a time was done: as it says, if its
// node's clock agrees with that of the API server, else when its Job ended, or now.
func (c *composition) completionOf(told time.Time, began *metav1.Time, j Object) *metav1.Time {
	latest := timeOf(c.observed.Now)
	if ended := endOf(j); ended != nil {
		latest = ended
	}
	at := timeOf(told)
	if at == nil || at.After(latest.Add(clockTolerance)) || began != nil && at.Before(&metav1.Time{Time: began.Add(-clockTolerance)}) {
		return latest
	}
	return at
}

// clockWarning tells of a run whose node's clock was wrong; "" of none.
func (r *run) clockWarning() string {
	start, began, done := timeOf(r.result.StartTime), r.record.StartTime, r.record.CompletionTime
	if start == nil || began == nil || done == nil {
		return ""
	}
	var off string
	switch told := timeOf(r.result.CompletionTime); {
	case told != nil && told.After(done.Add(clockTolerance)): // which was not believed
		off = "ahead by " + told.Sub(done.Time).Round(time.Minute).String()
	case start.After(done.Add(clockTolerance)):
		off = "ahead by " + start.Sub(done.Time).Round(time.Minute).String()
	case start.Add(clockTolerance).Before(began.Time):
		off = "behind by " + began.Sub(start.Time).Round(time.Minute).String()
	default:
		return ""
	}
	return fmt.Sprintf("the clock of the node that run %s was written on is %s at least, and so is the date of the run; correct the clock; the order of runs does not hang on it", r.id, off)
}

// volumeHolding is the UID of the claim that a run which succeeded is on: as it
// was noted before, if the history was lost since; else the one in use, or the
// last one known if that is gone already.
func (c *composition) volumeHolding(r *run) string {
	_, claim := c.volumeInUse()
	return cmp.Or(r.report.annotation(v1alpha1.AnnotationVolume), string(claim.uid()), c.observed.Composite.Status.BackupPersistentVolumeClaimUID)
}

func (c *composition) fail(r *run, reason, message string) {
	r.finished = true
	r.record.State = v1alpha1.RunFailed
	r.record.Reason, r.record.Message = reason, message
	if ended := endOf(r.job); ended != nil {
		r.record.CompletionTime = ended
	}
}

// endOf is when a Job ended; nil while it has not.
func endOf(ended Object) *metav1.Time {
	for _, condition := range []string{"Failed", "Complete"} {
		if at, ok := parseTime(ended.condition(condition).text("lastTransitionTime")); ok {
			return &metav1.Time{Time: at}
		}
	}
	return nil
}

// failure says why a Job failed and what to do: in the mover's words if it had
// a chance to say, else in those of the Job controller.
func failure(r *run, result *job.Result) (reason, message string) {
	why := r.job.condition("Failed")
	look := fmt.Sprintf("look at: kubectl -n %s describe job,pod -l %s=%s", r.job.text("metadata", "namespace"), v1alpha1.LabelRun, r.id)
	switch {
	case why.text("reason") == "DeadlineExceeded":
		return v1alpha1.ReasonFailed, fmt.Sprintf("Job %q was not done within spec.job.activeDeadlineSeconds; raise it, or %s; %s", r.job.name(), look, again)
	case result != nil && !result.Completed && result.Reason != "":
		return result.Reason, fmt.Sprintf("%s; %s; %s", job.Sentence(result.Message), cmp.Or(job.FailureOf(result.Reason).BackupAdvice, look), again)
	}
	return v1alpha1.ReasonFailed, fmt.Sprintf("Job %q failed (%s: %s); %s; %s", r.job.name(), why.text("reason"), why.text("message"), look, again)
}

const again = "then start another run with a new spec.trigger"

// timeOf is t for a status; nil for what a status cannot hold, which whoever may
// write a report can write there.
func timeOf(t time.Time) *metav1.Time {
	t = t.UTC().Truncate(time.Second)
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &metav1.Time{Time: t}
}
