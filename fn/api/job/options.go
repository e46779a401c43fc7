// Package job is the contract between a composed Job and the mover that runs
// in its pod: the command line (Options), the files that the pod finds mounted
// (Paths, Description), and the report that it leaves (Report). It holds no
// behaviour of either side, so that both may import it.
package job

// Where the Job mounts its volumes.
const (
	// VolumePath is the backup volume.
	VolumePath = "/backup"
	// ObjectsPath is the read-only snapshot of the installation's objects.
	ObjectsPath = "/objects"
	// FileStoragePath is the System file storage, read-only.
	FileStoragePath = "/system-filestorage-pvc"
)

// MoverPath is the mover in the image that a Composition names.
const MoverPath = "/mover"

// BackupCommand is the mover's subcommand that writes a run.
const BackupCommand = "backup"

// Options is the command line of the mover's backup. The struct tags are the
// flags of cmd/mover, which parses into this very type.
type Options struct {
	Run         string   `required:"" help:"ID of the run."`
	Volume      string   `required:"" help:"Root of the backup volume." type:"path"`
	Objects     string   `required:"" help:"Snapshot of the installation's objects." type:"path"`
	FileStorage string   `optional:"" help:"Root of the System file storage; without it, the file storage is skipped." type:"path"`
	Recipient   []string `optional:"" help:"age recipient to encrypt for; may be repeated." sep:"none"`
	Namespace   string   `optional:"" help:"Namespace of the report ConfigMap."`
	Report      string   `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o: the only source of a Job's
// command line. No value may hold a dollar sign, which Kubernetes would expand;
// free text such as a trigger travels in the snapshot's Description instead.
func (o Options) Args() []string {
	args := []string{BackupCommand}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	add("run", o.Run)
	add("volume", o.Volume)
	add("objects", o.Objects)
	add("file-storage", o.FileStorage)
	for _, r := range o.Recipient {
		add("recipient", r)
	}
	add("namespace", o.Namespace)
	add("report", o.Report)
	return args
}
