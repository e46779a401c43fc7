package specs

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
)

// TestWhoSeesWhat: an image that a user names sees the login of its own database, and neither the backup nor what
// decrypts it.
func TestWhoSeesWhat(t *testing.T) {
	writable := func(c corev1.Container) (out []string) {
		for _, m := range c.VolumeMounts {
			if !m.ReadOnly {
				out = append(out, m.Name)
			}
		}
		return out
	}
	names := func(c corev1.Container) (out []string) {
		for _, m := range c.VolumeMounts {
			out = append(out, m.Name)
		}
		return out
	}
	for name, in := range map[string]LoadInput{"Run": plainLoad(), "Live": fullLoad()} {
		t.Run(name, func(t *testing.T) {
			pod := LoadJob(in).Spec.Template.Spec
			require.Len(t, pod.InitContainers, 2)
			extract, system, last := pod.InitContainers[0], pod.InitContainers[1], pod.Containers[0]

			assert.Equal(t, in.Image, extract.Image)
			assert.Equal(t, "registry.example.com/postgresql-15:1", system.Image)
			assert.Equal(t, []string{job.ToolsMover}, system.Command, "no shell is needed")
			assert.Equal(t, "system-database", system.Name)
			assert.Equal(t, in.Image, last.Image)

			assert.ElementsMatch(t, []string{volumeDumps, volumePrivate, volumeTools, "connection-system-database"}, names(system))
			assert.ElementsMatch(t, []string{volumeDumps, volumePrivate, "connection-backend-redis"}, names(last))
			assert.ElementsMatch(t, []string{volumeDumps, volumePrivate}, writable(system), "the mover that others run is not its to change")
			assert.NotContains(t, names(extract), volumePrivate)
			for _, m := range append(names(system), names(last)...) {
				assert.NotContains(t, []string{VolumeBackup, volumeIdentities, volumeFileStorage, volumeBucketCredentials}, m)
			}
			for _, c := range append(slices.Clone(pod.InitContainers), last) {
				for _, m := range c.VolumeMounts {
					assert.True(t, slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }), m.Name)
				}
				assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
			}
			assert.Empty(t, podpolicy.Check(v1alpha1.Allow{}, "3scale", LoadJob(plainLoad()).Spec.Template), "every container meets Pod Security")
		})
	}
}

// TestOnePodLoads: a second one would find databases that are not empty any more.
func TestOnePodLoads(t *testing.T) {
	spec := LoadJob(fullLoad()).Spec
	assert.Zero(t, *spec.BackoffLimit)
	assert.Nil(t, spec.PodFailurePolicy, "not even a pod that was evicted is replaced")
}

// TestLastLoadKnowsAll: only the last container says that the load is complete.
func TestLastLoadKnowsAll(t *testing.T) {
	pod := LoadJob(plainLoad()).Spec.Template.Spec
	assert.Contains(t, pod.Containers[0].Args, "--whole=system-database")
	assert.Contains(t, pod.Containers[0].Args, "--database=backend-redis")
	assert.NotContains(t, pod.Containers[0].Args, "--database=system-database")
	sql := strings.Join(pod.InitContainers[1].Args, " ")
	assert.NotContains(t, sql, "--whole")
	assert.Contains(t, sql, "--encrypted=system-database")
	in := plainLoad()
	in.Databases[1].Loaded = true
	pod = LoadJob(in).Spec.Template.Spec
	assert.Contains(t, pod.InitContainers[1].Args, "--loaded=system-database", "its mark is to go")
	assert.NotContains(t, strings.Join(pod.Containers[0].Args, " "), "--loaded")
	in = plainLoad()
	in.Databases = in.Databases[1:]
	pod = LoadJob(in).Spec.Template.Spec
	assert.NotContains(t, strings.Join(pod.Containers[0].Args, " "), "--database=", "it only reports")
}

// TestSecretsOfConnections: of a Secret, only what a connection is made of is mounted, and where the connections are
// in the run, nothing.
func TestSecretsOfConnections(t *testing.T) {
	live := InspectJob(liveInspect()).Spec.Template.Spec
	var mounted []string
	for _, v := range live.Volumes {
		if strings.HasPrefix(v.Name, volumeConnection) {
			mounted = append(mounted, v.Name)
			require.Len(t, v.Projected.Sources[0].Secret.Items, 2)
		}
	}
	assert.Equal(t, []string{"connection-system-database"}, mounted, "one without keys would be mounted whole")
	assert.Contains(t, live.Containers[0].Args, "--connections=/connections")
	for _, arg := range inspectOptions(InspectInput{StepInput: plainStep(Inspecting), Databases: v1alpha1.DatabasesSkip}).Args() {
		assert.False(t, strings.HasPrefix(arg, "--connections"), arg)
	}
}
