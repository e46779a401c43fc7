package specs

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// SettingsPod returns a pod of the mover with these settings and without volumes.
// Checks of spec.job look at it, since it shows which settings reach a pod.
func SettingsPod(settings v1alpha1.JobSettings, assignsUID bool) corev1.PodTemplateSpec {
	return podTemplate(work{Mover: Mover{Settings: settings, AssignsUID: assignsUID}})
}

// podSecurityContext returns the user's, completed by what Pod Security "restricted" and
// OpenShift's restricted-v2 ask for. It adds no UID and no group where the cluster
// assigns them. The kubelet need not walk through a volume whose root has the group.
func podSecurityContext(w work) *corev1.PodSecurityContext {
	sc := cmp.Or(w.Settings.PodSecurityContext.DeepCopy(), &corev1.PodSecurityContext{})
	sc.WindowsOptions = nil // the mover is a Linux program
	sc.RunAsNonRoot = cmp.Or(sc.RunAsNonRoot, new(true))
	sc.SeccompProfile = cmp.Or(sc.SeccompProfile, &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault})
	sc.FSGroupChangePolicy = cmp.Or(sc.FSGroupChangePolicy, new(corev1.FSGroupChangeOnRootMismatch))
	if !w.AssignsUID {
		sc.RunAsUser = cmp.Or(sc.RunAsUser, new(nonRootID))
		sc.RunAsGroup = cmp.Or(sc.RunAsGroup, new(nonRootID))
		sc.FSGroup = cmp.Or(sc.FSGroup, new(nonRootID))
	}
	return sc
}

// mount is a volume of the pod and its place in the container.
type mount struct {
	name     string
	path     string
	readOnly bool
	source   corev1.VolumeSource
}

func mounts(in JobInput) []mount {
	out := []mount{
		pvcMount(VolumeBackup, job.VolumePath, in.VolumePVC, false),
		{volumeObjects, job.ObjectsPath, true, projected(projections(in)...)},
	}
	if in.FileStoragePVC != "" {
		out = append(out, pvcMount(volumeFileStorage, job.FileStoragePath, in.FileStoragePVC, true))
	}
	return append(out, in.FileBucket.mounts()...)
}

// pvcMount mounts a PersistentVolumeClaim. Where it is read-only, the volume
// says so and not only the mount: otherwise the kubelet would change the owners of
// the live volume's files to the pod's fsGroup.
func pvcMount(name, path, pvc string, readOnly bool) mount {
	source := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pvc, ReadOnly: readOnly}
	return mount{name, path, readOnly, corev1.VolumeSource{PersistentVolumeClaim: source}}
}

// sourceMount mounts a backup volume for reading. Where the cluster assigns
// groups, the files may still have the group of another namespace. Only the
// kubelet can change that, and it leaves a read-only volume as it is. The same
// goes for SELinux labels.
func sourceMount(pvc string, assignsUID, readOnly bool) mount {
	m := pvcMount(VolumeBackup, job.VolumePath, pvc, readOnly || !assignsUID)
	m.readOnly = true
	return m
}

func projected(sources ...corev1.VolumeProjection) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(snapshotMode), Sources: sources}}
}

func projections(in JobInput) []corev1.VolumeProjection {
	objects := make([]corev1.KeyToPath, 0, len(in.Files))
	for _, path := range slices.Sorted(slices.Values(in.Files)) {
		objects = append(objects, corev1.KeyToPath{Key: ObjectKey(path), Path: path})
	}
	out := []corev1.VolumeProjection{projection(objectsSecretName(in.Run), objects)}
	for _, c := range in.Copies {
		if len(c.Keys) == 0 {
			continue // nothing to mount; its metadata are among the objects
		}
		items := make([]corev1.KeyToPath, 0, len(c.Keys))
		for _, key := range slices.Sorted(slices.Values(c.Keys)) {
			items = append(items, corev1.KeyToPath{Key: key, Path: job.SecretKeyFile(c.Source, key)})
		}
		out = append(out, projection(c.Name, items))
	}
	return out
}

func projection(name string, items []corev1.KeyToPath) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items,
	}}
}

// affinity returns the user's affinity, with the further requirement that the pod
// runs on the node of a pod that mounts the file storage.
func affinity(w work) *corev1.Affinity {
	if w.FileStorageBeside == nil {
		return w.Settings.Affinity
	}
	out := cmp.Or(w.Settings.Affinity.DeepCopy(), &corev1.Affinity{})
	out.PodAffinity = cmp.Or(out.PodAffinity, &corev1.PodAffinity{})
	required := &out.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	*required = append(*required, corev1.PodAffinityTerm{LabelSelector: w.FileStorageBeside, TopologyKey: corev1.LabelHostname})
	return out
}
