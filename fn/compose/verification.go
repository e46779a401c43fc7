package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
)

// verification is one verification as far as it is observed.
type verification struct {
	id     string
	job    Object // nil: there is none (yet)
	report Object
	// record is what the status tells of it, and until it has ended of the one before.
	record v1alpha1.VerificationStatus
}

// inFlight tells that the verification has not ended.
func (v *verification) inFlight() bool {
	return v != nil && v.record.State == v1alpha1.RunRunning
}

func (v *verification) spec(c *composition) specs.Verification {
	return specs.Verification{Backup: c.backup, Namespace: c.namespace, ID: v.id}
}

// currentVerification returns the verification in flight, else the newest one,
// else nil. What is observed goes before the status, which may have been lost.
func (c *composition) currentVerification() *verification {
	id := ""
	for key := range c.observed.Composed {
		for _, prefix := range []string{keyVerifyReport, keyVerifyJob} {
			// From the key: many may write ConfigMaps, and so their labels.
			if own, ok := strings.CutPrefix(key, prefix); ok && job.IsRunID(own) {
				id = max(id, own) // IDs begin with their slots
			}
		}
	}
	if status := c.observed.Composite.Status.Verification; id == "" && status != nil && job.IsRunID(status.ID) {
		id = status.ID
	}
	if id == "" {
		return nil
	}
	return c.observedVerification(id)
}

// observedVerification gathers the objects of the verification called id.
func (c *composition) observedVerification(id string) *verification {
	v := &verification{
		id:     id,
		job:    c.observed.Composed[keyVerifyJob+id],
		report: c.observed.Composed[keyVerifyReport+id],
	}
	if status := c.observed.Composite.Status.Verification; status != nil {
		v.record = *status.DeepCopy()
	}
	if v.record.ID != id {
		v.record.ID, v.record.State, v.record.StartTime = id, v1alpha1.RunRunning, nil
	}
	return v
}

// composeVerification goes on with the verification in flight, or starts the one
// that is due, or keeps what is left of the newest one. None starts beside a run.
func (c *composition) composeVerification() {
	if c.verification.inFlight() {
		c.finishVerification(c.verification)
		if c.verification.inFlight() {
			c.advanceVerification(c.verification)
			return
		}
	} else if c.verificationDue() {
		c.verification = c.observedVerification(c.verificationID())
		c.checks.start(c.observed.Now)
		c.advanceVerification(c.verification)
		return
	}
	if c.verification != nil {
		c.keepVerification(c.verification)
	}
}

// verificationDue tells whether a verification starts now. The slots of a volume
// that holds no run yet pass.
func (c *composition) verificationDue() bool {
	if !c.checks.isDue() {
		return false
	}
	if c.busy() || c.completedNow() {
		return false // what it leaves may be verified
	}
	if c.observed.Composite.Status.LastRun == nil || c.backupVolume() != nil && c.volumeReplaced() {
		c.checks.skip()
		return false
	}
	return c.backupVolume() != nil && c.observed.Image != "" && len(checkJob(c)) == 0
}

// busy tells that a run is in flight.
func (c *composition) busy() bool { return c.run != nil && !c.run.finished }

// verificationID is the time of the slot, and a digest.
func (c *composition) verificationID() string {
	return job.RunID(c.checks.due, c.hash("Verification", c.checks.due.String()))
}

// advanceVerification composes the report, and the Job once it can be written.
func (c *composition) advanceVerification(v *verification) {
	c.composeVerificationReport(v)
	switch {
	case v.job != nil:
		c.desired.Resources[keyVerifyJob+v.id] = frozenJob(v.job)
	case c.busy():
		// The status was lost, and with it that this one had ended.
	case len(checkJob(c)) > 0:
		// Which PreflightPassed tells.
	case v.report != nil && c.mayReport(v.report) && c.backupVolume() != nil:
		c.desired.Resources[keyVerifyJob+v.id] = specs.VerifyJob(c.verifyInput(v))
	}
}

func (c *composition) composeVerificationReport(v *verification) {
	handled := cmp.Or(v.report.annotation(v1alpha1.AnnotationHandled), c.handledNow())
	c.desired.Resources[keyVerifyReport+v.id] = specs.VerificationReport(v.spec(c), handled)
}

