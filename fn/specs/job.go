package specs

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
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
	Run   Run
	Image string
	// VolumeClaim is the PersistentVolumeClaim of the backup volume.
	VolumeClaim string
	// FileStorageClaim is that of the System file storage; "" skips it.
	FileStorageClaim string
	// FileStorageBeside selects a pod on whose node the Job's pod must
	// run, since the file storage cannot be shared between nodes; else nil.
	FileStorageBeside *metav1.LabelSelector
	// Files are the paths of ObjectsSecret.
	Files []string
	// Copies are the Secrets of the snapshot.
	Copies     []Copy
	Recipients []string
	// Known has the job.KnownManifest of each earlier run.
	Known []string
	// ProveLinks makes the mover read a stored file before it links to it.
	ProveLinks bool
	// Retention is applied once this run has verified.
	Retention job.Retention
	Settings  v1alpha1.JobSettings
	// Inconsistent: the objects of the snapshot are of different moments.
	Inconsistent bool
	// AssignsUID: the cluster assigns UIDs and groups to the pods of the namespace
	// (OpenShift), so that the Job must set none.
	AssignsUID bool
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
	labels := in.Run.Labels()
	if in.Inconsistent {
		labels[v1alpha1.LabelSnapshot] = v1alpha1.SnapshotInconsistent
	}
	return moverJob(work{
		meta:           metav1.ObjectMeta{Name: in.Run.Name(), Namespace: in.Run.Namespace, Labels: labels},
		podLabels:      in.Run.Labels(),
		serviceAccount: ServiceAccount(in.Run.Identity()).Name,
		image:          in.Image,
		args:           Options(in).Args(),
		known:          in.Known,
		mounts:         mounts(in),
		beside:         in.FileStorageBeside,
		settings:       in.Settings,
		assignsUID:     in.AssignsUID,
	})
}

// work holds what differs between the Jobs of the mover.
type work struct {
	meta           metav1.ObjectMeta
	podLabels      map[string]string
	serviceAccount string
	image          string
	args           []string
	known          []string // texts of job.KnownManifest
	mounts         []mount
	beside         *metav1.LabelSelector // a pod on whose node the Job's pod must run; nil: any node
	settings       v1alpha1.JobSettings
	assignsUID     bool
}

// moverJob returns a Job that runs the mover, and retries where that may help.
func moverJob(w work) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: w.meta,
		Spec: batchv1.JobSpec{
			ActiveDeadlineSeconds: orDefault(w.settings.ActiveDeadlineSeconds, DefaultDeadlineSeconds),
			BackoffLimit:          orDefault(w.settings.BackoffLimit, defaultBackoffLimit),
			PodFailurePolicy:      failurePolicy(),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: w.podLabels},
				Spec:       podSpec(w),
			},
		},
	}
}

func orDefault[T any](value *T, otherwise T) *T {
	if value != nil {
		return value
	}
	return &otherwise
}

// failurePolicy does not count pods that the cluster evicted, and fails the Job at
// once where a retry cannot help.
func failurePolicy() *batchv1.PodFailurePolicy {
	container := ContainerName
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			}},
		},
		{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				ContainerName: &container,
				Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn,
				Values:        job.FinalExitCodes(),
			},
		},
	}}
}

func podSpec(w work) corev1.PodSpec {
	volumes := make([]corev1.Volume, 0, len(w.mounts))
	for _, m := range w.mounts {
		volumes = append(volumes, corev1.Volume{Name: m.name, VolumeSource: m.source})
	}
	return corev1.PodSpec{
		ServiceAccountName: w.serviceAccount,
		RestartPolicy:      corev1.RestartPolicyNever,
		SecurityContext:    podSecurityContext(w),
		Containers:         []corev1.Container{container(w)},
		Volumes:            volumes,
		NodeSelector:       w.settings.NodeSelector,
		Tolerations:        w.settings.Tolerations,
		Affinity:           affinity(w),
		ImagePullSecrets:   w.settings.ImagePullSecrets,
		PriorityClassName:  w.settings.PriorityClassName,
	}
}

func container(w work) corev1.Container {
	c := corev1.Container{
		Name:            ContainerName,
		Image:           w.image,
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
	if len(w.known) > 0 {
		c.Env = []corev1.EnvVar{{Name: job.KnownVariable, Value: strings.Join(w.known, ",")}}
	}
	if w.settings.Resources != nil {
		c.Resources = *w.settings.Resources
	}
	return c
}

// Options returns the mover's options in the Job that is built from in.
func Options(in JobInput) job.Options {
	o := job.Options{
		Run:        in.Run.ID,
		Volume:     job.VolumePath,
		Objects:    job.ObjectsPath,
		Recipient:  in.Recipients,
		Known:      in.Known,
		ProveLinks: in.ProveLinks,
		Retention:  in.Retention,
		Namespace:  in.Run.Namespace,
		Report:     ReportName(in.Run),
	}
	if in.FileStorageClaim != "" {
		o.FileStorage = job.FileStoragePath
	}
	return o
}
