package compose

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// gather reads the observed objects into facts of the backup that scope names.
func gather(o Observed, scope specs.Identity) (*facts.Facts, error) {
	f := &facts.Facts{
		Identity:     scope,
		UID:          o.Composite.UID,
		Created:      o.Composite.Created,
		Spec:         o.Composite.Spec,
		SpecError:    o.Composite.SpecError,
		Status:       o.Composite.Status,
		Unresponsive: o.Composite.Unresponsive,
		Shows:        o.Composite.Shows,
		Now:          o.Now,
		Image:        o.Image,
		Allow:        o.Allow,
		InputError:   o.InputError,
	}
	f.Status.Runs = slices.DeleteFunc(slices.Clone(f.Status.Runs), func(r v1alpha1.Run) bool {
		return !job.IsRunID(r.ID) // names are made of it
	})
	in := answersOf(o.Required, f.Namespace)
	f.Home = as[corev1.Namespace](in.one(requireNamespace))
	f.Readers = readersOf(in)
	f.Pods = facts.Pods{
		Account: o.Composed[facts.KeyServiceAccount] != nil,
		Role:    as[rbacv1.Role](o.Composed[facts.KeyRole]),
		Binding: o.Composed[facts.KeyRoleBinding] != nil,
	}
	f.Jobs = jobsOf(o.Composed)
	f.Runs, f.Verifications = runs(o.Composed, f.Jobs), tasks(o.Composed, f.Jobs, facts.KeyVerifyJob, facts.KeyVerifyReport)
	f.Copies = tasks(o.Composed, f.Jobs, facts.KeyCopyJob, facts.KeyCopyReport)
	f.BucketVerifications = tasks(o.Composed, f.Jobs, facts.KeyBucketJob, facts.KeyBucketReport)
	f.BucketSecrets = bucketSecrets(in, f.Spec.Offsite)
	if f.IsNew() {
		f.Handled = handled(o.Composed)
	}
	f.Destination = destination(o, in, f)
	var err error
	f.Installation, err = installation(in)
	return f, err
}

// answers are the required objects, less those of other namespaces, which
// Crossplane's command line hands over too.
type answers map[string][]*unstructured.Unstructured

func answersOf(required map[string][]*unstructured.Unstructured, namespace string) answers {
	out := maps.Clone(required)
	for name, objects := range out {
		out[name] = slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool {
			return o.GetNamespace() != "" && o.GetNamespace() != namespace
		})
	}
	return out
}

// one returns the only object behind a requirement; nil: it was not found.
func (a answers) one(name string) *unstructured.Unstructured {
	if len(a[name]) == 0 {
		return nil
	}
	return a[name][0]
}

// readersOf returns the ThreeScaleRestores that read the backup volume, sorted. Each
// keeps its Jobs until it is done.
func readersOf(in answers) []string {
	var names []string
	for _, object := range in[requireReaders] {
		names = append(names, object.GetLabels()[v1alpha1.LabelRestore])
	}
	slices.Sort(names)
	return job.BoundedIDs(slices.Compact(names)) // whoever may write Jobs can write their labels
}

// runs returns the observed objects of each run, by its ID. A report has the ID of its
// resource name, not of its label: many users may write ConfigMaps.
func runs(composed map[string]*unstructured.Unstructured, jobs map[string]*facts.Job) map[string]facts.Run {
	out := map[string]facts.Run{}
	for key, object := range composed {
		id, isReport := strings.CutPrefix(key, facts.KeyReport)
		isJob := strings.HasPrefix(key, facts.KeyJob)
		isSecret := strings.HasPrefix(key, facts.KeyObjects) || strings.HasPrefix(key, facts.KeySecretCopy)
		labels := object.GetLabels()
		if !isReport {
			id = labels[v1alpha1.LabelRun]
		}
		r, attempt := out[id], specs.AttemptOf(labels)
		switch {
		case isReport:
			r.Report = as[corev1.ConfigMap](object)
		case isJob && (r.Job == nil || attempt > r.Attempt):
			r.Job, r.Attempt = jobs[key], attempt
		case isSecret && r.Job == nil:
			r.Attempt = max(r.Attempt, attempt)
		default:
			continue
		}
		r.ID = id
		out[id] = r
	}
	for id, r := range out {
		r.Attempt = max(r.Attempt, 1)
		out[id] = snapshot(composed, r)
	}
	return out
}

// snapshot returns a run with what its attempt has copied.
func snapshot(composed map[string]*unstructured.Unstructured, r facts.Run) facts.Run {
	r.Copies = map[string]*facts.Secret{}
	for key, object := range composed {
		isObjects, isCopy := strings.HasPrefix(key, facts.KeyObjects), strings.HasPrefix(key, facts.KeySecretCopy)
		if !isObjects && !isCopy {
			continue
		}
		labels, annotations := object.GetLabels(), object.GetAnnotations()
		if labels[v1alpha1.LabelRun] != r.ID || specs.AttemptOf(labels) != r.Attempt {
			continue
		}
		secret := secretOf(object, annotations[v1alpha1.AnnotationSourceResourceVersion])
		if isObjects {
			r.Objects = secret
			continue
		}
		r.Copies[annotations[v1alpha1.AnnotationSourceName]] = secret
	}
	return r
}

// tasks returns the observed objects of each task of a kind, by its ID, which is read
// from their resource names, as that of a run's report is.
func tasks(composed map[string]*unstructured.Unstructured, jobs map[string]*facts.Job, jobKey, reportKey string) map[string]facts.Task {
	out := map[string]facts.Task{}
	for key, object := range composed {
		if id, ok := strings.CutPrefix(key, jobKey); ok {
			t := out[id]
			t.ID, t.Job = id, jobs[key]
			out[id] = t
		}
		if id, ok := strings.CutPrefix(key, reportKey); ok {
			t := out[id]
			t.ID, t.Report = id, as[corev1.ConfigMap](object)
			out[id] = t
		}
	}
	return out
}

