package restore

import (
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// checkProven refuses to write to where the Secrets of a run say, if anybody may have written the run who can write to the
// volume or the bucket: the dumps and the files would be real ones, decrypted by the key of the restore, and the Secrets
// his.
func checkProven(o *State) *Problem {
	r := o.Restore
	var places, fields []string
	if len(ToLoad(r)) > 0 && r.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit {
		places, fields = append(places, "the databases"), append(fields, "spec.databaseSecrets")
	}
	if fills(o) && r.Status.Plan.FileStorage.Bucket && !r.OmitsBucketSecret() {
		places, fields = append(places, "the bucket of the file storage"), append(fields, "spec.fileStorage.bucketSecret")
	}
	if len(places) == 0 || WantedManifest(o, r.Status.Plan.Run) != "" {
		return nil
	}
	to := strings.Join(places, " and ")
	return Stalled(v1alpha1.ReasonRunUnproven, "Nothing proves that run %q, %s, is the one that was written, and its Secrets say where %s would be that it is restored into; nothing was written. Set spec.restoreSource.manifestSHA256 to the digest that you know, as status.manifests of the ThreeScaleBackup has it, or name the ThreeScaleBackup in spec.restoreSource.backupRef, or set %s to Omit and make Secrets that lead to %s",
		r.Status.Plan.Run, place(r), to, strings.Join(fields, " and "), to)
}
