package specs

import (
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
)

const (
	volumeTools      = "tools"
	volumePrivate    = "private"
	volumeConnection = "connection-" // and the name of the database
)

// Dump is a database that a run holds.
type Dump struct {
	// Database names it, and its container.
	Database string
	// Image with its client; "": the mover needs none.
	Image string
	// Encrypted: the APIManager says that the connection is.
	Encrypted bool
	// Connection is the copy of the Secret that has the connection, with those of its
	// keys that the connection is read from.
	Connection Copy
}

// scratch is where the mover's own container finds the dumps; "": there are none.
func (in JobInput) scratch() string {
	if len(in.Dumps) == 0 {
		return ""
	}
	return path.Join(job.VolumePath, job.RunScratch(in.Run.ID))
}

// dumpContainers returns the containers that dump the databases of a run, one after the
// other, and before them those that prepare their tools and try their images; nil without
// databases.
func dumpContainers(in JobInput) []containerOf {
	if len(in.Dumps) == 0 {
		return nil
	}
	options := job.PrepareOptions{Run: in.Run.ID, Ended: in.Ended, Volume: job.VolumePath, Tools: job.ToolsPath, Namespace: in.Run.Namespace, Report: ReportName(in.Run)}
	for _, d := range in.Dumps {
		options.Database = append(options.Database, d.Database)
	}
	out := []containerOf{{name: job.PrepareCommand, image: in.Image, command: job.MoverPath, args: options.Args(), mounts: []mount{
		pvcMount(VolumeBackup, job.VolumePath, in.VolumePVC, false),
		{volumeTools, job.ToolsPath, false, emptyDir("")},
	}}}
	if len(in.Dumps) > 1 {
		out = append(out, imageContainers(in.Dumps)...)
	}
	for _, d := range in.Dumps {
		out = append(out, dumpContainer(in, d))
	}
	return out
}

// imageContainers start each of the users' images once, before the first dump. The dumps
// of other databases would lie readable on the volume for as long as an image that is
// misspelt cannot be pulled, and then stay: the Job is killed.
func imageContainers(dumps []Dump) (out []containerOf) {
	for _, d := range dumps {
		if d.Image != "" {
			tools := mount{volumeTools, job.ToolsPath, true, emptyDir("")}
			out = append(out, containerOf{name: d.Database + "-image", image: d.Image, command: job.ToolsMover, args: []string{job.VersionArgument}, mounts: []mount{tools}})
		}
	}
	return out
}

// dumpContainer is the container that dumps d. It sees the login of this database and no
// other. Of the backup volume it sees the directory that takes this dump, and the one that
// tells of failures: no other dump, and no run. For a SQL database it has the user's image,
// in which a copy of the mover runs.
func dumpContainer(in JobInput, d Dump) containerOf {
	options := job.DumpOptions{
		Run:         in.Run.ID,
		Database:    d.Database,
		Connections: job.ConnectionsPath,
		Encrypted:   d.Encrypted,
		Scratch:     job.ScratchPath,
		Failures:    job.FailuresPath,
		Private:     job.PrivatePath,
		Namespace:   in.Run.Namespace,
		Report:      ReportName(in.Run),
	}
	out := containerOf{
		name: d.Database, image: in.Image, command: job.MoverPath, args: options.Args(),
		mounts: []mount{
			pvcMount(VolumeBackup, job.ScratchPath, in.VolumePVC, false),
			pvcMount(VolumeBackup, job.FailuresPath, in.VolumePVC, false),
			{volumePrivate, job.PrivatePath, false, emptyDir(corev1.StorageMediumMemory)},
		},
		subPaths: map[string]string{
			job.ScratchPath:  path.Join(job.RunScratch(in.Run.ID), d.Database),
			job.FailuresPath: path.Join(job.RunScratch(in.Run.ID), job.FailuresFolder),
			job.PrivatePath:  d.Database,
		},
	}
	if len(d.Connection.Keys) > 0 { // without items, the whole Secret would be mounted
		connection := projected(projection(d.Connection.Name, asFiles(d.Connection.Keys)))
		out.mounts = append(out.mounts, mount{volumeConnection + d.Database, path.Join(job.ConnectionsPath, d.Database), true, connection})
	}
	if d.Image != "" {
		out.image, out.command = d.Image, job.ToolsMover
		out.mounts = append(out.mounts, mount{volumeTools, job.ToolsPath, true, emptyDir("")})
	}
	return out
}

// asFiles has a file for each key.
func asFiles(keys []string) []corev1.KeyToPath {
	items := make([]corev1.KeyToPath, 0, len(keys))
	for _, key := range slices.Sorted(slices.Values(keys)) {
		items = append(items, corev1.KeyToPath{Key: key, Path: key})
	}
	return items
}
