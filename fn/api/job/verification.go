package job

import "time"

// VerifyCommand is the mover's subcommand that reads stored runs again. It
// writes nothing but its report.
const VerifyCommand = "verify"

// All stands for all runs of a volume.
const All = "all"

// VerifyOptions is the command line of the mover's verify. The struct tags are
// the flags of cmd/mover, which parses into this very type.
type VerifyOptions struct {
	Run            string `required:"" help:"ID of the run, latest, or all."`
	Volume         string `optional:"" help:"Root of the backup volume; without it, the runs are in a bucket." type:"path"`
	BucketOptions  `embed:""`
	ExpectRun      string   `optional:"" help:"ID of a run whose manifest is known."`
	ManifestSHA256 string   `optional:"" name:"manifest-sha256" help:"What the digest of that run's manifest.json must be."`
	Known          []string `optional:"" env:"KNOWN_MANIFESTS" help:"RUN=SHA-256 of the manifest.json of a run that may be there; may be repeated." sep:","`
	Namespace      string   `optional:"" help:"Namespace of the report ConfigMap."`
	Report         string   `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o; see Options.Args.
func (o VerifyOptions) Args() []string { return arguments(VerifyCommand, o) }

// KeyVerification holds a Verification as JSON in a report, once it has ended.
const KeyVerification = "verification"

// Verification is the result of reading stored runs again. It is Completed when all was
// read, damaged or not; otherwise it failed for Reason.
type Verification struct {
	Completed      bool      `json:"completed"`
	Reason         string    `json:"reason,omitempty"`
	Message        string    `json:"message,omitempty"`
	StartTime      time.Time `json:"startTime,omitzero"`
	CompletionTime time.Time `json:"completionTime,omitzero"`
	Runs           int64     `json:"runs"`                  // that were verified
	Files          int64     `json:"files"`                 // that were read; what runs share, once
	Bytes          int64     `json:"bytes"`                 // of them, as stored
	DamagedRuns    []string  `json:"damagedRuns,omitempty"` // IDs
	Problems       []string  `json:"problems,omitempty"`    // what is damaged, by path
	Warnings       []string  `json:"warnings,omitempty"`
}

// ParseVerification reads the verification in a report; nil when there is none yet.
// Reports are untrusted: texts and lists are bounded.
func ParseVerification(data map[string]string) (*Verification, error) {
	v, err := read[Verification](data, KeyVerification, MaxReportBytes)
	if v == nil {
		return nil, err
	}
	bounded := v.Bounded()
	return &bounded, nil
}

// Bounded returns v with its texts cut to what fits into a report.
func (v Verification) Bounded() Verification {
	const rest = "; threescale-backup verify --all lists them all"
	shortenAll(&v.Reason, &v.Message)
	v.DamagedRuns, v.Problems, v.Warnings = bounded(v.DamagedRuns, rest), bounded(v.Problems, rest), bounded(v.Warnings, rest)
	return v
}
