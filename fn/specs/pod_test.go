package specs

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestRestricted checks each control of the Pod Security Standard "restricted",
// https://kubernetes.io/docs/concepts/security/pod-security-standards/.
func TestRestricted(t *testing.T) {
	full := fullInput()
	full.Settings.PodSecurityContext = nil
	openShift := plainInput()
	openShift.AssignsUID = true
	inspect, refill := fullInspect(), fullRefill()
	inspect.Settings.PodSecurityContext, refill.AssignsUID = nil, true
	databases := databasesInput()
	databases.Settings.PodSecurityContext = nil
	jobs := map[string]*batchv1.Job{
		"Databases": Job(databases),
		"Plain":     Job(plainInput()), "All": Job(full), "OpenShift": Job(openShift),
		"Inspect": InspectJob(inspect), "Refill": RefillJob(refill), "Verify": VerifyJob(plainVerify()),
	}
	for name, made := range jobs {
		t.Run(name, func(t *testing.T) {
			pod := made.Spec.Template.Spec
			assert.False(t, pod.HostNetwork || pod.HostPID || pod.HostIPC, "host namespaces")
			assert.Nil(t, pod.HostUsers)
			for _, v := range pod.Volumes {
				assert.True(t, v.PersistentVolumeClaim != nil || v.Projected != nil || v.EmptyDir != nil, "volume types")
			}
			sc := pod.SecurityContext
			assert.True(t, *sc.RunAsNonRoot, "running as non-root")
			assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, sc.SeccompProfile.Type, "seccomp")
			assert.Nil(t, sc.SELinuxOptions, "SELinux")
			assert.Nil(t, sc.AppArmorProfile, "AppArmor")
			assert.Empty(t, sc.Sysctls, "sysctls")
			assert.Nil(t, sc.WindowsOptions, "HostProcess")
			if sc.RunAsUser != nil {
				assert.NotZero(t, *sc.RunAsUser, "running as a non-root user")
			}
			assert.Equal(t, name == "Databases", len(pod.InitContainers) > 0)
			assert.Len(t, pod.Containers, 1)
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation, "privilege escalation")
				assert.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, "capabilities")
				assert.Empty(t, c.SecurityContext.Capabilities.Add)
				assert.Nil(t, c.SecurityContext.Privileged, "privileged containers")
				assert.Nil(t, c.SecurityContext.ProcMount, "/proc mount type")
				assert.Nil(t, c.SecurityContext.RunAsUser)
				assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
				assert.Empty(t, c.Ports, "host ports")
				for _, variable := range c.Env {
					assert.Equal(t, job.KnownVariable, variable.Name, "nothing secret in an environment")
				}
				mover := job.MoverPath
				if c.Image != made.Spec.Template.Spec.Containers[0].Image {
					mover = job.ToolsMover
				}
				assert.Equal(t, []string{mover}, c.Command, "not the function, which lies in the same image, and nothing of a user's image")
			}
		})
	}
}

// TestPodSecurityContext: a user replaces single fields, not the whole.
func TestPodSecurityContext(t *testing.T) {
	user := &corev1.PodSecurityContext{
		RunAsUser: new(int64(1)), RunAsGroup: new(int64(2)), RunAsNonRoot: new(false), FSGroup: new(int64(3)),
		FSGroupChangePolicy: new(corev1.FSGroupChangeAlways), SupplementalGroupsPolicy: new(corev1.SupplementalGroupsPolicyStrict),
		SeccompProfile:  &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
		AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault},
		SELinuxOptions:  &corev1.SELinuxOptions{Level: "s0:c1"}, SELinuxChangePolicy: new(corev1.SELinuxChangePolicyRecursive),
		SupplementalGroups: []int64{4}, Sysctls: []corev1.Sysctl{{Name: "a", Value: "b"}},
	}
	in := plainInput()
	in.Settings.PodSecurityContext = user
	assert.Equal(t, user, Job(in).Spec.Template.Spec.SecurityContext, "every field that Linux pods have can be replaced")

	in.Settings.PodSecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1))}
	sc := Job(in).Spec.Template.Spec.SecurityContext
	assert.Equal(t, int64(1), *sc.RunAsUser)
	assert.Equal(t, nonRootID, *sc.FSGroup)
	assert.True(t, *sc.RunAsNonRoot)
}

