package specs

import (
	"path"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	maxStepID        = 20
	volumeIdentities = "identities"
)

// Action is what a Job of a ThreeScaleRestore does.
type Action string

const (
	// Inspecting reads a run.
	Inspecting Action = job.InspectCommand
	// Refilling writes the file storage.
	Refilling Action = job.RefillCommand
)

// Step is one Job of a ThreeScaleRestore with its helpers. It holds what all of
// their objects have in common.
type Step struct {
	// Restore is the name of the ThreeScaleRestore.
	Restore string
	// Namespace of all objects.
	Namespace string
	Action    Action
	// ID tells this attempt from others of the same restore: letters, digits and dashes.
	ID string
	// Owners of all objects.
	Owners []metav1.OwnerReference
}

// Name returns the name of the Job, its ServiceAccount, Role and RoleBinding:
// <restore>-<action>-<id>, a DNS label of at most 63 characters.
func (s Step) Name() string {
	return jobName(s.Restore, "-"+string(s.Action)+"-"+shorten(s.ID, maxStepID))
}

// attempt tells this attempt of a restore from all others, also of one that was made again under the same name:
// <namespace>/<restore>/<uid>/<id>.
func (s Step) attempt() string {
	uid := types.UID("")
	if owner := metav1.GetControllerOfNoCopy(&metav1.ObjectMeta{OwnerReferences: s.Owners}); owner != nil {
		uid = owner.UID
	}
	return path.Join(s.Namespace, s.Restore, string(uid), s.ID)
}

// Labels returns a fresh map with the labels of the step's objects.
func (s Step) Labels() map[string]string {
	return map[string]string{v1alpha1.LabelRestore: LabelValue(s.Restore)}
}

func (s Step) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: s.Labels(), OwnerReferences: slices.Clone(s.Owners)}
}

// StepReportName returns the name of the ConfigMap into which a step's mover writes.
func StepReportName(s Step) string { return s.Name() + "-report" }

// StepReport returns that ConfigMap, without data.
func StepReport(s Step) *corev1.ConfigMap {
	return report(s.meta(StepReportName(s)))
}

// HandoverName returns the name of a hand-over Secret, counted from 0.
func HandoverName(s Step, part int) string { return s.Name() + "-handover-" + strconv.Itoa(part) }

// handoverNames returns the names of the given number of hand-over Secrets.
func handoverNames(s Step, parts int) []string {
	names := make([]string, 0, parts)
	for part := range parts {
		names = append(names, HandoverName(s, part))
	}
	return names
}

// HandoverSecret returns an empty Secret for objects of a run.
func HandoverSecret(s Step, part int) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: s.meta(HandoverName(s, part)),
		Type:       corev1.SecretTypeOpaque,
	}
}

// StepServiceAccount returns the identity of a step's pods.
func StepServiceAccount(s Step) *corev1.ServiceAccount { return serviceAccount(s.meta(s.Name())) }

// StepRole allows a step's pods to patch its report and the given number of
// hand-over Secrets, and to read none of them.
func StepRole(s Step, parts int) *rbacv1.Role {
	rules := []rbacv1.PolicyRule{onObjects("configmaps", []string{StepReportName(s)}, "patch")}
	if parts > 0 {
		rules = append(rules, onObjects("secrets", handoverNames(s, parts), "patch"))
	}
	return role(s.meta(s.Name()), rules...)
}

// StepRoleBinding gives StepRole to StepServiceAccount.
func StepRoleBinding(s Step) *rbacv1.RoleBinding { return roleBinding(s.meta(s.Name())) }

// Identities are the age identities that decrypt a run.
type Identities struct {
	// Secret that holds them; "": there are none.
	Secret string
	// Keys of that Secret; those that do not end in .agekey are not mounted.
	Keys []string
}

