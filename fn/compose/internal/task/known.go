package task

import (
	"slices"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
)

// maxManifests bounds the digests in the status: they take 12 KiB.
const maxManifests = 100

// uidInUse is the UID of the PVC in use; "" without one.
func uidInUse(f *facts.Facts) string {
	_, pvc := f.Destination.InUse()
	if pvc == nil {
		return ""
	}
	return string(pvc.UID)
}

// isReplaced reports whether the PVC that holds the runs, by its UID, is no longer the
// one in use. A PVC that replaced it by hand has none of the runs.
func isReplaced(f *facts.Facts, holds string) bool { return holds != "" && holds != uidInUse(f) }

// heldBefore is the UID of the PVC that holds the recorded runs; "" without any.
func heldBefore(f *facts.Facts) string {
	if f.Status.LastRun == nil {
		return ""
	}
	return f.Status.BackupPersistentVolumeClaimUID
}

// withManifest puts the digest of a run's manifest first. A known one is not replaced:
// many users may write to the volume, and to the report.
func withManifest(manifests []v1alpha1.RunManifest, run, digest string) []v1alpha1.RunManifest {
	known := slices.ContainsFunc(manifests, func(m v1alpha1.RunManifest) bool { return m.Run == run })
	if known || job.KnownManifest(run, digest) == "" {
		return manifests
	}
	manifests = append([]v1alpha1.RunManifest{{Run: run, SHA256: digest}}, manifests...)
	return manifests[:min(len(manifests), maxManifests)]
}

// withoutManifests drops the digests of removed runs, to leave the places to runs that
// the retention keeps for years.
func withoutManifests(manifests []v1alpha1.RunManifest, removed []string) []v1alpha1.RunManifest {
	return slices.DeleteFunc(slices.Clone(manifests), func(m v1alpha1.RunManifest) bool { return slices.Contains(removed, m.Run) })
}

// knownManifests are the digests of the runs before, as texts of job.KnownManifest,
// newest first.
func knownManifests(status v1alpha1.ThreeScaleBackupStatus) []string {
	manifests := slices.Clone(status.Manifests)
	if last := status.LastRun; last != nil { // an earlier version kept no others
		manifests = withManifest(manifests, last.ID, last.ManifestSHA256)
	}
	var known []string
	for _, m := range manifests {
		if digest := job.KnownManifest(m.Run, m.SHA256); digest != "" {
			known = append(known, digest)
		}
	}
	return known
}
