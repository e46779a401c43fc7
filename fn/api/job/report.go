package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
)

// Keys of the report ConfigMap's data.
const (
	// KeyProgress holds a v1alpha1.Progress as JSON while the run goes.
	KeyProgress = "progress"
	// KeyResult holds a Result as JSON once it has ended.
	KeyResult = "result"
	// KeyBegun holds a Begun as JSON from before the run has anything on the volume.
	KeyBegun = "begun"
)

// MaxReportBytes bounds the value of one key of a report, except KeyInspection.
const MaxReportBytes = 256 << 10

const (
	// maxListed bounds how many skipped entries and warnings a report lists.
	maxListed = 20
	// maxText bounds each of them, and the message, in bytes.
	maxText = 1 << 10
)

// Begun notes that a run has begun. If the volume holds the ID of a run before there is
// a note of it, somebody else put it there: IDs can be computed, and whoever mounts the
// volume can write to it.
type Begun struct {
	Run string    `json:"run"`
	At  time.Time `json:"at"`
}

// Result of a run: Completed, or failed for Reason.
type Result struct {
	Run            string          `json:"run"`
	Completed      bool            `json:"completed"`
	Reason         string          `json:"reason,omitempty"`
	Message        string          `json:"message,omitempty"`
	StartTime      time.Time       `json:"startTime,omitzero"`
	CompletionTime time.Time       `json:"completionTime,omitzero"`
	Files          int64           `json:"files"`       // of the run, objects included
	Bytes          int64           `json:"bytes"`       // their sizes before encryption
	LinkedFiles    int64           `json:"linkedFiles"` // that an earlier run already held
	StoredBytes    int64           `json:"storedBytes"` // the same, without what is linked
	ManifestSHA256 string          `json:"manifestSHA256,omitempty"`
	Encrypted      bool            `json:"encrypted,omitempty"`
	Databases      []recorded.Dump `json:"databases,omitempty"` // that the run holds
	Skipped        []string        `json:"skipped,omitempty"`
	Warnings       []string        `json:"warnings,omitempty"`
	Removed        []string        `json:"removed,omitempty"`    // runs that the retention removed after this one
	FreedBytes     int64           `json:"freedBytes,omitempty"` // that they alone held
}

// Bounded returns list with at most 20 entries of at most 1 KiB. If there are more, the
// last entry says how many. A report has to fit into a ConfigMap, and into a status.
func Bounded(list []string) []string {
	return bounded(list, "; the run's manifest.json lists them all")
}

// BoundedIDs is Bounded for IDs of runs, which no manifest lists.
func BoundedIDs(list []string) []string { return bounded(list, "") }

// bounded is Bounded with another text that says where the rest is.
func bounded(list []string, rest string) []string {
	var out []string
	for i, text := range list {
		if i == maxListed-1 && len(list) > maxListed {
			return append(out, fmt.Sprintf("and %d more%s", len(list)-i, rest))
		}
		out = append(out, shortened(text))
	}
	return out
}

// boundedDumps returns at most 20 dumps, with bounded texts.
func boundedDumps(list []recorded.Dump) []recorded.Dump {
	list = slices.Clone(list[:min(len(list), maxListed)])
	for i := range list {
		d := &list[i]
		shortenAll(&d.Name, &d.ServerVersion, &d.Tool, (*string)(&d.Kind))
	}
	return list
}

// shortened returns text, Printable, and cut to 1 KiB at a whole character.
func shortened(text string) string {
	text = Printable(text)
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-len("...")], "") + "..."
}

// ParseResult reads the result of a run in a report; nil when there is none yet, or one
// of another run. Reports are untrusted: texts and lists are bounded.
func ParseResult(data map[string]string, run string) (*Result, error) {
	r, err := read[Result](data, KeyResult, MaxReportBytes)
	if r == nil || r.Run != run {
		return nil, err
	}
	shortenAll(&r.Reason, &r.Message, &r.ManifestSHA256)
	r.Databases = boundedDumps(r.Databases)
	r.Skipped, r.Warnings, r.Removed = Bounded(r.Skipped), Bounded(r.Warnings), BoundedIDs(r.Removed)
	return r, nil
}

// HasBegun reports whether a report notes that run has begun. A note that cannot be
// read does not count: the mover did not write it.
func HasBegun(data map[string]string, run string) bool {
	b, _ := read[Begun](data, KeyBegun, MaxReportBytes)
	return b != nil && b.Run == run
}

// ParseProgress reads the progress in a report; nil when there is none yet.
func ParseProgress(data map[string]string) (*v1alpha1.Progress, error) {
	p, err := read[v1alpha1.Progress](data, KeyProgress, MaxReportBytes)
	if p != nil {
		p.Phase = shortened(p.Phase)
	}
	return p, err
}

// read decodes what one key of a report holds; nil when it holds nothing yet.
func read[T any](data map[string]string, key string, limit int) (*T, error) {
	text := data[key]
	if text == "" {
		return nil, nil
	}
	if len(text) > limit {
		return nil, fmt.Errorf("cannot read key %q of the report: %d bytes are more than the %d allowed", key, len(text), limit)
	}
	value := new(T)
	if err := json.Unmarshal([]byte(text), value); err != nil {
		return nil, fmt.Errorf("cannot read key %q of the report: %s", key, shortened(err.Error()))
	}
	return value, nil
}

// Phases of a run and of its copy.
const (
	// PhaseSnapshot: Secrets and objects are copied, and the pod starts.
	PhaseSnapshot = "Snapshot"
	// PhaseLocked: another writer holds the volume.
	PhaseLocked = "Locked"
	// PhaseCopy: runs are sent to a bucket.
	PhaseCopy = "Copy"
)

// DumpingPhase is the phase in which a database is dumped: "Dumping system-database".
func DumpingPhase(database string) string { return "Dumping " + database }

// LoadingPhase is the phase in which a database is loaded: "Loading system-database".
func LoadingPhase(database string) string { return "Loading " + database }

func shortenAll(texts ...*string) {
	for _, text := range texts {
		*text = shortened(*text)
	}
}