// mount mounts the identities, if there are any.
func (i Identities) mount() []mount {
	var items []corev1.KeyToPath
	for _, key := range slices.Sorted(slices.Values(i.Keys)) {
		if strings.HasSuffix(key, job.IdentitySuffix) {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	if i.Secret == "" || len(items) == 0 {
		return nil // without items, the whole Secret would be mounted
	}
	return []mount{{volumeIdentities, job.IdentitiesPath, true, projected(projection(i.Secret, items))}}
}

// path returns where the identities are mounted; "" if they are not.
func (i Identities) path() string {
	if len(i.mount()) == 0 {
		return ""
	}
	return job.IdentitiesPath
}

// StepInput is what the Jobs of a restore are built from.
type StepInput struct {
	Mover
	Step Step
	// Bucket that holds the runs in place of VolumePVC; nil: that does.
	Bucket *v1alpha1.Bucket
	// VolumeReadOnly: nobody may write to that volume, not even the kubelet.
	VolumeReadOnly bool
	// Run is the ID of the run, or job.Latest.
	Run string
	// ManifestSHA256 is what the digest of its manifest must be; "": any.
	ManifestSHA256 string
	Identities     Identities
}

// source returns where the mover finds the runs: on a volume, or in a bucket.
func (in StepInput) source() (volume string, bucket job.BucketOptions) {
	if in.Bucket != nil {
		return "", BucketOptions(*in.Bucket, "")
	}
	return job.VolumePath, job.BucketOptions{}
}

// sourceMounts mounts what the mover needs to read the runs.
func (in StepInput) sourceMounts() []mount {
	if in.Bucket != nil {
		return bucketMounts(*in.Bucket)
	}
	return []mount{sourceMount(in.VolumePVC, in.AssignsUID, in.VolumeReadOnly)}
}

// InspectInput is what the Job of an inspection is built from.
type InspectInput struct {
	StepInput
	// HandoverParts is how many hand-over Secrets there are.
	HandoverParts int
	// Databases is what becomes of those that the run holds.
	Databases v1alpha1.DatabasesPolicy
	// Connections lead to the databases that are looked at.
	Connections Connections
}

// InspectJob returns the Job that inspects a run. It can write to no volume.
func InspectJob(in InspectInput) *batchv1.Job {
	return stepJob(in.StepInput, true, inspectOptions(in).Args(), in.Connections.mounts()...)
}

// inspectOptions returns the mover's options in the Job that is built from in.
func inspectOptions(in InspectInput) job.InspectOptions {
	volume, bucket := in.source()
	return job.InspectOptions{
		Run:               in.Run,
		Volume:            volume,
		BucketOptions:     bucket,
		FileStorage:       in.fileStorage(),
		FileBucketOptions: in.FileBucket.options(),
		ManifestSHA256:    in.ManifestSHA256,
		Identities:        in.Identities.path(),
		Databases:         in.Databases,
		Connections:       in.Connections.path(),
		Attempt:           in.Step.attempt(),
		Handover:          handoverNames(in.Step, in.HandoverParts),
		Namespace:         in.Step.Namespace,
		Report:            StepReportName(in.Step),
	}
}

// RefillInput is what the Job of a refill is built from.
type RefillInput struct {
	StepInput
	// Existing is what to do with a file storage that is not empty: v1alpha1.ExistingFail and so on.
	Existing v1alpha1.ExistingPolicy
	// FileStorageUID is the UID of FileStoragePVC, which later shows whether another
	// PVC has taken its place.
	FileStorageUID types.UID
}

// RefillJob returns the Job that writes the file storage of a run. It can write
// to no other volume, and to none where the file storage is a bucket.
func RefillJob(in RefillInput) *batchv1.Job {
	if in.FileBucket != nil {
		in.FileStoragePVC, in.FileStorageBeside = "", nil
		return stepJob(in.StepInput, false, refillOptions(in).Args())
	}
	refill := stepJob(in.StepInput, false, refillOptions(in).Args())
	refill.Annotations = map[string]string{v1alpha1.AnnotationFileStorage: string(in.FileStorageUID)}
	return refill
}

// refillOptions returns the mover's options in the Job that is built from in.
func refillOptions(in RefillInput) job.RefillOptions {
	volume, bucket := in.source()
	return job.RefillOptions{
		Run:               in.Run,
		Volume:            volume,
		BucketOptions:     bucket,
		FileStorage:       in.fileStorage(),
		FileBucketOptions: in.FileBucket.options(),
		Existing:          in.Existing,
		ManifestSHA256:    in.ManifestSHA256,
		Identities:        in.Identities.path(),
		Namespace:         in.Step.Namespace,
		Report:            StepReportName(in.Step),
	}
}

func stepJob(in StepInput, readOnly bool, args []string, more ...mount) *batchv1.Job {
	mounts := in.sourceMounts()
	if in.FileStoragePVC != "" {
		mounts = append(mounts, pvcMount(volumeFileStorage, job.FileStoragePath, in.FileStoragePVC, readOnly))
	}
	out := moverJob(work{
		Mover:   in.Mover,
		meta:    in.Step.meta(in.Step.Name()),
		account: in.Step.Name(),
		args:    args,
		mounts:  slices.Concat(mounts, in.FileBucket.mounts(), in.Identities.mount(), more),
	})
	if in.Bucket == nil { // the retention of a bucket's copies knows nothing of restores: they may be on another cluster
		out.Labels[v1alpha1.LabelReads] = LabelValue(in.VolumePVC)
	}
	return out
}
