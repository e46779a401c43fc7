// Package compose decides what a ThreeScaleBackup composes. Compose is a pure
// function of what is observed: it has no client and no memory, and Crossplane
// calls it many times for one change. Read Compose first: its steps are the
// whole of it, and each hands values to the next.
package compose

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/task"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/compose/internal/volume"
	"threescale.dev/backup/fn/specs"
)

// Compose returns the decision for o. The same o always gives the same decision.
func Compose(o Observed) Desired {
	if o.NoRequired {
		return refused(o, v1alpha1.ReasonCrossplaneTooOld, errors.New(text.NoCrossplane), text.NoRunTooOld)
	}
	scope, err := scopeOf(o.Composite)
	if err != nil {
		return refused(o, v1alpha1.ReasonNamespaceRefused, err, text.NoRunRefused)
	}
	o.Composed = maps.Clone(o.Composed)
	maps.DeleteFunc(o.Composed, func(key string, object *unstructured.Unstructured) bool { return object.GetKind() != facts.KindOf(key) })
	f, err := gather(o, scope)
	if err != nil {
		return refused(o, v1alpha1.ReasonInternalError, err, text.NoRunBroken)
	}
	asked := requirements(f)
	if !areAnswered(o, asked) {
		return gathering(o, f, asked)
	}
	findings := preflight.Check(f)
	f, past, told := history(o, scope, f)
	now := decide(f, findings, past)
	status := record(f, now)
	desired := render(f, findings, now, status)
	desired.Requirements, desired.Events = asked, slices.Concat(told, desired.Events)
	if err := guard(o, f, desired, now); err != nil {
		desired.Fatal = err
	}
	return desired
}

// history returns the facts, and the work with the tasks that have ended. While a due
// slot waits for the status to record such an end, the facts are those after that, and
// the events tell of the end: Crossplane may never write the status.
func history(o Observed, scope specs.Identity, f *facts.Facts) (*facts.Facts, []task.Work, []Event) {
	past := task.Find(f)
	if !task.SlotWaits(f, past) {
		return f, past, nil
	}
	o.Composite.Status = record(f, past)
	next, err := gather(o, scope)
	if err != nil || !reflect.DeepEqual(requirements(next), requirements(f)) {
		return f, past, nil
	}
	return next, task.Find(next), events(f, past, o.Composite.Status)
}

// decide continues the task in flight of each kind, or starts the one that is due.
func decide(f *facts.Facts, findings preflight.Findings, past []task.Work) []task.Work {
	now := slices.Clone(past)
	for i, work := range now {
		now[i] = work.Next(f, findings, slices.Concat(now[:i], now[i+1:]))
	}
	return now
}

// render returns what core is to apply, and what users are to read.
func render(f *facts.Facts, findings preflight.Findings, now []task.Work, status v1alpha1.ThreeScaleBackupStatus) Desired {
	resources := task.Identity(f, now)
	var errs []error
	for _, work := range now {
		errs = append(errs, work.Resources(f, status, resources))
	}
	pvc, kept := volume.Render(f, findings.Passed())
	if pvc != nil {
		resources[facts.KeyVolume] = pvc
	}
	findings.Warnings = slices.Concat(findings.Warnings, kept, volume.Doomed(f))
	return Desired{
		Resources:  resources,
		Status:     status,
		Conditions: conditions(f, findings, now, status),
		Events:     events(f, now, status),
		Ready:      findings.Passed(),
		TTL:        ttl(f, findings.Passed(), now, status),
		Fatal:      errors.Join(errs...),
	}
}

// scopeOf returns the namespace and the name that everything is composed for.
// A composite that lives in a namespace belongs to it; its labels are ignored, since
// its author writes them. A cluster-scoped composite was made by Crossplane for a
// claim, and names the claim's namespace twice: in spec.claimRef, and in a label that
// Crossplane sets whatever the claim says.
func scopeOf(composite Composite) (specs.Identity, error) {
	if composite.Namespace != "" {
		return specs.Identity{Namespace: composite.Namespace, Backup: composite.Name}, nil
	}
	ref := composite.ClaimRef
	if ref == nil || ref.Namespace == "" || ref.Name == "" || composite.ClaimNamespaceLabel == "" {
		return specs.Identity{}, fmt.Errorf(text.NoNamespace, composite.Name)
	}
	if ref.Namespace != composite.ClaimNamespaceLabel {
		return specs.Identity{}, fmt.Errorf(text.TwoNamespaces, composite.Name, ref.Namespace, composite.ClaimNamespaceLabel)
	}
	return specs.Identity{Namespace: ref.Namespace, Backup: ref.Name}, nil
}

// refused answers a composite for which nothing can be decided. It is fatal
// because anything else would have core delete what it composed before.
func refused(o Observed, reason string, err error, noRun string) Desired {
	return Desired{
		Status: o.Composite.Status,
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionPreflightPassed, Status: metav1.ConditionFalse, Reason: reason, Message: job.Sentence(err.Error())},
			{Type: v1alpha1.ConditionBackupCompleted, Status: metav1.ConditionFalse, Reason: reason, Message: noRun},
		},
		Fatal: err,
	}
}

func areAnswered(o Observed, asked map[string]Selector) bool {
	for name := range asked {
		if _, ok := o.Required[name]; !ok {
			return false
		}
	}
	return true
}

// gathering answers before core has handed over what is required. Crossplane 2
// asks again within the same reconcile and drops this answer; where it cannot
// read a kind, there is no answer at all. Only a Crossplane without required
// resources treats this as final, so it says that, and drops nothing that exists.
func gathering(o Observed, f *facts.Facts, asked map[string]Selector) Desired {
	resources := map[string]runtime.Object{}
	for key, object := range o.Composed {
		resources[key] = kept(object)
	}
	if existing := f.Destination.Composed; existing != nil {
		resources[facts.KeyVolume], _ = volume.Keep(f, existing)
	}
	return Desired{
		Resources:    resources,
		Requirements: asked,
		Status:       f.Status,
		Conditions:   []metav1.Condition{{Type: v1alpha1.ConditionPreflightPassed, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonGathering, Message: text.Gathering}},
		TTL:          pollSoon,
	}
}

// guard refuses an answer that would have core delete the volume or a Job at work,
// which can only be a bug in this package. Only a Job that uses a bucket may go, for a
// run that is due.
func guard(o Observed, f *facts.Facts, desired Desired, now []task.Work) error {
	isDropped := func(name string) bool {
		return slices.ContainsFunc(now, func(w task.Work) bool { d := w.Base().Dropped; return d != nil && d.Name == name })
	}
	for key, object := range o.Composed {
		if _, kept := desired.Resources[key]; kept {
			continue
		}
		if key == facts.KeyVolume || f.Jobs[key].IsActive() && !isDropped(object.GetName()) {
			return fmt.Errorf(text.DropsInUse, object.GetKind(), object.GetName())
		}
	}
	return nil
}
