package restore

import (
	"fmt"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// warnings are the plan's remarks that do not stop the restore. apiManager is the one of the commit.
func warnings(o *State, apiManager Object, notes Notes) []string {
	out := append([]string{}, o.Inspection.Warnings...)
	out = append(out, notes.Warnings...)
	if !o.Inspection.Verified {
		out = append(out, "the backup was written by APIManagerBackup and has no digests: nothing proves that it is whole")
	} else if WantedManifest(o, o.Inspection.Run) == "" {
		out = append(out, fmt.Sprintf("run %q is whole, but nothing proves that it is the one that was written, since whoever can write to the volume can replace a run: set spec.restoreSource.manifestSHA256 to the digest that you know, or name the ThreeScaleBackup in spec.restoreSource.backupRef", o.Inspection.Run))
	}
	if !o.Inspection.FileStorage.Stored && !threescale.UsesS3(apiManager) && o.FileStorage == nil {
		out = append(out, fmt.Sprintf("the run holds no files, and there is no PersistentVolumeClaim %q: the installation comes up with an empty file storage", threescale.FileStorageClaimName))
	}
	if moves(o, notes) {
		out = append(out, domainWarning(o))
	}
	if copies(o, notes) {
		out = append(out, copyWarnings(o, apiManager)...)
	}
	return out
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
func copyWarnings(o *State, apiManager Object) []string {
	from := o.Inspection.Source
	living := fmt.Sprintf("if APIManager %q of namespace %q still runs", from.APIManager, from.Namespace)
	out := []string{fmt.Sprintf(`%s, a copy of its System database bills, charges cards, calls web hooks and updates OIDC clients in its place: run the SQL of "Rehearse a restore" in examples/restore/README.md in the copy before, and give Zync an empty database and System's Redis an empty one`, living)}
	if o.Restore.Spec.Target.Quiet {
		out = append(out, "Secret system-smtp is committed with empty values (spec.target.quiet): the copy sends no mail until that is false again")
	} else {
		out = append(out, living+", the copy sends its mail, too: set spec.target.quiet to true to keep it from that")
	}
	if threescale.UsesS3(apiManager) {
		out = append(out, living+", the copy writes to its S3 bucket, and deletes there: have the Secret of spec.system.fileStorage.simpleStorageService lead to another one before")
	}
	if o.Restore.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit {
		out = append(out, living+", the restored Secrets lead the copy to its databases: set spec.databaseSecrets to Omit, and make Secrets that lead to the copies")
	}
	return out
}
