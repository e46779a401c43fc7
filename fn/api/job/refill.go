package job

import (
	"time"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// RefillCommand is the mover's subcommand that writes the file storage of a run.
const RefillCommand = "refill"

// RefillOptions is the command line of the mover's refill. The struct tags are
// the flags of cmd/mover, which parses into this very type.
type RefillOptions struct {
	Run               string `required:"" help:"ID of the run, or latest."`
	Volume            string `optional:"" help:"Root of the backup volume; without it, the runs are in a bucket." type:"path"`
	BucketOptions     `embed:""`
	FileStorage       string `optional:"" help:"Root of the file storage to write; without it, that is a bucket." type:"path"`
	FileBucketOptions `embed:""`
	Existing          v1alpha1.ExistingPolicy `required:"" enum:"Fail,Overwrite,Mirror,Skip" help:"What to do when it is not empty: ${enum}."`
	ManifestSHA256    string                  `optional:"" name:"manifest-sha256" help:"What the digest of the run's manifest.json must be; without it, any is accepted."`
	Identities        string                  `optional:"" help:"Folder of age identities to decrypt with, in files called *.agekey." type:"path"`
	Namespace         string                  `optional:"" help:"Namespace of the report ConfigMap."`
	Report            string                  `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o; see Options.Args.
func (o RefillOptions) Args() []string { return arguments(RefillCommand, o) }

// KeyRefill holds a RefillResult as JSON in a report, once it has ended.
const KeyRefill = "refill"

// RefillResult is the result of a refill. It is Completed when the whole file storage of
// the run is on disk, or was left alone on request; otherwise it failed for Reason.
type RefillResult struct {
	Run            string    `json:"run"`
	Completed      bool      `json:"completed"`
	Reason         string    `json:"reason,omitempty"`
	Message        string    `json:"message,omitempty"`
	StartTime      time.Time `json:"startTime,omitzero"` // of the refill
	CompletionTime time.Time `json:"completionTime,omitzero"`
	Skipped        bool      `json:"skipped,omitempty"` // Skip found data and left it
	Files          int64     `json:"files"`             // regular files of the run
	Bytes          int64     `json:"bytes"`             // their sizes
	WrittenFiles   int64     `json:"writtenFiles"`      // those that were not there already
	WrittenBytes   int64     `json:"writtenBytes"`
	Removed        int64     `json:"removed,omitempty"` // entries that Mirror removed
	Warnings       []string  `json:"warnings,omitempty"`
}

// ParseRefillResult reads the refill of a run in a report; nil when there is none yet, or
// one of another run. Reports are untrusted: texts are bounded.
func ParseRefillResult(data map[string]string, run string) (*RefillResult, error) {
	r, err := read[RefillResult](data, KeyRefill, MaxReportBytes)
	if r == nil || r.Run != run {
		return nil, err
	}
	bounded := r.Bounded()
	return &bounded, nil
}

// Bounded returns r with its texts cut to what fits into a report.
func (r RefillResult) Bounded() RefillResult {
	shortenAll(&r.Reason, &r.Message)
	r.Warnings = Bounded(r.Warnings)
	return r
}
