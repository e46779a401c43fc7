package job

import (
	"fmt"
	"time"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
)

// InspectCommand is the mover's subcommand that reads a run and writes nothing
// but its report and the hand-over.
const InspectCommand = "inspect"

// Latest stands for the newest run of a volume. On a volume that has no run of ours, it
// stands for what APIManagerBackup wrote.
const Latest = "latest"

// InspectOptions is the command line of the mover's inspect. The struct tags
// are the flags of cmd/mover, which parses into this very type.
type InspectOptions struct {
	Run               string `required:"" help:"ID of the run, or latest."`
	Volume            string `optional:"" help:"Root of the backup volume; without it, the runs are in a bucket." type:"path"`
	BucketOptions     `embed:""`
	ManifestSHA256    string `optional:"" name:"manifest-sha256" help:"What the digest of the run's manifest.json must be; without it, any is accepted."`
	FileStorage       string `optional:"" help:"Root of the file storage that the run is compared with; without it, there is none." type:"path"`
	FileBucketOptions `embed:""`
	Identities        string                   `optional:"" help:"Folder of age identities to decrypt with, in files called *.agekey." type:"path"`
	Databases         v1alpha1.DatabasesPolicy `optional:"" help:"What becomes of the databases that the run holds: Skip, IfEmpty or Replace; without it, none is looked at."`
	Connections       string                   `optional:"" help:"Directory with a directory of each database, with a file for each key of its Secret; without it, the run's Secrets are meant." type:"path"`
	Attempt           string                   `optional:"" help:"What tells this attempt of a restore from others; see load."`
	Handover          []string                 `optional:"" help:"Secret that takes objects of the run; may be repeated." sep:"none"`
	Namespace         string                   `optional:"" help:"Namespace of the report ConfigMap and the hand-over Secrets."`
	Report            string                   `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o; see Options.Args.
func (o InspectOptions) Args() []string { return arguments(InspectCommand, o) }

// KeyInspection holds an Inspection as JSON in a report, once it has ended.
const KeyInspection = "inspection"

// MaxInspectionBytes bounds an inspection in a report, as JSON. MaxObjects names and all
// texts at their longest take less. A ConfigMap may have 1 MiB.
const MaxInspectionBytes = 768 << 10

// Inspection is the result of an inspection. It is Completed when every digest of the run
// was verified and its objects are handed over; otherwise it failed for Reason. The files
// of the file storage in a bucket are not read: that each is there and has its size is
// verified, and a refill verifies its digest.
type Inspection struct {
	Run            string              `json:"run"` // the ID, also when latest was asked for
	Completed      bool                `json:"completed"`
	Reason         string              `json:"reason,omitempty"`
	Message        string              `json:"message,omitempty"`
	ManifestSHA256 string              `json:"manifestSHA256,omitempty"`
	Verified       bool                `json:"verified"` // false for what APIManagerBackup wrote: it has no digests
	Encrypted      bool                `json:"encrypted"`
	Source         Source              `json:"source"`
	StartTime      time.Time           `json:"startTime,omitzero"` // of the run
	FileStorage    InspectedStorage    `json:"fileStorage"`
	Objects        []HandoverEntry     `json:"objects,omitempty"`        // in the order of their paths
	HandoverParts  int                 `json:"handoverParts,omitempty"`  // Secrets that the objects take, also when fewer were given
	HandoverSHA256 string              `json:"handoverSHA256,omitempty"` // HandoverDigest of them
	Existing       ExistingStorage     `json:"existing"`
	FileBucket     *InspectedBucket    `json:"fileBucket,omitempty"` // where the files go to, and Existing is; nil: onto a volume, or nowhere
	Databases      []InspectedDatabase `json:"databases,omitempty"`
	Problems       []string            `json:"problems,omitempty"` // what is damaged
	Warnings       []string            `json:"warnings,omitempty"`
}

// InspectedStorage describes the file storage in a run.
type InspectedStorage struct {
	Stored  bool  `json:"stored"`  // false: it was skipped
	Files   int64 `json:"files"`   // regular files
	Bytes   int64 `json:"bytes"`   // their sizes
	Entries int64 `json:"entries"` // files, symlinks and directories, with the root
}

// ExistingStorage describes the file storage that is to be refilled.
type ExistingStorage struct {
	Present     bool `json:"present"`     // false: there is no file storage yet
	Empty       bool `json:"empty"`       // it has no entry
	Same        bool `json:"same"`        // it equals the run: each entry's type, content, mode, mtime and link
	Interrupted bool `json:"interrupted"` // an interrupted refill of the same run left it
}

// InspectedBucket says what leads to the bucket of the file storage, as the APIManager of the
// run says.
type InspectedBucket struct {
	Secret   string `json:"secret"`             // its name
	Audience string `json:"audience,omitempty"` // of the token that is exchanged for a role; "": the Secret has keys
}

// InspectedDatabase describes a database that the run holds, or that its APIManager needs,
// and what is known of the server that a Secret leads to.
type InspectedDatabase struct {
	Name          string                `json:"name"`
	Kind          recorded.DatabaseKind `json:"kind,omitempty"`          // of the dump, else of the server
	Dumped        bool                  `json:"dumped"`                  // the run holds it
	DumpVersion   string                `json:"dumpVersion,omitempty"`   // of the server that was dumped
	DumpBytes     int64                 `json:"dumpBytes,omitempty"`     // of the dump
	Encrypted     bool                  `json:"encrypted,omitempty"`     // the APIManager says that the connection is
	Seen          bool                  `json:"seen"`                    // the server answered
	ServerVersion string                `json:"serverVersion,omitempty"` // likewise
	Empty         bool                  `json:"empty"`                   // it has no table, or no key
	Interrupted   bool                  `json:"interrupted,omitempty"`   // an interrupted load of the same run left it
	// Reason is why the dump cannot be loaded, or why the server was not seen; "": it can be
	// loaded, or need not be. Message says it in words.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// ParseInspection reads the inspection in a report; nil when there is none yet. Reports
// are untrusted: texts are bounded, and a list of too many objects is an error.
func ParseInspection(data map[string]string) (*Inspection, error) {
	reported, err := read[Inspection](data, KeyInspection, MaxInspectionBytes)
	if reported == nil {
		return nil, err
	}
	i := reported.Bounded()
	if len(i.Objects) > MaxObjects {
		return nil, fmt.Errorf("cannot read key %q of the report: it lists %d objects, more than the %d allowed", KeyInspection, len(i.Objects), MaxObjects)
	}
	for n := range i.Objects {
		i.Objects[n].Kind, i.Objects[n].Name = shortened(i.Objects[n].Kind), shortened(i.Objects[n].Name)
	}
	return &i, nil
}

// Bounded returns i with its texts cut to what fits into a report.
func (i Inspection) Bounded() Inspection {
	source := &i.Source
	shortenAll(&i.Run, &i.Reason, &i.Message, &i.ManifestSHA256, &i.HandoverSHA256, &source.Namespace, &source.APIManager, &source.UID, &source.ThreeScale, &source.WildcardDomain)
	i.Problems, i.Warnings = Bounded(i.Problems), Bounded(i.Warnings)
	if b := i.FileBucket; b != nil {
		i.FileBucket = &InspectedBucket{Secret: shortened(b.Secret), Audience: shortened(b.Audience)}
	}
	var databases []InspectedDatabase
	for _, d := range i.Databases[:min(len(i.Databases), maxDatabases)] {
		d.Kind = recorded.DatabaseKind(shortened(string(d.Kind)))
		shortenAll(&d.Name, &d.DumpVersion, &d.ServerVersion, &d.Reason, &d.Message)
		databases = append(databases, d)
	}
	i.Databases = databases
	return i
}
