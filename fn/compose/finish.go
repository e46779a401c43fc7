package compose

import (
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
	result, err := job.ParseResult(r.reportData(), r.id)
	switch {
	case err != nil && (jobComplete(r.job) || jobFailed(r.job)):
		c.fail(r, v1alpha1.ReasonReportMissing, fmt.Sprintf("%s; start another run with spec.trigger", sentence(err.Error())))
	case result != nil && result.Completed && (r.job == nil || !isActiveJob(r.job)):
		c.complete(r, result)
	case jobFailed(r.job):
		reason, message := failure(r, result)
		c.fail(r, reason, message)
	case jobComplete(r.job):
		c.fail(r, v1alpha1.ReasonReportMissing, fmt.Sprintf("Job %q ended well but left no result in ConfigMap %q; look at its log, then start another run with spec.trigger", r.job.name(), r.report.name()))
	}
}

func (r *run) reportData() map[string]string {
	out := map[string]string{}
	for key, value := range r.report.object("data") {
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
	r.record.CompletionTime = timeOf(result.CompletionTime)
}

func (c *composition) fail(r *run, reason, message string) {
	r.finished = true
	r.record.State = v1alpha1.RunFailed
	r.record.Reason, r.record.Message = reason, message
	for _, condition := range []string{"Failed", "Complete"} {
		if at, ok := parseTime(r.job.condition(condition).text("lastTransitionTime")); ok {
			r.record.CompletionTime = &metav1.Time{Time: at}
			return
		}
	}
}

// failure says why a Job failed: in the mover's words if it had a chance to
// say, else in those of the Job controller.
func failure(r *run, result *job.Result) (reason, message string) {
	const again = "start another run with a new spec.trigger"
	if result != nil && !result.Completed && result.Reason != "" {
		return result.Reason, fmt.Sprintf("%s; then %s", sentence(result.Message), again)
	}
	why := r.job.condition("Failed")
	return v1alpha1.ReasonFailed, fmt.Sprintf("Job %q failed (%s: %s); look at: kubectl -n %s describe job,pod -l %s=%s; then %s", r.job.name(), why.text("reason"), why.text("message"), r.job.text("metadata", "namespace"), v1alpha1.LabelRun, r.id, again)
}

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}
