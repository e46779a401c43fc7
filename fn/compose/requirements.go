package compose

import (
	"cmp"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// Names of what is required. Secrets and ConfigMaps have their own name behind
// a prefix.
const (
	requireNamespace      = "namespace"
	requireAPIManagers    = "apimanagers"
	requireFileStorage    = "file-storage"
	requireBackupVolume   = "backup-volume"
	requireVolume         = "volume"
	requireJobVolume      = "job-volume"
	requireStorageClasses = "storage-classes"
	requireReaders        = "readers"
	prefixSecret          = "secret/"
	prefixConfigMap       = "configmap/"
	prefixBucketSecret    = "bucket-secret/"
)

// requirements returns the selectors of everything that gather reads. What another
// object names is asked for once that object is there, so that the same state always
// asks for the same.
func requirements(f *facts.Facts) map[string]Selector {
	namespaced := func(apiVersion, kind, name string) Selector {
		return Selector{APIVersion: apiVersion, Kind: kind, Namespace: f.Namespace, Name: name}
	}
	d := f.Destination
	out := make(map[string]Selector, len(f.Installation.Asked)+10)
	out[requireNamespace] = Selector{APIVersion: "v1", Kind: "Namespace", Name: f.Namespace}
	out[requireAPIManagers] = namespaced(threescale.APIManagerAPIVersion, threescale.APIManagerKind, f.Spec.APIManagerName)
	out[requireFileStorage] = namespaced("v1", "PersistentVolumeClaim", threescale.FileStoragePVCName)
	out[requireBackupVolume] = namespaced("v1", "PersistentVolumeClaim", d.Name)
	out[requireStorageClasses] = Selector{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"}
	if d.PVName != "" {
		out[requireVolume] = Selector{APIVersion: "v1", Kind: "PersistentVolume", Name: d.PVName}
	}
	if d.JobName != "" && d.JobName != d.Name {
		out[requireJobVolume] = namespaced("v1", "PersistentVolumeClaim", d.JobName)
	}
	if f.Spec.Retention != nil || d.JobRetains {
		restores := namespaced("batch/v1", "Job", "")
		restores.Labels = map[string]string{v1alpha1.LabelReads: specs.LabelValue(cmp.Or(d.JobName, d.Name))}
		out[requireReaders] = restores
	}
	for _, name := range f.Installation.Asked {
		out[prefixSecret+name] = namespaced("v1", "Secret", name)
	}
	if f.Spec.Offsite != nil {
		for _, ref := range specs.BucketSecrets(f.Spec.Offsite.Bucket) {
			out[prefixBucketSecret+ref.Name] = namespaced("v1", "Secret", ref.Name)
		}
	}
	for _, object := range threescale.ConfigMaps() {
		out[prefixConfigMap+object.Name] = namespaced("v1", "ConfigMap", object.Name)
	}
	return out
}
