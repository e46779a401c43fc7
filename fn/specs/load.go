package specs

import (
	"path"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// Loading writes the databases.
const Loading Action = job.LoadCommand

const volumeDumps = "dumps"

// Connections are the Secrets of the namespace that lead to its databases.
type Connections struct {
	// Live: they are meant. Otherwise those of the run are, and Secrets is empty.
	Live bool
	// Secrets are those that exist.
	Secrets []Connection
}

// Connection is the Secret that leads to a database.
type Connection struct {
	Database string
	Secret   string
	// Keys of it that the connection is made of; the others are not mounted.
	Keys []string
}

// mounts returns those of the Secrets of the given databases; of all of them, if none is given.
func (c Connections) mounts(databases ...string) []mount {
	var out []mount
	for _, connection := range c.Secrets {
		if len(connection.Keys) == 0 || len(databases) > 0 && !slices.Contains(databases, connection.Database) {
			continue // without items, the whole Secret would be mounted
		}
		out = append(out, connectionMount(connection.Database, true, projected(projection(connection.Secret, asFiles(connection.Keys)))))
	}
	return out
}

func connectionMount(database string, readOnly bool, source corev1.VolumeSource) mount {
	return mount{volumeConnection + database, path.Join(job.ConnectionsPath, database), readOnly, source}
}

// path returns where the connections are mounted; "" if they are those of the run.
func (c Connections) path() string {
	if !c.Live {
		return ""
	}
	return job.ConnectionsPath
}

// LoadInput is what the Job that loads databases is built from.
type LoadInput struct {
	StepInput
	// Policy is what to do with a database that is not empty: IfEmpty or Replace.
	Policy v1alpha1.DatabasesPolicy
	// Databases are loaded in this order, but for those without an image, which come last.
	Databases   []LoadDatabase
	Connections Connections
	// Scratch holds the dumps meanwhile; nil: the node does.
	Scratch *v1alpha1.ScratchVolume
}

// LoadDatabase is a database to load.
type LoadDatabase struct {
	Name string
	// Image with its client; "": the mover needs none.
	Image string
	// Encrypted: the APIManager says that the connection is.
	Encrypted bool
	// Loaded: this attempt has loaded it, and may have left its mark.
	Loaded bool
}

// LoadJob returns the Job that loads databases. Its pod has a container for each that needs a client, with the user's
// image, which sees the dumps, the login of its own database, and no volume. One pod runs, and no other in its place:
// what it has loaded is not empty any more, which the next one must be told.
func LoadJob(in LoadInput) *batchv1.Job {
	in.FileStoragePVC, in.FileStorageBeside, in.FileBucket = "", nil, nil
	var own []LoadDatabase // those that the mover loads itself
	before := []containerOf{in.extract()}
	for _, d := range in.Databases {
		if d.Image == "" {
			own = append(own, d)
			continue
		}
		before = append(before, in.client(d))
	}
	out := moverJob(work{
		Mover:   in.Mover,
		meta:    in.Step.meta(in.Step.Name()),
		account: in.Step.Name(),
		args:    in.options(own, in.names()).Args(),
		mounts:  in.loadMounts(own...),
		before:  before,
	})
	out.Spec.BackoffLimit, out.Spec.PodFailurePolicy = new(int32), nil
	if in.Bucket == nil {
		out.Labels[v1alpha1.LabelReads] = LabelValue(in.VolumePVC)
	}
	return out
}

// client is the container that loads a database with the client in the user's image, in which a copy of the mover runs.
func (in LoadInput) client(d LoadDatabase) containerOf {
	return containerOf{
		name: d.Name, image: d.Image, command: job.ToolsMover, args: in.options([]LoadDatabase{d}, nil).Args(),
		mounts:   append(in.loadMounts(d), mount{volumeTools, job.ToolsPath, true, emptyDir("")}),
		subPaths: map[string]string{job.PrivatePath: d.Name},
	}
}

// extract is the container that reads the run: the only one with the backup and with what decrypts it.
func (in LoadInput) extract() containerOf {
	mounts := append(in.sourceMounts(), in.Identities.mount()...)
	mounts = append(mounts, mount{volumeTools, job.ToolsPath, false, emptyDir("")}, in.dumps())
	volume, bucket := in.source()
	options := job.ExtractOptions{
		Run:            in.Run,
		Volume:         volume,
		BucketOptions:  bucket,
		ManifestSHA256: in.ManifestSHA256,
		Identities:     in.Identities.path(),
		Database:       in.names(),
		Scratch:        job.DumpsPath,
		Tools:          job.ToolsPath,
		Namespace:      in.Step.Namespace,
		Report:         StepReportName(in.Step),
	}
	if !in.Connections.Live {
		options.Connections = job.ConnectionsPath
		for _, d := range in.Databases {
			mounts = append(mounts, connectionMount(d.Name, false, emptyDir(corev1.StorageMediumMemory)))
		}
	}
	return containerOf{name: job.ExtractCommand, image: in.Image, command: job.MoverPath, args: options.Args(), mounts: mounts}
}

// options are those of a load of some of the databases. whole are all of them, for the last one.
func (in LoadInput) options(databases []LoadDatabase, whole []string) job.LoadOptions {
	o := job.LoadOptions{
		Run:         in.Run,
		Policy:      in.Policy,
		Attempt:     in.Step.attempt(),
		Whole:       whole,
		Scratch:     job.DumpsPath,
		Connections: job.ConnectionsPath,
		Private:     job.PrivatePath,
		Namespace:   in.Step.Namespace,
		Report:      StepReportName(in.Step),
	}
	for _, d := range databases {
		o.Database = append(o.Database, d.Name)
		if d.Encrypted {
			o.Encrypted = append(o.Encrypted, d.Name)
		}
		if d.Loaded {
			o.Loaded = append(o.Loaded, d.Name)
		}
	}
	return o
}

func (in LoadInput) names() []string {
	names := make([]string, len(in.Databases))
	for i, d := range in.Databases {
		names[i] = d.Name
	}
	return names
}

// loadMounts are those of a container that loads databases.
func (in LoadInput) loadMounts(databases ...LoadDatabase) []mount {
	out := []mount{in.dumps(), {volumePrivate, job.PrivatePath, false, emptyDir(corev1.StorageMediumMemory)}}
	for _, d := range databases {
		if in.Connections.Live {
			out = append(out, in.Connections.mounts(d.Name)...)
		} else {
			out = append(out, connectionMount(d.Name, true, emptyDir(corev1.StorageMediumMemory)))
		}
	}
	return out
}

// dumps is the volume that holds the dumps while they are loaded.
func (in LoadInput) dumps() mount {
	source := emptyDir("")
	if s := in.Scratch; s != nil {
		spec := corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: s.Size}},
		}
		if s.StorageClassName != "" {
			spec.StorageClassName = &s.StorageClassName
		}
		source = corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
			ObjectMeta: metav1.ObjectMeta{Labels: in.Step.Labels()}, Spec: spec,
		}}}
	}
	return mount{volumeDumps, job.ScratchPath, false, source}
}
