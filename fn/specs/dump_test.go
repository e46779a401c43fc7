package specs

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
)

// TestDumpContainers: one after the other, each with the image that it needs, and all of
// them under the settings of the pod.
func TestDumpContainers(t *testing.T) {
	in := databasesInput()
	pod := Job(in).Spec.Template.Spec
	type container struct{ name, image, command, subcommand string }
	var got []container
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		got = append(got, container{c.Name, c.Image, c.Command[0], c.Args[0]})
		assert.Equal(t, *in.Settings.Resources, c.Resources, c.Name)
	}
	assert.Equal(t, []container{
		{"prepare", in.Image, job.MoverPath, job.PrepareCommand},
		{"system-database-image", in.Dumps[1].Image, job.ToolsMover, job.VersionArgument},
		{"backend-redis", in.Image, job.MoverPath, job.DumpCommand},
		{"system-database", in.Dumps[1].Image, job.ToolsMover, job.DumpCommand},
		{ContainerName, in.Image, job.MoverPath, job.BackupCommand},
	}, got)
	assert.Nil(t, Job(in).Spec.PodFailurePolicy.Rules[1].OnExitCodes.ContainerName, "all of them fail in the mover's way")
	assert.Empty(t, Job(fullInput()).Spec.Template.Spec.InitContainers)
}

// TestImagesBeforeDumps: while an image cannot be pulled, nothing readable is on the
// volume; and the try of an image sees nothing.
func TestImagesBeforeDumps(t *testing.T) {
	in := databasesInput()
	tried := Job(in).Spec.Template.Spec.InitContainers[1]
	require.Len(t, tried.VolumeMounts, 1)
	assert.Equal(t, corev1.VolumeMount{Name: volumeTools, MountPath: job.ToolsPath, ReadOnly: true}, tried.VolumeMounts[0])
	assert.Equal(t, []string{job.VersionArgument}, tried.Args)

	in.Dumps = in.Dumps[1:]
	var names []string
	for _, c := range Job(in).Spec.Template.Spec.InitContainers {
		names = append(names, c.Name)
	}
	assert.Equal(t, []string{"prepare", "system-database"}, names, "a single dump shows by itself whether its image can be pulled")
}

// TestDumpContainerSees: a user's image runs there, so it sees the login of its own
// database alone, and no run.
func TestDumpContainerSees(t *testing.T) {
	in := databasesInput()
	pod := Job(in).Spec.Template.Spec
	volumes := map[string]corev1.VolumeSource{}
	for _, v := range pod.Volumes {
		require.NotContains(t, volumes, v.Name)
		volumes[v.Name] = v.VolumeSource
	}
	for i, d := range in.Dumps {
		c := pod.InitContainers[i+2] // after prepare, and the one that tries an image
		require.Equal(t, d.Database, c.Name)
		var connections []string
		seen := map[string]string{}
		for _, m := range c.VolumeMounts {
			switch source := volumes[m.Name]; {
			case source.PersistentVolumeClaim != nil:
				seen[m.MountPath] = m.SubPath
				assert.Equal(t, VolumeBackup, m.Name)
			case source.Projected != nil:
				connections = append(connections, m.MountPath)
				require.Len(t, source.Projected.Sources, 1)
				secret := source.Projected.Sources[0].Secret
				assert.Equal(t, SecretCopyName(in.Run, d.Connection.Source), secret.Name, "of the snapshot")
				var keys []string
				for _, item := range secret.Items {
					keys = append(keys, item.Key)
					assert.Equal(t, item.Key, item.Path)
				}
				assert.ElementsMatch(t, d.Connection.Keys, keys, "what the connection is read from, and not all of the Secret")
				assert.True(t, m.ReadOnly)
			case m.Name == volumePrivate:
				assert.Equal(t, d.Database, m.SubPath, "another one may have been killed before it removed its files")
				assert.Equal(t, corev1.StorageMediumMemory, source.EmptyDir.Medium, "no login reaches a disk")
			default:
				assert.Equal(t, volumeTools, m.Name)
				assert.True(t, m.ReadOnly, "the next one runs what is in it")
			}
		}
		assert.Equal(t, []string{path.Join(job.ConnectionsPath, d.Database)}, connections)
		scratch := ".scratch/" + in.Run.ID
		assert.Equal(t, map[string]string{job.ScratchPath: scratch + "/" + d.Database, job.FailuresPath: scratch + "/failures"}, seen, "no other dump, and no run")
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		assert.False(t, strings.HasPrefix(m.Name, volumeConnection) || m.Name == volumePrivate || m.Name == volumeTools, "%s in the mover's own container", m.Name)
	}
}

// TestDumpWithoutKeys: a projection without items would mount the whole Secret.
func TestDumpWithoutKeys(t *testing.T) {
	in := databasesInput()
	in.Dumps[0].Connection.Keys = nil
	for _, v := range Job(in).Spec.Template.Spec.Volumes {
		assert.NotEqual(t, volumeConnection+in.Dumps[0].Database, v.Name)
	}
}

// TestDumpOptions: what the containers are told is mounted where they are told.
func TestDumpOptions(t *testing.T) {
	in := databasesInput()
	pod := Job(in).Spec.Template.Spec
	report := ReportName(in.Run)
	assert.Equal(t, job.PrepareOptions{Run: in.Run.ID, Ended: in.Ended, Database: []string{"backend-redis", "system-database"}, Volume: job.VolumePath, Tools: job.ToolsPath, Namespace: "3scale", Report: report}.Args(), pod.InitContainers[0].Args)
	assert.Equal(t, job.DumpOptions{
		Run: in.Run.ID, Database: "system-database", Connections: job.ConnectionsPath, Encrypted: true, Scratch: job.ScratchPath, Failures: job.FailuresPath, Private: job.PrivatePath,
		Namespace: "3scale", Report: report,
	}.Args(), pod.InitContainers[3].Args)
	assert.Equal(t, path.Join(job.VolumePath, job.RunScratch(in.Run.ID)), options(in).Databases)
	assert.Empty(t, options(fullInput()).Databases)
}
