// Package compose decides what a ThreeScaleBackup composes. Compose is a pure
// function of what is observed: it has no client and no memory, and Crossplane
// calls it many times for one change. Read Compose first: its steps are the
// whole of it.
package compose

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

const (
	// pollWaiting is how often what takes long, or waits for the user, is looked at.
	pollWaiting = 30 * time.Second
	// pollSoon is for what the next call can already decide.
	pollSoon = 5 * time.Second
	// breakerCooldown is how long Crossplane stops listening for a composite
	// that has had too many events.
	breakerCooldown = 5 * time.Minute
)

// Names of composed resources. Those of a run end in its ID, since a resource
// of a name cannot change the name of its object.
const (
	keyVolume         = "volume"
	keyServiceAccount = "service-account"
	keyRole           = "role"
	keyRoleBinding    = "role-binding"
	keyJob            = "job/"
	keyReport         = "report/"
	keyObjects        = "objects/"
	keySecretCopy     = "secret/"
	keyVerifyJob      = "verify-job/"
	keyVerifyReport   = "verify-report/"
)

// composition is one call of Compose under way.
type composition struct {
	observed  Observed
	spec      v1alpha1.ThreeScaleBackupSpec
	namespace string
	// backup is the name that the user gave: the claim's, where there is one.
	backup string

	// What the APIManager and the Secrets amount to, worked out once.
	known struct {
		references []threescale.SecretRef
		sources    map[string]Object
		files      map[string][]byte
		handled    *job.Handled
	}

	problems []finding
	warnings []finding
	run      *run
	// verification is the one in flight, else the newest one; nil without any.
	verification *verification
	// backups and checks are the slots of the schedules of runs and of
	// verifications; nil where none is active.
	backups *slots
	checks  *slots
	desired Desired
}

// Compose returns what o calls for. The same o gives the same answer.
func Compose(o Observed) Desired {
	desired, onward := decide(o)
	if !onward {
		return desired
	}
	// What is recorded now would be known by now if core could write the status. A
	// slot does not wait for that.
	o.Composite.Status = desired.Status
	next, _ := decide(o)
	if next.Fatal != nil || !reflect.DeepEqual(next.Requirements, desired.Requirements) {
		return desired
	}
	next.Events = slices.Concat(desired.Events, next.Events)
	return next
}

// decide is one step; onward tells that a slot waits for what it records, of a run
// that ended a while ago.
func decide(o Observed) (desired Desired, onward bool) {
	if o.NoRequired {
		return refused(o, v1alpha1.ReasonCrossplaneTooOld, errTooOld, "Crossplane is upgraded"), false
	}
	scope, err := scopeOf(o.Composite)
	if err != nil {
		return refused(o, v1alpha1.ReasonNamespaceRefused, err, "the namespace is proven"), false
	}
	o.Composite.Status.Runs = slices.DeleteFunc(slices.Clone(o.Composite.Status.Runs), func(r v1alpha1.Run) bool {
		return !job.IsRunID(r.ID) // names are made of it
	})
	c := &composition{observed: o, spec: o.Composite.Spec, namespace: scope.Namespace, backup: scope.Name}
	c.desired.Resources = map[string]runtime.Object{}
	c.desired.Requirements = c.requirements()
	if !c.resolved() {
		return c.gathering(), false
	}
	c.preflight()
	c.composeVolume()
	c.recognize()
	c.composeRun()
	c.composeVerification()
	c.composeHelpers()
	c.summarize()
	c.guard()
	return c.desired, c.desired.Fatal == nil && c.slotWaits()
}

// slotWaits tells whether a slot has come though the run before it, which ended a
// while ago, is not in the history.
func (c *composition) slotWaits() bool {
	r := c.run
	if r == nil || !r.finished || wasFinished(c.observed.Composite.Status, r.id) || r.record.CompletionTime == nil {
		return false
	}
	return c.backups.isDue() && c.observed.Now.Sub(r.record.CompletionTime.Time) > breakerCooldown
}

// recognize finds out what is under way, and what is due.
func (c *composition) recognize() {
	c.run = c.currentRun()
	c.verification = c.currentVerification()
	status, handled := c.observed.Composite.Status, job.Handled{}
	if c.isNew() {
		handled = c.handled() // else the status tells, which fewer can write
	}
	handled.Slot = later(handled.Slot, c.slotOf(c.run))
	c.backups = c.slotsOf(c.spec.Schedule, status.Schedule, handled.Slot)
	if c.spec.Verify != nil {
		var before *v1alpha1.ScheduleStatus
		if status.Verification != nil {
			before = status.Verification.Schedule
		}
		c.checks = c.slotsOf(c.spec.Verify.Schedule, before, handled.VerifySlot)
	}
}

// scopeOf returns the namespace and the name that everything is composed for.
// A composite that lives in a namespace belongs to it, and its labels, which
// its author writes, are not looked at. One without is cluster-scoped and made
// by Crossplane for a claim, whose namespace it holds twice; the label was set
// by Crossplane over whatever the claim said.
func scopeOf(composite Composite) (ClaimRef, error) {
	if composite.Namespace != "" {
		return ClaimRef{Namespace: composite.Namespace, Name: composite.Name}, nil
	}
	ref := composite.ClaimRef
	if ref == nil || ref.Namespace == "" || ref.Name == "" || composite.ClaimNamespaceLabel == "" {
		return ClaimRef{}, fmt.Errorf("composite %q has no namespace and does not come from a claim: apply a %s in the namespace of the installation instead", composite.Name, v1alpha1.KindBackup)
	}
	if ref.Namespace != composite.ClaimNamespaceLabel {
		return ClaimRef{}, fmt.Errorf("composite %q names namespace %q in spec.claimRef and %q in its label crossplane.io/claim-namespace: delete it and apply the claim again", composite.Name, ref.Namespace, composite.ClaimNamespaceLabel)
	}
	return *ref, nil
}

// refused answers a composite for which nothing can be decided. It is fatal
// because anything else would have core delete what it composed before.
func refused(o Observed, reason string, err error, until string) Desired {
	return Desired{
		Status: o.Composite.Status,
		Conditions: []Condition{
			{v1alpha1.ConditionPreflightPassed, statusFalse, reason, job.Sentence(err.Error())},
			{v1alpha1.ConditionBackupCompleted, statusFalse, reason, "No run starts before " + until},
		},
		Fatal: err,
	}
}

func isOwnJob(key string) bool {
	return strings.HasPrefix(key, keyJob) || strings.HasPrefix(key, keyVerifyJob)
}

// guard refuses an answer that would have core delete the volume or a Job at
// work: that can only be a mistake in this package.
func (c *composition) guard() {
	for key, object := range c.observed.Composed {
		if _, kept := c.desired.Resources[key]; kept {
			continue
		}
		if key == keyVolume || isOwnJob(key) && isActiveJob(object) {
			c.desired.Fatal = fmt.Errorf("refusing to drop %s %q, which is in use: this is a bug, please report it", object.text("kind"), object.name())
			return
		}
	}
}
