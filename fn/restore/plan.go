package restore

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
		if looksAgain(p.Reason) && requestedAgain(o.Restore) {
			return Act{DropInspect}
		}
		if !o.Planned {
			return Act{MakePlan} // it may have been mended
		}
		return Stop{Problem: p}
	}
	return nil
}

// looksAgain reports whether only another look at the files or the databases can tell that a problem is solved.
func looksAgain(reason string) bool {
	return slices.Contains([]string{v1alpha1.ReasonNotEmpty, v1alpha1.ReasonFileStorageOfOthers, v1alpha1.ReasonDatabaseNotEmpty, v1alpha1.ReasonDatabaseUnsupported}, reason)
}

// checkObjects returns what stands in the way of the plan; nil if nothing does.
func checkObjects(o *State) *Problem {
	status := o.Restore.Status
	if p := checkVersion(status.Plan.Source.ThreeScaleVersion, o.OperatorVersion); p != nil {
		return p
	}
	if p := cmp.Or(checkStorage(o), checkDatabases(o), checkProven(o)); p != nil {
		return p
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
func PlanOf(o *State, desired []*unstructured.Unstructured, judged []v1alpha1.PlannedObject, notes Notes) *v1alpha1.Plan {
	i, databases := o.Inspection, plannedDatabases(o)
	plan := &v1alpha1.Plan{
		Run: i.Run,
		Source: v1alpha1.PlanSource{
			Namespace:         i.Source.Namespace,
			APIManager:        i.Source.APIManager,
			ThreeScaleVersion: i.Source.ThreeScale,
			Verified:          i.Verified,
			FilesBySize:       i.Verified && i.FileStorage.Stored && o.Restore.Spec.RestoreSource.Bucket != nil,
		},
		Objects:     judged,
		FileStorage: plannedStorage(o, apiManagerIn(desired)),
		Databases:   databases,
		Rewritten:   notes.Rewritten,
		Warnings:    slices.Concat(warnings(o, apiManagerIn(desired), notes), databaseWarnings(o, databases, judged, copies(o, notes))),
	}
	if !i.StartTime.IsZero() {
		plan.Source.StartTime = &metav1.Time{Time: i.StartTime}
	}
	return plan
}

// apiManagerIn returns the APIManager among objects; nil without one.
func apiManagerIn(objects []*unstructured.Unstructured) *unstructured.Unstructured {
	at := slices.IndexFunc(objects, func(object *unstructured.Unstructured) bool { return object.GetKind() == threescale.APIManagerKind })
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
		return nil //nolint:nilerr // no version is no problem
	case from.Major() == to.Major() && (to.Minor() == from.Minor() || to.Minor() == from.Minor()+1):
		return nil
	case from.Major() < to.Major(), from.Major() == to.Major() && from.Minor() < to.Minor():
		return Stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s: it upgrades by one minor version at a time; install the operator for %d.%d, restore, then upgrade step by step", backedUp, operator, from.Major(), from.Minor())
	}
	return Stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s, which is older; install the operator for %d.%d", backedUp, operator, from.Major(), from.Minor())
}

// warnings are the plan's remarks that do not stop the restore. apiManager is the one of the commit.
func warnings(o *State, apiManager *unstructured.Unstructured, notes Notes) []string {
	out := append([]string{}, o.Inspection.Warnings...)
	out = append(out, notes.Warnings...)
	if !o.Inspection.Verified {
		out = append(out, "the backup was written by APIManagerBackup and has no digests: nothing proves that it is whole")
	} else if WantedManifest(o, o.Inspection.Run) == "" {
		out = append(out, unknownManifest(o))
	}
	if !o.Inspection.FileStorage.Stored && !threescale.UsesS3(apiManager) && o.FileStorage == nil {
		out = append(out, fmt.Sprintf("the run holds no files, and there is no PersistentVolumeClaim %q: the installation comes up with an empty file storage", threescale.FileStoragePVCName))
	}
	if i := o.Inspection; o.Restore.Status.FoundCommit != "" && i.FileBucket != nil && i.Existing.Interrupted {
		out = append(out, fmt.Sprintf("the bucket of the file storage is left alone, since commit %s restored it, but a restore of this run into it has not ended: if files are missing there, bring them back: %s", short(o.Restore.Status.FoundCommit), ForceAgain(o.Restore)))
	}
	if moves(o, notes) {
		out = append(out, domainWarning(o))
	}
	if copies(o, notes) {
		out = append(out, copyWarnings(o, apiManager)...)
	}
	return out
}

// unknownManifest says that the digest of the run's manifest was compared with none.
func unknownManifest(o *State) string {
	if o.Restore.Spec.RestoreSource.Bucket != nil {
		return fmt.Sprintf("nothing proves that run %q is the one that was written, since whoever can write to the bucket can replace a run: set spec.restoreSource.manifestSHA256 to the digest that you know, as status.manifests of the ThreeScaleBackup had it", o.Inspection.Run)
	}
	return fmt.Sprintf("run %q is whole, but nothing proves that it is the one that was written, since whoever can write to the volume can replace a run: set spec.restoreSource.manifestSHA256 to the digest that you know, or name the ThreeScaleBackup in spec.restoreSource.backupRef", o.Inspection.Run)
}

// moves reports whether the installation gets another domain.
func moves(o *State, notes Notes) bool {
	return o.Restore.Spec.Target.WildcardDomain != "" && len(notes.Rewritten) > 0
}

// copies reports whether the installation that was backed up may still run beside the restored one.
// Whether it does is not looked up: its name comes from a volume that others can write, and the answer
// would reveal something of another namespace.
func copies(o *State, notes Notes) bool {
	return o.Inspection.Source.Namespace != o.Restore.Namespace || moves(o, notes)
}

// domainWarning says that Zync makes the Routes that System's database names.
func domainWarning(o *State) string {
	return fmt.Sprintf(`System's database holds the domains of the tenants, and Zync makes Routes for those, while the operator waits for Routes below %q: change them in the database before the restore, as "Another domain" in examples/restore/README.md shows`, o.Restore.Spec.Target.WildcardDomain)
}

// copyWarnings say what a copy of a running installation does in its place.
func copyWarnings(o *State, apiManager *unstructured.Unstructured) []string {
	from := o.Inspection.Source
	living := fmt.Sprintf("if APIManager %q of namespace %q still runs", from.APIManager, from.Namespace)
	out := []string{fmt.Sprintf(`%s, a copy of its System database bills, charges cards, calls web hooks and updates OIDC clients in its place: run the SQL of "Rehearse a restore" in examples/restore/README.md in the copy before, and give Zync an empty database and System's Redis an empty one`, living)}
	if o.Restore.Spec.Target.Quiet {
		out = append(out, "Secret system-smtp is committed with empty values (spec.target.quiet): the copy sends no mail until that is false again")
	} else {
		out = append(out, living+", the copy sends its mail, too: set spec.target.quiet to true to keep it from that")
	}
	if threescale.UsesS3(apiManager) && !o.Restore.OmitsBucketSecret() {
		out = append(out, living+", the copy writes to its S3 bucket, and deletes there: set spec.fileStorage.bucketSecret to Omit, and make the Secret that spec.system.fileStorage.simpleStorageService names lead to another one before")
	}
	if o.Restore.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit {
		out = append(out, living+", the restored Secrets lead the copy to its databases: set spec.databaseSecrets to Omit, and make Secrets that lead to the copies")
	}
	return out
}