// keepVerification keeps what a finished verification leaves: its report, from
// which a lost status is read again, and a Job that failed, for its log.
func (c *composition) keepVerification(v *verification) {
	if v.report != nil {
		c.composeVerificationReport(v)
	}
	if v.job != nil && (v.record.State == v1alpha1.RunFailed || isActiveJob(v.job)) {
		c.desired.Resources[keyVerifyJob+v.id] = frozenJob(v.job)
	}
}

func (c *composition) verifyInput(v *verification) specs.VerifyInput {
	in := specs.VerifyInput{
		Verification: v.spec(c),
		Image:        c.observed.Image,
		VolumeClaim:  c.volumeClaimName(),
		Run:          job.All,
		Known:        c.knownManifests(),
		Settings:     c.spec.Job,
		AssignsUID:   c.assignsUID(),
	}
	if c.spec.Verify != nil && c.spec.Verify.LatestOnly {
		in.Run = job.Latest
	}
	if last := c.observed.Composite.Status.LastRun; last != nil && job.KnownManifest(last.ID, last.ManifestSHA256) != "" {
		in.ExpectRun, in.ManifestSHA256 = last.ID, last.ManifestSHA256
		in.Known = slices.DeleteFunc(in.Known, func(known string) bool { return strings.HasPrefix(known, last.ID+"=") })
	}
	return in
}

// finishVerification records how a verification ended, if it has.
func (c *composition) finishVerification(v *verification) {
	if created, ok := v.report.created(); ok && v.record.StartTime == nil {
		v.record.StartTime = &metav1.Time{Time: created}
	}
	result, err := job.ParseVerification(dataTexts(v.report))
	ended := jobComplete(v.job) || jobFailed(v.job)
	switch {
	case result != nil && result.Completed && (v.job == nil || ended):
		v.complete(result, c.completionOf(result.CompletionTime, v.record.StartTime, v.job))
	case result != nil && jobFailed(v.job):
		v.fail(fmt.Sprintf("%s (%s)", job.Sentence(result.Message), result.Reason))
	case err != nil && ended:
		v.fail(job.Sentence(err.Error()))
	case jobFailed(v.job):
		why := v.job.condition("Failed")
		v.fail(fmt.Sprintf("Job %q failed (%s: %s)", v.job.name(), why.text("reason"), why.text("message")))
	case jobComplete(v.job):
		v.fail(fmt.Sprintf("Job %q ended well but left no result in ConfigMap %q", v.job.name(), v.report.name()))
	}
}

func (v *verification) complete(result *job.Verification, at *metav1.Time) {
	v.record.State = v1alpha1.RunCompleted
	v.record.Progress = nil
	v.record.CompletionTime = at
	v.record.Runs, v.record.Files, v.record.Bytes = result.Runs, result.Files, result.Bytes
	v.record.DamagedRuns, v.record.Problems = result.DamagedRuns, result.Problems
	v.record.Reason, v.record.Message = "", ""
	if len(result.DamagedRuns) == 0 && len(result.Problems) == 0 {
		v.record.LastSuccessfulTime = v.record.CompletionTime
	}
}

func (v *verification) fail(message string) {
	v.record.State = v1alpha1.RunFailed
	v.record.Progress = nil
	v.record.Reason, v.record.Message = v1alpha1.ReasonVerificationFailed, message
	v.record.CompletionTime = endOf(v.job)
}

// damaged tells that the newest verification that read all found damage.
func (v *verification) damaged() bool {
	return v != nil && len(v.record.DamagedRuns)+len(v.record.Problems) > 0
}

// damageKnown tells that damage was found and no run has stored everything
// afresh since that is not to be linked to.
func (c *composition) damageKnown() bool {
	if !c.verification.damaged() || c.verification.record.CompletionTime == nil {
		return c.verification.damaged()
	}
	for _, r := range c.observed.Composite.Status.Runs {
		if r.State == v1alpha1.RunCompleted && r.StartTime != nil && r.StartTime.After(c.verification.record.CompletionTime.Time) {
			return false
		}
	}
	return true
}
