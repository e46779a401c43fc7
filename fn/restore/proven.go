package restore

import (
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// checkProven refuses to write to where a run says, if anybody may have written the run who can write to the volume or the
// bucket: the dumps and the files would be real ones, decrypted by the key of the restore, and the Secrets his. If the
// Secrets are those of the namespace, the run still names which of them leads to the bucket; those of the databases have
// fixed names.
func checkProven(o *State) *Problem {
	r := o.Restore
	var places []string
	advice := ""
	if len(ToLoad(r)) > 0 && r.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit {
		places, advice = append(places, "the databases"), ", or set spec.databaseSecrets to Omit and make Secrets that lead to the databases"
	}
	if fills(o) && r.Status.Plan.FileStorage.Bucket {
		places, advice = append(places, "the bucket of the file storage"), ""
	}
	if len(places) == 0 || WantedManifest(o, r.Status.Plan.Run) != "" {
		return nil
	}
	return Stalled(v1alpha1.ReasonRunUnproven, "Nothing proves that run %q, %s, is the one that was written, and it says where %s would be that it is restored into; nothing was written. Set spec.restoreSource.manifestSHA256 to the digest that you know, as status.manifests of the ThreeScaleBackup has it, or name the ThreeScaleBackup in spec.restoreSource.backupRef%s",
		r.Status.Plan.Run, place(r), strings.Join(places, " and "), advice)
}
