package restore

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// plan compares the backup with the namespace, and stops at a conflict.
func plan(o *State) Decision {
	status := o.Restore.Status
	if pushed(o) {
		return nil
	}
	if status.Plan == nil {
		return Act{MakePlan}
	}
	if o.Restore.Spec.DryRun {
		return nil
	}
	if p := checkObjects(o); p != nil {
		if p.Reason == v1alpha1.ReasonNotEmpty && requestedAgain(o.Restore) {
			return Act{DropInspect} // to look at the files again
		}
		if !o.Planned {
			return Act{MakePlan} // it may have been mended
		}
		return Stop{Problem: p}
	}
	return nil
}

// checkObjects returns what stands in the way of the plan; nil if nothing does.
func checkObjects(o *State) *Problem {
	status := o.Restore.Status
	if p := checkVersion(status.Plan.Source.ThreeScaleVersion, o.OperatorVersion); p != nil {
		return p
	}
	if status.Plan.FileStorage.Action == storageConflict {
		return Stalled(v1alpha1.ReasonNotEmpty, "PersistentVolumeClaim %q holds other files; restore into another namespace, or set spec.fileStorage.existing: Skip leaves them alone, Overwrite replaces those that the run has too, Mirror also deletes all others", threescale.FileStorageClaimName)
	}
	if status.FoundCommit != "" {
		return nil // they are of this restore
	}
	for _, object := range status.Plan.Objects {
		if object.Verdict != v1alpha1.VerdictConflict {
			continue
		}
		reason := v1alpha1.ReasonObjectConflict
		if object.Kind == threescale.APIManagerKind {
			reason = v1alpha1.ReasonAPIManagerExists
		}
		return Stalled(reason, "%s %q: %s; status.plan lists every object", object.Kind, object.Name, object.Message)
	}
	return nil
}

// Notes are remarks from building the tree.
type Notes struct {
	Rewritten []string
	Warnings  []string
}

// PlanOf is the plan for the objects and the files. desired and judged are in the order of the commit.
func PlanOf(o *State, desired []Object, judged []v1alpha1.PlannedObject, notes Notes) *v1alpha1.Plan {
	i := o.Inspection
	plan := &v1alpha1.Plan{
		Run: i.Run,
		Source: v1alpha1.PlanSource{
			Namespace:         i.Source.Namespace,
			APIManager:        i.Source.APIManager,
			ThreeScaleVersion: i.Source.ThreeScale,
			Verified:          i.Verified,
		},
		Objects:     judged,
		FileStorage: v1alpha1.PlannedFileStorage{Action: storageAction(o), Files: i.FileStorage.Files, Bytes: i.FileStorage.Bytes},
		Rewritten:   notes.Rewritten,
		Warnings:    warnings(o, apiManagerIn(desired), notes),
	}
	if !i.StartTime.IsZero() {
		plan.Source.StartTime = &metav1.Time{Time: i.StartTime}
	}
	return plan
}

// apiManagerIn returns the APIManager among objects; nil without one.
func apiManagerIn(objects []Object) Object {
	at := slices.IndexFunc(objects, func(object Object) bool { return text(object, "kind") == threescale.APIManagerKind })
	if at < 0 {
		return nil
	}
	return objects[at]
}

// checkVersion returns why the 3scale operator in the namespace would refuse the backup's version: it
// upgrades by one minor version at a time, and never downgrades. It returns nil if one of the versions
// is unknown.
func checkVersion(backedUp, operator string) *Problem {
	from, unknown := version.ParseGeneric(backedUp)
	to, alsoUnknown := version.ParseGeneric(operator)
	switch {
	case unknown != nil || alsoUnknown != nil:
		return nil
	case from.Major() == to.Major() && (to.Minor() == from.Minor() || to.Minor() == from.Minor()+1):
		return nil
	case from.Major() < to.Major(), from.Major() == to.Major() && from.Minor() < to.Minor():
		return Stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s: it upgrades by one minor version at a time; install the operator for %d.%d, restore, then upgrade step by step", backedUp, operator, from.Major(), from.Minor())
	}
	return Stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s, which is older; install the operator for %d.%d", backedUp, operator, from.Major(), from.Minor())
}
