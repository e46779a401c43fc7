package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// maxAttempts bounds how often a snapshot is taken again because a source changed
// meanwhile.
const maxAttempts = 5

// key tells the objects of a run's attempts apart.
func (r *run) key() string {
	if r.Attempt == 1 {
		return r.ID
	}
	return fmt.Sprintf("%s/%d", r.ID, r.Attempt)
}

func (r *run) copyKey(source string) string { return facts.KeySecretCopy + r.key() + "/" + source }

// isWhole reports whether all objects that the Job needs exist. They need not be
// bound or used: a volume may wait for the first pod.
func (r *run) isWhole(f *facts.Facts) bool {
	if r.Objects == nil || r.Report == nil || f.Destination.PVC == nil || !f.Pods.MayReport(r.Report.Name) {
		return false
	}
	listed := 0
	for key := range r.Objects.Encoded {
		if strings.HasPrefix(key, specs.ObjectKey(job.SecretMetadataDir+"/")) {
			listed++
		}
	}
	for source := range r.Copies {
		if r.wants(source) {
			listed--
		}
	}
	return listed == 0
}

// wants reports whether a Secret belongs to the snapshot: once the objects are
// written, only what they list does.
func (r *run) wants(source string) bool {
	return r.Objects == nil || r.Objects.Holds(specs.ObjectKey(job.SecretMetadataFile(source)))
}

// isCurrent reports whether the sources are still what was copied, so that the snapshot
// is of one moment. A new version of a source with the same content does not matter.
func (r *run) isCurrent(f *facts.Facts) bool {
	files, err := r.files(f)
	if err != nil || !sameData(specs.ObjectsSecret(r.spec(f), files).Data, r.Objects.Data()) {
		return false
	}
	for name, source := range f.Installation.Sources {
		kept := r.Copies[name]
		if kept == nil {
			return false
		}
		if kept.ResourceVersion != source.ResourceVersion && !sameData(kept.Data(), source.Data()) {
			return false
		}
	}
	return true
}

func sameData(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, slices.Equal) }

// keepSnapshot emits what the run has copied so far. What was copied is not taken
// from its source again: copies are immutable, and the snapshot is of one moment.
func (r *run) keepSnapshot(f *facts.Facts, out map[string]runtime.Object) {
	if r.Objects != nil {
		out[facts.KeyObjects+r.key()] = r.Objects.Again(specs.ObjectsSecret(r.spec(f), nil))
	}
	for name, secret := range r.Copies {
		source := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: secret.ResourceVersion}}
		out[r.copyKey(name)] = secret.Again(specs.SecretCopy(r.spec(f), source))
	}
}

// takeSnapshot emits one copy a Secret and one Secret for all other objects, where
// the run has none yet.
func (r *run) takeSnapshot(f *facts.Facts, out map[string]runtime.Object) error {
	if r.Objects == nil {
		files, err := r.files(f)
		if err != nil {
			return err
		}
		out[facts.KeyObjects+r.key()] = specs.ObjectsSecret(r.spec(f), files)
	}
	for name, secret := range f.Installation.Sources {
		if r.Copies[name] == nil && r.wants(name) {
			out[r.copyKey(name)] = specs.SecretCopy(r.spec(f), secret.Named(name))
		}
	}
	return nil
}

// files are the files of the snapshot, but for the Secrets' values, by path.
func (r *run) files(f *facts.Facts) (map[string][]byte, error) {
	i := f.Installation
	data, err := json.Marshal(job.Description{
		Source: job.Source{
			Namespace:      f.Namespace,
			APIManager:     i.Name,
			UID:            string(i.UID),
			ThreeScale:     threescale.Version(i.APIManager),
			WildcardDomain: threescale.WildcardDomain(i.APIManager),
			FileStorage:    shapeOf(i.FileStorage),
		},
		Cause: r.cause,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot describe run %q: %w", r.ID, err)
	}
	files := maps.Clone(i.Files)
	files[job.DescriptionFile] = data
	return files, nil
}

// shapeOf is what a restore makes the PVC of the file storage like; nil without one.
func shapeOf(pvc *corev1.PersistentVolumeClaim) *recorded.PVC {
	if pvc == nil {
		return nil
	}
	out := &recorded.PVC{}
	for _, has := range []corev1.ResourceList{pvc.Spec.Resources.Requests, pvc.Status.Capacity} {
		if size, ok := has[corev1.ResourceStorage]; ok {
			out.Size = size.String()
		}
	}
	if class := pvc.Spec.StorageClassName; class != nil && *class != "" {
		out.StorageClass = class
	}
	for _, mode := range pvc.Spec.AccessModes {
		out.AccessModes = append(out.AccessModes, string(mode))
	}
	return out
}

// held are the paths of the snapshot that the objects Secret holds.
func (r *run) held() []string {
	paths := []string{job.DescriptionFile, job.APIManagerFile}
	for _, object := range threescale.ConfigMaps() {
		paths = append(paths, job.ConfigMapFile(object.Name))
	}
	for source := range r.Copies {
		paths = append(paths, job.SecretMetadataFile(source))
	}
	return slices.DeleteFunc(paths, func(path string) bool { return !r.Objects.Holds(specs.ObjectKey(path)) })
}
