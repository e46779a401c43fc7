package specs

import (
	"cmp"
	"maps"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/retention"
)

const (
	// ContainerName is the name of the mover's container.
	ContainerName = "mover"

	// DefaultDeadlineSeconds is spec.job.activeDeadlineSeconds by default.
	DefaultDeadlineSeconds int64 = 21600

	defaultBackoffLimit int32 = 3
	nonRootID           int64 = 65532
	snapshotMode        int32 = 0o440

	// UIDRangeAnnotation is on the namespaces to whose pods OpenShift assigns UIDs.
	UIDRangeAnnotation = "openshift.io/sa.scc.uid-range"

	// VolumeBackup is the name of the pod's volume that holds the runs.
	VolumeBackup      = "backup"
	volumeObjects     = "objects"
	volumeFileStorage = "file-storage"
)

// JobInput is what a run's Job is built from.
type JobInput struct {
	Mover
	Run Run
	// Files are the paths of ObjectsSecret.
	Files []string
	// Copies are the Secrets of the snapshot.
	Copies []Copy
	// Dumps are the databases that the run holds, in the order in which they are dumped.
	Dumps []Dump
	// Ended are the IDs of earlier runs, whose pods may have left dumps behind.
	Ended      []string
	Recipients []string
	// ProveLinks makes the mover read a stored file before it links to it.
	ProveLinks bool
	// Retention is applied in TimeZone once this run has verified, unless its report says by
	// then that a restore reads the volume.
	Retention retention.Policy
	TimeZone  string
	// Inconsistent: the objects of the snapshot are of different moments.
	Inconsistent bool
}

// Mover is what every Job of the mover is built from.
type Mover struct {
	Image string
	// VolumePVC is the PersistentVolumeClaim of the backup volume.
	VolumePVC string
	// FileStoragePVC is that of the System file storage; "": the Job does without.
	FileStoragePVC string
	// FileBucket is the System file storage in S3; nil: there is none.
	FileBucket *FileBucket
	// FileStorageBeside selects a pod on whose node the Job's pod must run, since the
	// file storage cannot be shared between nodes; nil: any node.
	FileStorageBeside *metav1.LabelSelector
	// Known has the job.KnownManifest of each other run.
	Known    []string
	Settings v1alpha1.JobSettings
	// AssignsUID: the cluster assigns UIDs and groups to the pods of the namespace
	// (OpenShift), so that the Job must set none.
	AssignsUID bool
}

// fileStorage is where the file storage is mounted; "" without one.
func (m Mover) fileStorage() string {
	if m.FileStoragePVC == "" {
		return ""
	}
	return job.FileStoragePath
}

// FileBucket says how the mover logs in to the bucket of the System file storage. The
// rest is in the snapshot, or in the run.
type FileBucket struct {
	// Audience of the ServiceAccount's token that is exchanged for a role; "": the Secret
	// has keys.
	Audience string
	// Live: in a restore, a Secret of the namespace leads to the bucket, and not that of
	// the run. Secret is its name; "": nobody knows it yet. Keys are those that the mover
	// reads; the others are not mounted.
	Live   bool
	Secret string
	Keys   []string
}

// tokenPath is where that token is mounted; "" without one.
func (b *FileBucket) tokenPath() string {
	if b == nil || b.Audience == "" {
		return ""
	}
	return job.FileBucketTokenPath
}

// Copy is a Secret of the snapshot: the copy's name, the source's, its keys.
type Copy struct {
	Name   string
	Source string
	Keys   []string
}

// Job returns the Job of a run. It has no ttlSecondsAfterFinished: once Kubernetes
// had deleted the Job, Crossplane would create it again, and it would run again.
func Job(in JobInput) *batchv1.Job {
	out := moverJob(work{
		Mover:   in.Mover,
		meta:    metav1.ObjectMeta{Name: in.Run.Name(), Namespace: in.Run.Namespace, Labels: in.Run.Labels()},
		account: in.Run.Identity.meta().Name,
		args:    options(in).Args(),
		mounts:  mounts(in),
		before:  dumpContainers(in),
	})
	if in.Inconsistent {
		out.Labels[v1alpha1.LabelSnapshot] = v1alpha1.SnapshotInconsistent
	}
	return out
}