// bucketSecrets returns the Secrets that spec.offsite names and that exist.
func bucketSecrets(in answers, offsite *v1alpha1.Offsite) map[string]*facts.Secret {
	out := map[string]*facts.Secret{}
	if offsite == nil {
		return out
	}
	for _, ref := range specs.BucketSecrets(offsite.Bucket) {
		if object := in.one(prefixBucketSecret + ref.Name); object != nil {
			out[ref.Name] = secretOf(object, object.GetResourceVersion())
		}
	}
	return out
}

// handled returns the newest trigger and slots that observed reports note as handled.
// The status has them too, but can be lost: somebody clears it, or core may not write it.
func handled(composed map[string]*unstructured.Unstructured) job.Handled {
	var out job.Handled
	var newest time.Time
	for _, object := range composed {
		var h job.Handled
		note := object.GetAnnotations()[v1alpha1.AnnotationHandled]
		if note == "" {
			continue
		}
		if err := json.Unmarshal([]byte(note), &h); err != nil || facts.CheckTrigger(h.Trigger) != nil {
			continue // not ours
		}
		out.Slot, out.VerifySlot = facts.Later(out.Slot, h.Slot), facts.Later(out.VerifySlot, h.VerifySlot)
		out.OffsiteVerifySlot = facts.Later(out.OffsiteVerifySlot, h.OffsiteVerifySlot)
		created := object.GetCreationTimestamp().Time
		if cmp.Or(created.Compare(newest), strings.Compare(h.Trigger, out.Trigger)) > 0 {
			newest, out.Trigger = created, h.Trigger
		}
	}
	return out
}

func destination(o Observed, in answers, f *facts.Facts) facts.Destination {
	d := facts.Destination{
		Wish:     f.Spec.BackupDestination.PersistentVolumeClaim,
		Composed: as[corev1.PersistentVolumeClaim](o.Composed[facts.KeyVolume]),
		Name:     specs.PVCName(f.Backup),
		JobPVC:   as[corev1.PersistentVolumeClaim](in.one(requireJobVolume)),
		PV:       as[corev1.PersistentVolume](in.one(requireVolume)),
	}
	if d.IsUsers() {
		d.Name = d.Wish.ClaimName
	}
	named := as[corev1.PersistentVolumeClaim](in.one(requireBackupVolume))
	d.PVC, d.PVName = cmp.Or(d.Composed, named), d.Wish.VolumeName
	if named != nil && named.Spec.VolumeName != "" {
		d.PVName = named.Spec.VolumeName
	}
	for _, class := range in[requireStorageClasses] {
		d.Classes = append(d.Classes, *as[storagev1.StorageClass](class))
	}
	for key, j := range f.Jobs {
		if !strings.HasPrefix(key, facts.KeyJob) {
			continue
		}
		if !facts.HasEnded(f.Status, j.Labels[v1alpha1.LabelRun]) {
			d.JobName = max(d.JobName, j.PVCName)
		}
		d.JobRetains = d.JobRetains || j.IsActive() && j.Retains
	}
	return d
}

func installation(in answers) (facts.Installation, error) {
	i := facts.Installation{
		Secrets:     map[string]*facts.Secret{},
		Sources:     map[string]*facts.Secret{},
		ConfigMaps:  map[string]bool{},
		FileStorage: as[corev1.PersistentVolumeClaim](in.one(requireFileStorage)),
	}
	stored := make(map[string]*unstructured.Unstructured, len(in))
	found := in[requireAPIManagers]
	for _, object := range found {
		i.Found = append(i.Found, object.GetName())
	}
	if len(found) == 1 {
		i.APIManager, i.Name, i.UID = found[0], found[0].GetName(), found[0].GetUID()
		stored[job.APIManagerFile] = threescale.CleanForBackup(i.APIManager)
	}
	for _, object := range threescale.ConfigMaps() {
		if configMap := in.one(prefixConfigMap + object.Name); configMap != nil {
			i.ConfigMaps[object.Name] = true
			stored[job.ConfigMapFile(object.Name)] = threescale.CleanForBackup(configMap)
		}
	}
	i.References = threescale.ReferencedSecrets(i.APIManager)
	i.Asked = secretNames(i)
	for _, name := range i.Asked {
		object := in.one(prefixSecret + name)
		if object == nil {
			continue
		}
		secret := secretOf(object, object.GetResourceVersion())
		if i.Secrets[name] = secret; secret.Type != corev1.SecretTypeServiceAccountToken {
			i.Sources[name] = secret
			stored[job.SecretMetadataFile(name)] = threescale.SecretMeta(object)
		}
	}
	var err error
	i.Files, err = encoded(stored)
	return i, err
}

// encoded returns objects as the snapshot stores them, by path.
func encoded(objects map[string]*unstructured.Unstructured) (map[string][]byte, error) {
	out := make(map[string][]byte, len(objects))
	for _, path := range slices.Sorted(maps.Keys(objects)) {
		data, err := threescale.EncodeJSON(objects[path].Object)
		if err != nil {
			return nil, fmt.Errorf("cannot encode %q: %w", path, err)
		}
		out[path] = data
	}
	return out, nil
}

// secretNames returns the Secrets of the operator's list and those that the APIManager
// refers to. All are valid names.
func secretNames(i facts.Installation) []string {
	var names []string
	for _, object := range threescale.Secrets(i.APIManager) {
		names = append(names, object.Name)
	}
	for _, ref := range i.References {
		names = append(names, ref.Name)
	}
	return names
}
