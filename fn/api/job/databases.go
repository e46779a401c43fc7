package job

import (
	"path"

	"threescale.dev/backup/fn/recorded"
)

// Where a Job with databases mounts what they need.
const (
	// ToolsPath holds a copy of the mover, which the containers with the clients of databases run.
	ToolsPath = "/tools"
	// ToolsMover is that copy.
	ToolsMover = ToolsPath + "/mover"
	// ScratchPath holds dumps on their way: <database>/ and <database>.json, its recorded.Dump. Of a run that is on the
	// volume already it holds a mark and no dumps. A container that dumps sees its own dump alone.
	ScratchPath = "/scratch"
	// FailuresPath is where a container that could not dump says so to those after it.
	FailuresPath = "/failures"
	// FailuresFolder is the folder of a run's scratch directory that has what FailuresPath shows.
	FailuresFolder = "failures"
	// ConnectionsPath holds <database>/<key of its Secret>.
	ConnectionsPath = "/connections"
	// PrivatePath is an emptyDir in memory, for files with a login that clients read.
	PrivatePath = "/private"
	// ScratchFolder is the folder of a backup volume below which a run has its scratch directory, .scratch/<run>. Each
	// database has its ScratchPath in a folder of its name there.
	ScratchFolder = ".scratch"
)

// RunScratch is the scratch directory of a run, from the root of its backup volume.
func RunScratch(run string) string { return path.Join(ScratchFolder, run) }

// The mover's subcommands for databases.
const (
	// PrepareCommand copies the mover to ToolsPath, and empties the scratch directory.
	PrepareCommand = "prepare"
	// DumpCommand dumps one database.
	DumpCommand = "dump"
	// VersionArgument is in place of a subcommand: it shows that an image can be pulled and runs the mover.
	VersionArgument = "--version"
)

// PrepareOptions is the command line of the mover's prepare.
type PrepareOptions struct {
	Run       string   `required:"" help:"ID of the run."`
	Ended     []string `optional:"" help:"ID of a run that has ended, whose scratch directory is removed if a killed pod left it; may be repeated." sep:"none"`
	Database  []string `optional:"" help:"Name of a database that is dumped; may be repeated." sep:"none"`
	Volume    string   `required:"" help:"Root of the backup volume, on which the scratch directory is." type:"path"`
	Tools     string   `optional:"" help:"Directory that the mover is copied to; without it, it is not." type:"path"`
	Namespace string   `optional:"" help:"Namespace of the report ConfigMap."`
	Report    string   `optional:"" help:"Name of the report ConfigMap; without it, a failure is only printed."`
}

// Args returns the arguments that parse into o.
func (o PrepareOptions) Args() []string { return arguments(PrepareCommand, o) }

// Prepared is what prepare prints.
type Prepared struct {
	Run       string   `json:"run"`
	Completed bool     `json:"completed"`
	Warnings  []string `json:"warnings,omitempty"`
}

// DumpOptions is the command line of the mover's dump.
type DumpOptions struct {
	Run         string `required:"" help:"ID of the run."`
	Database    string `required:"" help:"Which one: system-database, zync-database, backend-redis or system-redis."`
	Connections string `required:"" help:"Directory with a directory of each database, with a file for each key of its Secret." type:"path"`
	Encrypted   bool   `optional:"" help:"The APIManager says that the connection is encrypted."`
	Scratch     string `required:"" help:"Directory that the dump is written below." type:"path"`
	Failures    string `optional:"" help:"Directory that takes a failure, for those after this command; without it, the command fails." type:"path"`
	Private     string `optional:"" help:"Directory for files with a login." type:"path"`
	Namespace   string `optional:"" help:"Namespace of the report ConfigMap."`
	Report      string `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o.
func (o DumpOptions) Args() []string { return arguments(DumpCommand, o) }

// Dumped is what dump prints.
type Dumped struct {
	Run      string         `json:"run"`
	Database string         `json:"database"`
	Dump     *recorded.Dump `json:"dump,omitempty"`    // nil: it failed, or the run is on the volume already
	Failure  string         `json:"failure,omitempty"` // that is handed on, of this database or of one before it
}
