package specs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// SettingsPod returns the pod of a Job of the mover with these settings and no
// volume: what of the settings reaches a pod, for those who check it.
func SettingsPod(settings v1alpha1.JobSettings, assignsUID bool) corev1.PodTemplateSpec {
	return moverJob(work{settings: settings, assignsUID: assignsUID}).Spec.Template
}

// podSecurityContext meets Pod Security "restricted" and OpenShift's
// restricted-v2. Where the cluster assigns UIDs it sets none; also there, a
// volume that has the group already is not walked through at each start.
func podSecurityContext(w work) *corev1.PodSecurityContext {
	sc := &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},

		FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
	}
	if !w.assignsUID {
		sc.RunAsUser = new(nonRootID)
		sc.RunAsGroup = new(nonRootID)
		sc.FSGroup = new(nonRootID)
	}
	overlay(sc, w.settings.PodSecurityContext)
	return sc
}

// overlay replaces in sc what the user set.
func overlay(sc, user *corev1.PodSecurityContext) {
	if user == nil {
		return
	}
	set(&sc.RunAsUser, user.RunAsUser)
	set(&sc.RunAsGroup, user.RunAsGroup)
	set(&sc.RunAsNonRoot, user.RunAsNonRoot)
	set(&sc.FSGroup, user.FSGroup)
	set(&sc.FSGroupChangePolicy, user.FSGroupChangePolicy)
	set(&sc.SupplementalGroupsPolicy, user.SupplementalGroupsPolicy)
	set(&sc.SeccompProfile, user.SeccompProfile)
	set(&sc.AppArmorProfile, user.AppArmorProfile)
	set(&sc.SELinuxOptions, user.SELinuxOptions)
	set(&sc.SELinuxChangePolicy, user.SELinuxChangePolicy)
	if user.SupplementalGroups != nil {
		sc.SupplementalGroups = user.SupplementalGroups
	}
	if user.Sysctls != nil {
		sc.Sysctls = user.Sysctls
	}
}

func set[T any](field **T, value *T) {
	if value != nil {
		*field = value
	}
}

// mount is a volume of the pod and where its container has it.
type mount struct {
	name     string
	path     string
	readOnly bool
	source   corev1.VolumeSource
}

func mounts(in JobInput) []mount {
	out := []mount{
		claimMount(VolumeBackup, job.VolumePath, in.VolumeClaim, false),
		{name: volumeObjects, path: job.ObjectsPath, readOnly: true, source: projected(projections(in))},
	}
	if in.FileStorageClaim != "" {
		out = append(out, claimMount(volumeFileStorage, job.FileStoragePath, in.FileStorageClaim, true))
	}
	return out
}

// claimMount mounts a PersistentVolumeClaim. What is read-only is so in the
// claim and not only in the mount: else the kubelet would change the owners of
// the live volume's files to the pod's fsGroup.
func claimMount(name, path, claimName string, readOnly bool) mount {
	return mount{name: name, path: path, readOnly: readOnly, source: claim(claimName, readOnly)}
}

// sourceMount mounts a backup volume to read it. Where the cluster assigns
// groups, the volume may still be of another namespace's, and only the kubelet
// can give it to the pod's, which it does to no claim that is read-only (and so
// it is with SELinux labels).
func sourceMount(claimName string, assignsUID, readOnlyClaim bool) mount {
	m := claimMount(VolumeBackup, job.VolumePath, claimName, readOnlyClaim || !assignsUID)
	m.readOnly = true
	return m
}

func projected(sources []corev1.VolumeProjection) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(snapshotMode), Sources: sources}}
}

func claim(name string, readOnly bool) corev1.VolumeSource {
	return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{
		ClaimName: name, ReadOnly: readOnly,
	}}
}

func projections(in JobInput) []corev1.VolumeProjection {
	objects := make([]corev1.KeyToPath, 0, len(in.Files))
	for _, path := range slices.Sorted(slices.Values(in.Files)) {
		objects = append(objects, corev1.KeyToPath{Key: ObjectKey(path), Path: path})
	}
	out := []corev1.VolumeProjection{projection(ObjectsSecretName(in.Run), objects)}
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

// affinity adds to the user's that the pod runs beside one that mounts the
// file storage.
func affinity(w work) *corev1.Affinity {
	if w.beside == nil {
		return w.settings.Affinity
	}
	out := &corev1.Affinity{}
	if w.settings.Affinity != nil {
		out = w.settings.Affinity.DeepCopy()
	}
	if out.PodAffinity == nil {
		out.PodAffinity = &corev1.PodAffinity{}
	}
	required := &out.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	*required = append(*required, corev1.PodAffinityTerm{
		LabelSelector: w.beside,
		TopologyKey:   corev1.LabelHostname,
	})
	return out
}
