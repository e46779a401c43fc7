package job

import (
	"time"

	"threescale.dev/backup/fn/retention"
)

// CopyCommand is the mover's subcommand that copies runs from a volume to a bucket.
const CopyCommand = "copy"

// CopyOptions is the command line of the mover's copy. The struct tags are the flags of
// cmd/mover, which parses into this very type.
type CopyOptions struct {
	Run              string `required:"" help:"ID of the newest run to copy. Those that are on the volume, not in the bucket and kept by the retention are copied too."`
	Volume           string `required:"" help:"Root of the backup volume, which is only read." type:"path"`
	BucketOptions    `embed:""`
	Owner            string   `required:"" help:"What identifies the volume: a bucket's prefix holds the runs of one."`
	Known            []string `optional:"" env:"KNOWN_MANIFESTS" help:"RUN=SHA-256 of a run's manifest.json; may be repeated. A run with another one is not copied." sep:","`
	Mend             bool     `optional:"" help:"Also send what the bucket has lost of runs that it has. Damaged objects have to be deleted before."`
	LockMode         string   `optional:"" help:"Mode of the object lock; without it, the bucket's own setting counts."`
	LockDays         int32    `optional:"" help:"For how many days objects are locked."`
	retention.Policy `embed:""`
	TimeZone         string `optional:"" help:"IANA name of the time zone of the hours to years of the retention; UTC by default."`
	Namespace        string `optional:"" help:"Namespace of the report ConfigMap."`
	Report           string `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o; see Options.Args.
func (o CopyOptions) Args() []string { return arguments(CopyCommand, o) }

// KeyCopy holds a CopyResult as JSON in a report, once it has ended.
const KeyCopy = "copy"

// CopyResult is the result of a copy. It is Completed when the run, and the earlier ones
// that were missing, are in the bucket; otherwise it failed for Reason.
type CopyResult struct {
	Run            string    `json:"run"`
	Completed      bool      `json:"completed"`
	Reason         string    `json:"reason,omitempty"`
	Message        string    `json:"message,omitempty"`
	StartTime      time.Time `json:"startTime,omitzero"`
	CompletionTime time.Time `json:"completionTime,omitzero"`
	ManifestSHA256 string    `json:"manifestSHA256,omitempty"` // of the run's manifest.json, in the bucket
	Runs           int64     `json:"runs"`                     // that were copied
	Files          int64     `json:"files"`                    // that were sent
	Bytes          int64     `json:"bytes"`                    // of them
	Requests       int64     `json:"requests"`
	Removed        []string  `json:"removed,omitempty"` // runs that the retention removed from the bucket
	Warnings       []string  `json:"warnings,omitempty"`
}

// ParseCopyResult reads the copy of a run in a report; nil when there is none yet, or one
// of another run. Reports are untrusted: texts, lists and numbers are bounded.
func ParseCopyResult(data map[string]string, run string) (*CopyResult, error) {
	r, err := read[CopyResult](data, KeyCopy, MaxReportBytes)
	if r == nil || r.Run != run {
		return nil, err
	}
	bounded := r.Bounded()
	return &bounded, nil
}

// Bounded returns r with its texts cut to what fits into a report, and no number below 0.
func (r CopyResult) Bounded() CopyResult {
	shortenAll(&r.Reason, &r.Message, &r.ManifestSHA256)
	for _, n := range []*int64{&r.Runs, &r.Files, &r.Bytes, &r.Requests} {
		*n = max(*n, 0)
	}
	r.Removed, r.Warnings = BoundedIDs(r.Removed), BoundedIDs(r.Warnings)
	return r
}