// work holds what differs between the Jobs of the mover.
type work struct {
	Mover
	meta    metav1.ObjectMeta
	account string
	args    []string
	mounts  []mount
	// before run one after the other before the mover.
	before []containerOf
}

// moverJob returns a Job that runs the mover, and retries where that may help.
func moverJob(w work) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: w.meta,
		Spec: batchv1.JobSpec{
			ActiveDeadlineSeconds: cmp.Or(w.Settings.ActiveDeadlineSeconds, new(DefaultDeadlineSeconds)),
			BackoffLimit:          cmp.Or(w.Settings.BackoffLimit, new(defaultBackoffLimit)),
			PodFailurePolicy:      failurePolicy(w),
			Template:              podTemplate(w),
		},
	}
}

// failurePolicy does not count pods that the cluster evicted, and fails the Job at
// once where a retry cannot help, whichever of its containers says so.
func failurePolicy(w work) *batchv1.PodFailurePolicy {
	container := new(ContainerName)
	if len(w.before) > 0 {
		container = nil // all of them run the mover
	}
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action:          batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		},
		{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				ContainerName: container,
				Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn,
				Values:        job.FinalExitCodes(),
			},
		},
	}}
}

func podTemplate(w work) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(w.meta.Labels)}, Spec: podSpec(w)}
}

func podSpec(w work) corev1.PodSpec {
	volumes := make([]corev1.Volume, 0, len(w.mounts))
	for _, m := range w.mounts {
		volumes = append(volumes, corev1.Volume{Name: m.name, VolumeSource: m.source})
	}
	var before []corev1.Container
	for _, c := range w.before {
		before = append(before, c.container(w.Settings))
		volumes = addVolumes(volumes, c.mounts)
	}
	return corev1.PodSpec{
		ServiceAccountName: w.account,
		RestartPolicy:      corev1.RestartPolicyNever,
		SecurityContext:    podSecurityContext(w),
		InitContainers:     before,
		Containers:         []corev1.Container{container(w)},
		Volumes:            volumes,
		NodeSelector:       w.Settings.NodeSelector,
		Tolerations:        w.Settings.Tolerations,
		Affinity:           affinity(w),
		ImagePullSecrets:   w.Settings.ImagePullSecrets,
		PriorityClassName:  w.Settings.PriorityClassName,
	}
}

func container(w work) corev1.Container {
	c := corev1.Container{
		Name:            ContainerName,
		Image:           w.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{job.MoverPath},
		Args:            w.args,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(bool),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	for _, m := range w.mounts {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: m.name, MountPath: m.path, ReadOnly: m.readOnly})
	}
	if len(w.Known) > 0 {
		c.Env = []corev1.EnvVar{{Name: job.KnownVariable, Value: strings.Join(w.Known, ",")}}
	}
	if w.Settings.Resources != nil {
		c.Resources = *w.Settings.Resources
	}
	return c
}

// options returns the mover's options in the Job that is built from in.
func options(in JobInput) job.Options {
	return job.Options{
		Run:             in.Run.ID,
		Volume:          job.VolumePath,
		Objects:         job.ObjectsPath,
		FileStorage:     in.fileStorage(),
		FileBucket:      in.FileBucket != nil,
		FileBucketToken: in.FileBucket.tokenPath(),
		Databases:       in.scratch(),
		Recipient:       in.Recipients,
		Known:           in.Known,
		ProveLinks:      in.ProveLinks,
		Policy:          in.Retention,
		TimeZone:        in.TimeZone,
		Namespace:       in.Run.Namespace,
		Report:          ReportName(in.Run),
	}
}
