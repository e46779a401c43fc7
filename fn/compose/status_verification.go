package compose

import (
	"fmt"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func (c *composition) summarizeVerification(status *v1alpha1.ThreeScaleBackupStatus) {
	status.Verification = nil
	if v := c.verification; v != nil {
		status.Verification = v.record.DeepCopy()
		status.Verification.Schedule = nil
		if v.inFlight() {
			status.Verification.Progress = progressOf(v.report)
		}
	}
	if c.checks == nil {
		return
	}
	if status.Verification == nil {
		status.Verification = &v1alpha1.VerificationStatus{}
	}
	status.Verification.Schedule = c.checks.status.DeepCopy()
}

// endedNow tells that the verification was still going as of the status before.
func (v *verification) endedNow(before v1alpha1.ThreeScaleBackupStatus) bool {
	return !v.inFlight() && (before.Verification == nil || before.Verification.ID != v.id || before.Verification.State == v1alpha1.RunRunning)
}

// verifiedCondition tells of the newest verification that ended; nil where none
// was ever asked for. Damage stays known until a verification finds none.
func (c *composition) verifiedCondition() *Condition {
	verified := func(status, reason, message string) *Condition {
		return &Condition{v1alpha1.ConditionVerified, status, reason, message}
	}
	v := c.verification
	switch {
	case v == nil && c.spec.Verify == nil:
		return nil
	case v.damaged() && v.record.Reason != "":
		return verified(statusFalse, v1alpha1.ReasonDamaged, c.failedVerification()+". "+v.damage())
	case v.damaged():
		return verified(statusFalse, v1alpha1.ReasonDamaged, v.damage())
	case v != nil && v.record.Reason != "":
		return verified(statusFalse, v.record.Reason, c.failedVerification())
	case v != nil && v.record.LastSuccessfulTime != nil:
		return verified(statusTrue, v1alpha1.ReasonVerified, fmt.Sprintf("The newest verification read %d runs and found them as they were written", v.record.Runs))
	}
	return verified(statusUnknown, v1alpha1.ReasonNotVerified, "No verification has ended yet")
}

func (v *verification) damage() string {
	return fmt.Sprintf("The newest verification that read all found damage in %s: %s. Check the storage of the volume; the next run stores afresh what is damaged. Until then restore a run that is not damaged",
		strings.Join(v.record.DamagedRuns, ", "), strings.Join(v.record.Problems, "; "))
}

func (c *composition) failedVerification() string {
	return fmt.Sprintf("The newest verification failed: %s; look at: kubectl -n %s describe job,pod -l %s", c.verification.record.Message, c.namespace, v1alpha1.LabelVerification)
}

// verificationEvents tells what changed since the status before: a start, an end.
func (c *composition) verificationEvents(before v1alpha1.ThreeScaleBackupStatus) []Event {
	v := c.verification
	if v == nil {
		return nil
	}
	known := before.Verification != nil && before.Verification.ID == v.id
	switch {
	case v.inFlight() && !known:
		return []Event{{Reason: "VerificationStarted", Message: fmt.Sprintf("Verification %s started", v.id)}}
	case !v.endedNow(before):
		return nil
	}
	if v.record.State == v1alpha1.RunFailed {
		return []Event{{Warning: true, Reason: v.record.Reason, Message: c.failedVerification()}}
	}
	condition := c.verifiedCondition()
	return []Event{{Warning: condition.Status == statusFalse, Reason: condition.Reason, Message: condition.Message}}
}
