// Package job is the contract between a composed Job and the mover that runs
// in its pod: the command line (Options, InspectOptions, RefillOptions,
// VerifyOptions), the files that the pod finds mounted (VolumePath and so on,
// Description), the Secrets that it fills (HandedObject), and the report that it
// leaves (Result, Inspection, RefillResult, Verification). It holds no behaviour
// of either side, so that both may import it.
package job

import "strconv"

// Where the Job mounts its volumes.
const (
	// VolumePath is the backup volume.
	VolumePath = "/backup"
	// ObjectsPath is the read-only snapshot of the installation's objects.
	ObjectsPath = "/objects"
	// FileStoragePath is the System file storage; only a refill may write to it.
	FileStoragePath = "/system-filestorage-pvc"
	// IdentitiesPath holds the age identities that decrypt a run, one or more
	// in each file whose name ends in IdentitySuffix.
	IdentitiesPath = "/identities"
	// IdentitySuffix ends the names of files and keys of a Secret that hold age
	// identities, as in Flux.
	IdentitySuffix = ".agekey"
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
	Known       []string `optional:"" env:"KNOWN_MANIFESTS" help:"RUN=SHA-256 of a run's manifest.json; may be repeated. What differs is not linked to, and with one, nor is what is not known." sep:","`
	ProveLinks  bool     `optional:"" help:"Read each stored file before linking to it, and link only to what is undamaged."`
	Retention   `embed:""`
	Namespace   string `optional:"" help:"Namespace of the report ConfigMap."`
	Report      string `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o, but for Known, which KnownVariable
// holds: the only source of a Job's command line. No value may hold a dollar sign, which Kubernetes would expand;
// free text such as a trigger travels in the snapshot's Description instead.
func (o Options) Args() []string {
	args := arguments{BackupCommand}
	args.add("run", o.Run)
	args.add("volume", o.Volume)
	args.add("objects", o.Objects)
	args.add("file-storage", o.FileStorage)
	args.add("recipient", o.Recipient...)
	if o.ProveLinks {
		args = append(args, "--prove-links")
	}
	args = append(args, o.keepArgs()...)
	args.add("namespace", o.Namespace)
	args.add("report", o.Report)
	return args
}

// Retention says which runs are kept, as in spec.retention. The zero value keeps all.
type Retention struct {
	KeepLast    int32  `optional:"" help:"How many of the newest runs to keep."`
	KeepHourly  int32  `optional:"" help:"For how many hours that have runs to keep the newest."`
	KeepDaily   int32  `optional:"" help:"Likewise days."`
	KeepWeekly  int32  `optional:"" help:"Likewise weeks, from Monday on."`
	KeepMonthly int32  `optional:"" help:"Likewise months."`
	KeepYearly  int32  `optional:"" help:"Likewise years."`
	TimeZone    string `optional:"" help:"IANA name of the time zone of hours to years; UTC by default."`
}

func (r Retention) keepArgs() []string {
	var args arguments
	for _, rule := range []struct {
		flag  string
		count int32
	}{
		{"keep-last", r.KeepLast},
		{"keep-hourly", r.KeepHourly},
		{"keep-daily", r.KeepDaily},
		{"keep-weekly", r.KeepWeekly},
		{"keep-monthly", r.KeepMonthly},
		{"keep-yearly", r.KeepYearly},
	} {
		if rule.count != 0 {
			args.add(rule.flag, strconv.Itoa(int(rule.count)))
		}
	}
	args.add("time-zone", r.TimeZone)
	return args
}

// arguments are a command line.
type arguments []string

// add adds a flag for each value that is not empty.
func (a *arguments) add(flag string, values ...string) {
	for _, value := range values {
		if value != "" {
			*a = append(*a, "--"+flag+"="+value)
		}
	}
}
