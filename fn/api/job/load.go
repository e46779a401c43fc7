package job

import (
	"time"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
)

// The mover's subcommands that load the databases of a run. The containers of one pod run
// them one after the other: ExtractCommand, then LoadCommand in each that has a client, and
// once more in the last one.
const (
	// ExtractCommand copies the mover to ToolsPath, and writes the dumps of a run and the
	// connections into directories of the pod.
	ExtractCommand = "extract"
	// LoadCommand loads databases.
	LoadCommand = "load"
)

// DumpsPath holds the dumps that are loaded, below ScratchPath: the root of a volume may
// have a directory of its own, such as lost+found.
const DumpsPath = ScratchPath + "/dumps"

// ExtractOptions is the command line of the mover's extract.
type ExtractOptions struct {
	Run            string `required:"" help:"ID of the run."`
	Volume         string `optional:"" help:"Root of the backup volume; without it, the runs are in a bucket." type:"path"`
	BucketOptions  `embed:""`
	ManifestSHA256 string   `optional:"" name:"manifest-sha256" help:"What the digest of the run's manifest.json must be; without it, any is accepted."`
	Identities     string   `optional:"" help:"Folder of age identities to decrypt with, in files called *.agekey." type:"path"`
	Database       []string `required:"" help:"Name of a database whose dump is extracted; may be repeated." sep:"none"`
	Scratch        string   `required:"" help:"Directory that the dumps are written into; made, and emptied before." type:"path"`
	Connections    string   `optional:"" help:"Directory that the connections in the run's Secrets are written below; without it, they are not." type:"path"`
	Tools          string   `optional:"" help:"Directory that the mover is copied to; without it, it is not." type:"path"`
	Namespace      string   `optional:"" help:"Namespace of the report ConfigMap."`
	Report         string   `optional:"" help:"Name of the report ConfigMap; without it, a failure is only printed."`
}

// Args returns the arguments that parse into o; see Options.Args.
func (o ExtractOptions) Args() []string { return arguments(ExtractCommand, o) }

// LoadOptions is the command line of the mover's load.
type LoadOptions struct {
	Run         string                   `required:"" help:"ID of the run."`
	Database    []string                 `optional:"" help:"Name of a database to load; may be repeated." sep:"none"`
	Encrypted   []string                 `optional:"" help:"Name of a database to which the APIManager says that the connection is encrypted; may be repeated." sep:"none"`
	Policy      v1alpha1.DatabasesPolicy `required:"" enum:"IfEmpty,Replace" help:"What to do with a database that is not empty: ${enum}."`
	Attempt     string                   `optional:"" help:"What tells this attempt of a restore from others: what it has loaded, it does not load again."`
	Loaded      []string                 `optional:"" help:"Name of a database that this attempt is known to have loaded, so that it only removes its mark; may be repeated." sep:"none"`
	Whole       []string                 `optional:"" help:"Name of a database that must be loaded in the end; may be repeated. Only the last of several loads has it, and is complete." sep:"none"`
	Scratch     string                   `required:"" help:"Directory with the dumps, which takes what became of each." type:"path"`
	Connections string                   `required:"" help:"Directory with a directory of each database, with a file for each key of its Secret." type:"path"`
	Private     string                   `optional:"" help:"Directory for files with a login." type:"path"`
	Namespace   string                   `optional:"" help:"Namespace of the report ConfigMap."`
	Report      string                   `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o; see Options.Args.
func (o LoadOptions) Args() []string { return arguments(LoadCommand, o) }

// KeyLoad holds a LoadResult as JSON in a report, from when the first database is loaded.
const KeyLoad = "load"

// maxDatabases bounds the databases in a report.
const maxDatabases = 16

// LoadResult is the result of a load. It is Completed when all databases that it was to
// load are; otherwise it goes on, or it failed for Reason.
type LoadResult struct {
	Run            string           `json:"run"`
	Completed      bool             `json:"completed"`
	Reason         string           `json:"reason,omitempty"`
	Message        string           `json:"message,omitempty"`
	CompletionTime time.Time        `json:"completionTime,omitzero"`
	Databases      []LoadedDatabase `json:"databases,omitempty"` // those that are loaded, also if it failed
}

// LoadedDatabase is a database that is loaded.
type LoadedDatabase struct {
	Name          string                `json:"name"`
	Kind          recorded.DatabaseKind `json:"kind"`
	ServerVersion string                `json:"serverVersion"`
	Bytes         int64                 `json:"bytes"` // of the dump
	Warnings      []string              `json:"warnings,omitempty"`
}

// ParseLoadResult reads the load of a run in a report; nil when there is none yet, or one
// of another run. Reports are untrusted: texts and lists are bounded.
func ParseLoadResult(data map[string]string, run string) (*LoadResult, error) {
	r, err := read[LoadResult](data, KeyLoad, MaxReportBytes)
	if r == nil || r.Run != run {
		return nil, err
	}
	bounded := r.Bounded()
	return &bounded, nil
}

// Bounded returns r with its texts and lists cut to what fits into a report.
func (r LoadResult) Bounded() LoadResult {
	shortenAll(&r.Reason, &r.Message)
	var databases []LoadedDatabase
	for _, d := range r.Databases[:min(len(r.Databases), maxDatabases)] {
		d.Kind = recorded.DatabaseKind(shortened(string(d.Kind)))
		shortenAll(&d.Name, &d.ServerVersion)
		d.Warnings = bounded(d.Warnings, "")
		databases = append(databases, d)
	}
	r.Databases = databases
	return r
}
