package specs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// containerOf is a container that runs before the mover's own.
type containerOf struct {
	name, image, command string
	args                 []string
	mounts               []mount
	// subPaths are the directories of volumes that the container sees in place of the
	// whole, by where it sees them.
	subPaths map[string]string
}

func (c containerOf) container(settings v1alpha1.JobSettings) corev1.Container {
	out := container(work{Mover: Mover{Image: c.image, Settings: settings}, args: c.args, mounts: c.mounts})
	out.Name, out.Command = c.name, []string{c.command}
	for i := range out.VolumeMounts {
		out.VolumeMounts[i].SubPath = c.subPaths[out.VolumeMounts[i].MountPath]
	}
	return out
}

// addVolumes adds the volumes of mounts that are not there yet.
func addVolumes(volumes []corev1.Volume, mounts []mount) []corev1.Volume {
	for _, m := range mounts {
		if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == m.name }) {
			volumes = append(volumes, corev1.Volume{Name: m.name, VolumeSource: m.source})
		}
	}
	return volumes
}

func emptyDir(medium corev1.StorageMedium) corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium}}
}
