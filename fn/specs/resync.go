package specs

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Resyncing has Zync make its Routes again.
const Resyncing Action = "resync"

// resyncCommand enqueues an event for each domain in System's database, from
// which Zync makes the Routes (3scale/porta: lib/tasks/zync.rake). The operator's
// own restore runs the same (pkg/restore/apimanager_restore.go:396-406).
const resyncCommand = "bundle exec rake zync:resync:domains"

// The command only enqueues, and spends most of its time on starting Rails. A pod
// that cannot start is reported after the deadline.
const (
	resyncDeadlineSeconds int64 = 900
	resyncBackoffLimit    int32 = 2
)

// ResyncInput is all that the Job of a resync is made of.
type ResyncInput struct {
	Step Step
	// Template is that of sidekiq's Deployment or DeploymentConfig. It is not changed.
	Template corev1.PodTemplateSpec
	// Container is the name of sidekiq's container; without it, the first is taken.
	Container string
	// FileStorage is the name of the volume that holds the System file storage.
	FileStorage string
}

// ResyncJob returns the Job that has Zync make its Routes again, in the
// environment of sidekiq.
//
// Its pod has the step's labels and no other, so that no Service, Deployment or
// PodDisruptionBudget of 3scale counts it as one of its own. It does without
// what only a server needs (probes, ports, hooks, sidecars), and without the
// file storage, which the command does not read and which might not be mountable
// on another node.
func ResyncJob(in ResyncInput) *batchv1.Job {
	spec := in.Template.Spec.DeepCopy()
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.TerminationGracePeriodSeconds, spec.ActiveDeadlineSeconds = nil, nil
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == in.FileStorage })
	spec.InitContainers = slices.DeleteFunc(spec.InitContainers, isSidecar)
	spec.Containers = in.containers(spec.Containers)
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			in.strip(&containers[i])
		}
	}
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: in.Step.meta(in.Step.Name()),
		Spec: batchv1.JobSpec{
			ActiveDeadlineSeconds: new(resyncDeadlineSeconds),
			BackoffLimit:          new(resyncBackoffLimit),
			Template:              corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: in.Step.Labels()}, Spec: *spec},
		},
	}
}

// containers returns sidekiq's container alone, with other arguments: the image's
// own entrypoint puts System's configuration files in place, for the operator's
// hook Jobs too (component/system.go: SystemAppPreHookJob; 3scale/porta:
// openshift/system/entrypoint.sh).
func (in ResyncInput) containers(all []corev1.Container) []corev1.Container {
	if len(all) == 0 {
		return nil
	}
	at := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == in.Container })
	c := all[max(at, 0)]
	c.Command, c.Args = nil, []string{"bash", "-c", resyncCommand}
	return []corev1.Container{c}
}

// strip removes from a container what only a server needs, and the mount of the
// file storage.
func (in ResyncInput) strip(c *corev1.Container) {
	c.LivenessProbe, c.ReadinessProbe, c.StartupProbe, c.Lifecycle, c.Ports = nil, nil, nil, nil, nil
	c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == in.FileStorage })
}

// isSidecar reports whether an init container never ends by itself.
func isSidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}