// TestFailurePolicy: what cannot get better is not tried again, and a node that
// goes away does not count.
func TestFailurePolicy(t *testing.T) {
	spec := Job(plainInput()).Spec
	assert.Equal(t, corev1.RestartPolicyNever, spec.Template.Spec.RestartPolicy, "a failure policy needs it")
	assert.Equal(t, []int32{job.ExitUsage, job.ExitIntegrity, job.ExitCannotCreate, job.ExitNoPermission}, spec.PodFailurePolicy.Rules[1].OnExitCodes.Values)
	for _, temporary := range []int32{job.ExitIO, job.ExitTemporary} {
		assert.NotContains(t, spec.PodFailurePolicy.Rules[1].OnExitCodes.Values, temporary, "a retry may help")
	}
	assert.Equal(t, ContainerName, *spec.PodFailurePolicy.Rules[1].OnExitCodes.ContainerName)
	assert.Nil(t, spec.TTLSecondsAfterFinished)
}

// TestOptions: the pod's command line says where its volumes are mounted.
func TestOptions(t *testing.T) {
	for name, in := range map[string]JobInput{"Plain": plainInput(), "All": fullInput()} {
		t.Run(name, func(t *testing.T) {
			o := options(in)
			pod := Job(in).Spec.Template.Spec
			assert.Equal(t, o.Args(), pod.Containers[0].Args)
			mounted := map[string]bool{}
			for _, mount := range pod.Containers[0].VolumeMounts {
				mounted[mount.MountPath] = mount.ReadOnly
			}
			assert.Equal(t, map[string]bool{o.Volume: false, o.Objects: true, o.FileStorage: true}, mounted)
			assert.Equal(t, Report(in.Run, "").Name, o.Report, "all attempts of a run share its report")
			assert.Equal(t, []string{o.Report}, Role(in.Run.Identity, ReportName(in.Run)).Rules[0].ResourceNames)
		})
	}
}

// TestFileBucket: the pod mounts no file storage where that is in S3, and has a token only for a role.
func TestFileBucket(t *testing.T) {
	for name, audience := range map[string]string{"keys": "", "role": "openshift"} {
		in := plainInput()
		in.FileStoragePVC, in.FileBucket = "", &FileBucket{Audience: audience}
		pod := Job(in).Spec.Template.Spec
		o := options(in)
		assert.True(t, o.FileBucket, name)
		assert.Empty(t, o.FileStorage, name)
		var tokens []corev1.ServiceAccountTokenProjection
		for _, volume := range pod.Volumes {
			if volume.Projected == nil {
				continue
			}
			for _, source := range volume.Projected.Sources {
				if source.ServiceAccountToken != nil {
					tokens = append(tokens, *source.ServiceAccountToken)
				}
			}
		}
		if audience == "" {
			assert.Empty(t, tokens, name)
			assert.Empty(t, o.FileBucketToken, name)
			continue
		}
		assert.Equal(t, []corev1.ServiceAccountTokenProjection{{Audience: audience, Path: "token"}}, tokens, name)
		assert.Equal(t, job.FileBucketTokenPath, o.FileBucketToken, name)
		mounts := pod.Containers[0].VolumeMounts
		assert.Equal(t, corev1.VolumeMount{Name: "file-bucket-identity", MountPath: job.FileBucketTokenPath, ReadOnly: true}, mounts[len(mounts)-1], name)
	}
}

// TestSettingsDefaults: no wait is for ever.
func TestSettingsDefaults(t *testing.T) {
	spec := Job(plainInput()).Spec
	assert.Equal(t, int64(21600), *spec.ActiveDeadlineSeconds)
	assert.Equal(t, int32(3), *spec.BackoffLimit)
	in := plainInput()
	in.Settings = v1alpha1.JobSettings{BackoffLimit: new(int32(0))}
	assert.Zero(t, *Job(in).Spec.BackoffLimit, "none is not the default")
}
