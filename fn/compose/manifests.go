package compose

import (
	"slices"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// maxManifests bounds the digests in the status: they take 12 KiB.
const maxManifests = 100

// withManifest puts the digest of a run's manifest first. One that is known stays
// as it is: many may write to the volume, and to the report.
func withManifest(manifests []v1alpha1.RunManifest, run, digest string) []v1alpha1.RunManifest {
	known := slices.ContainsFunc(manifests, func(m v1alpha1.RunManifest) bool { return m.Run == run })
	if known || job.KnownManifest(run, digest) == "" {
		return manifests
	}
	manifests = append([]v1alpha1.RunManifest{{Run: run, SHA256: digest}}, manifests...)
	return manifests[:min(len(manifests), maxManifests)]
}

// withoutManifests drops the digests of runs that were removed: those that the
// retention keeps for years need the places.
func withoutManifests(manifests []v1alpha1.RunManifest, removed []string) []v1alpha1.RunManifest {
	return slices.DeleteFunc(slices.Clone(manifests), func(m v1alpha1.RunManifest) bool { return slices.Contains(removed, m.Run) })
}

// knownManifests are the digests of the runs before, as texts of job.KnownManifest, newest
// first.
func (c *composition) knownManifests() []string {
	manifests := slices.Clone(c.observed.Composite.Status.Manifests)
	if last := c.observed.Composite.Status.LastRun; last != nil { // of a version that kept no others
		manifests = withManifest(manifests, last.ID, last.ManifestSHA256)
	}
	var known []string
	for _, m := range manifests {
		if text := job.KnownManifest(m.Run, m.SHA256); text != "" {
			known = append(known, text)
		}
	}
	return known
}
