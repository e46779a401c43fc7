package compose

import (
	"cmp"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
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
)

// requirements asks for everything that the composition reads. The second
// level (what the first one names) follows from what is already there, so that
// the same state always asks for the same.
func (c *composition) requirements() map[string]Selector {
	namespaced := func(apiVersion, kind, name string) Selector {
		return Selector{APIVersion: apiVersion, Kind: kind, Namespace: c.namespace, Name: name}
	}
	out := map[string]Selector{
		requireNamespace:      {APIVersion: "v1", Kind: "Namespace", Name: c.namespace},
		requireAPIManagers:    namespaced(threescale.APIManagerAPIVersion, threescale.APIManagerKind, c.spec.APIManagerName),
		requireFileStorage:    namespaced("v1", "PersistentVolumeClaim", threescale.FileStorageClaimName),
		requireBackupVolume:   namespaced("v1", "PersistentVolumeClaim", c.volumeClaimName()),
		requireStorageClasses: {APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
	}
	if name := c.persistentVolumeName(); name != "" {
		out[requireVolume] = Selector{APIVersion: "v1", Kind: "PersistentVolume", Name: name}
	}
	if name := c.jobVolumeName(); name != "" && name != c.volumeClaimName() {
		out[requireJobVolume] = namespaced("v1", "PersistentVolumeClaim", name)
	}
	if c.spec.Retention != nil || c.jobRetains() {
		readers := namespaced("batch/v1", "Job", "")
		readers.Labels = map[string]string{v1alpha1.LabelReads: specs.LabelValue(cmp.Or(c.jobVolumeName(), c.volumeClaimName()))}
		out[requireReaders] = readers
	}
	for _, name := range c.secretNames() {
		out[prefixSecret+name] = namespaced("v1", "Secret", name)
	}
	for _, object := range threescale.ConfigMaps() {
		out[prefixConfigMap+object.Name] = namespaced("v1", "ConfigMap", object.Name)
	}
	return out
}

// resolved tells whether everything that is asked for was answered.
func (c *composition) resolved() bool {
	for name := range c.desired.Requirements {
		if _, ok := c.observed.Required[name]; !ok {
			return false
		}
	}
	return true
}

// required returns the one object behind a requirement; nil when it was not found.
func (c *composition) required(name string) Object {
	for _, object := range c.answers(name) {
		return object
	}
	return nil
}

// answers returns what a requirement was answered with, less what is of
// another namespace: `crossplane render` does not look at the namespace.
func (c *composition) answers(name string) []Object {
	return slices.DeleteFunc(slices.Clone(c.observed.Required[name]), func(object Object) bool {
		namespace := object.text("metadata", "namespace")
		return namespace != "" && namespace != c.namespace
	})
}

// volumeClaimName is the PersistentVolumeClaim that runs are written to. A
// composed one that exists stays in use whatever the spec says now.
func (c *composition) volumeClaimName() string {
	if c.observed.Composed[keyVolume] == nil && c.destination().ClaimName != "" {
		return c.destination().ClaimName
	}
	return specs.PVCName(c.backup)
}

// jobVolumeName is the PersistentVolumeClaim that the Job of an unfinished run
// writes to; "" without one. The spec may name another since it started.
func (c *composition) jobVolumeName() string {
	used := ""
	for key, object := range c.observed.Composed {
		if !strings.HasPrefix(key, keyJob) || wasFinished(c.observed.Composite.Status, object.label(v1alpha1.LabelRun)) {
			continue
		}
		for _, volume := range object.objects("spec", "template", "spec", "volumes") {
			if volume.text("name") == specs.VolumeBackup {
				used = max(used, volume.text("persistentVolumeClaim", "claimName"))
			}
		}
	}
	return used
}

// jobRetains tells whether a Job at work may remove runs, whatever the spec says
// now: its command line does not change any more.
func (c *composition) jobRetains() bool {
	for key, object := range c.observed.Composed {
		if !strings.HasPrefix(key, keyJob) || !isActiveJob(object) {
			continue
		}
		for _, container := range object.objects("spec", "template", "spec", "containers") {
			for _, arg := range container.texts("args") {
				if strings.HasPrefix(arg, "--keep-") {
					return true
				}
			}
		}
	}
	return false
}

// volumeInUse is the PersistentVolumeClaim of the run in flight, else the one
// that the next run is written to.
func (c *composition) volumeInUse() (name string, claim Object) {
	if used := c.jobVolumeName(); used != "" && used != c.volumeClaimName() {
		return used, c.required(requireJobVolume)
	}
	return c.volumeClaimName(), c.backupVolume()
}

// persistentVolumeName is the volume that the claim is, or shall be, bound to.
func (c *composition) persistentVolumeName() string {
	if bound := c.required(requireBackupVolume).text("spec", "volumeName"); bound != "" {
		return bound
	}
	return c.destination().VolumeName
}

// secretNames are the Secrets of the chapter and those that the APIManager
// refers to. Only valid names get here.
func (c *composition) secretNames() []string {
	var names []string
	for _, object := range threescale.Secrets(c.apiManager()) {
		names = append(names, object.Name)
	}
	for _, ref := range c.references() {
		names = append(names, ref.Name)
	}
	return names
}

// references are the Secrets that the APIManager refers to.
func (c *composition) references() []threescale.SecretRef {
	if c.known.references == nil {
		c.known.references = threescale.ReferencedSecrets(c.apiManager())
	}
	return c.known.references
}

// apiManager is the APIManager to back up; nil unless it is found and unique.
func (c *composition) apiManager() Object {
	if found := c.answers(requireAPIManagers); len(found) == 1 {
		return found[0]
	}
	return nil
}
