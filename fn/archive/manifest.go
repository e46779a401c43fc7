package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/recorded"
)

// formatVersion is the version of the format that this package writes, and the newest that it reads. Version 1 had no
// sequence.
const formatVersion = 2

// maxManifest bounds what is read of a manifest.json. The lists in it are cut long before that.
const maxManifest = 8 << 20

// Manifest is a run's manifest.json.
type Manifest struct {
	FormatVersion  int            `json:"formatVersion"`
	Run            string         `json:"run"`
	Sequence       int64          `json:"sequence,omitempty"` // one more than the greatest on the volume; runs are ordered by it. 0 in format 1
	Cause          recorded.Cause `json:"cause"`
	StartTime      time.Time      `json:"startTime"`      // in UTC, by the clock of the writer's node
	CompletionTime time.Time      `json:"completionTime"` // in UTC: when all but manifest.json was written
	Source         Source         `json:"source"`
	Encryption     *Encryption    `json:"encryption,omitempty"` // nil: stored in plaintext
	FileStorage    FileStorage    `json:"fileStorage"`
	Totals         Totals         `json:"totals"`
	Tree           string         `json:"tree,omitempty"` // the name of the tree; empty when the file storage was skipped
	Digests        Digests        `json:"digests"`
	Databases      *Databases     `json:"databases,omitempty"`    // nil: the run has none
	LinksOmitted   bool           `json:"linksOmitted,omitempty"` // the volume cannot hold symlinks: those of the file storage are in MTREE only, the run has no link to its tree
	Skipped        []SkippedEntry `json:"skipped,omitempty"`      // at most 1000
	SkippedCount   int64          `json:"skippedCount,omitempty"`
	Warnings       []string       `json:"warnings,omitempty"` // at most 1000
}

// Source says what a run is a backup of. To this package its fields are opaque.
type Source struct {
	Namespace  string `json:"namespace,omitempty"`
	APIManager string `json:"apiManager,omitempty"` // metadata.name
	UID        string `json:"uid,omitempty"`        // metadata.uid of the APIManager
	Version    string `json:"version,omitempty"`    // of 3scale
	// FileStorage is the PersistentVolumeClaim that the files are from.
	FileStorage *recorded.PVC `json:"fileStorage,omitempty"`
}

// Encryption says that stored files are age streams, and for whom.
type Encryption struct {
	Recipients []string `json:"recipients"` // age1..., sorted, without repetitions; not secret
}

// sameRecipients reports whether a run with that encryption has the same recipients, so that its files can be linked.
func sameRecipients(s *seal.Sealer, e *Encryption) bool {
	if s == nil || e == nil {
		return s == nil && e == nil
	}
	return slices.Equal(s.Names, e.Recipients)
}

// FileStorage says whether a run holds the file storage.
type FileStorage string

// Whether a run holds the file storage.
const (
	Stored  FileStorage = "Stored"  // the run has a tree
	Skipped FileStorage = "Skipped" // left out on request
)

// Totals counts what a run holds. Bytes are those of the sources, before encryption.
type Totals struct {
	Objects     int64 `json:"objects"`
	ObjectBytes int64 `json:"objectBytes"`
	Files       int64 `json:"files"`       // regular files of the file storage
	Bytes       int64 `json:"bytes"`       // their sizes
	Directories int64 `json:"directories"` // with the root
	Symlinks    int64 `json:"symlinks"`
	LinkedFiles int64 `json:"linkedFiles"` // files that the run shares with an earlier one
	LinkedBytes int64 `json:"linkedBytes"`
}

// Digests holds the SHA-256 of each list, in 64 hex digits.
type Digests struct {
	Objects string `json:"objects"`         // runs/<run>/SHA256SUMS
	MTREE   string `json:"mtree,omitempty"` // trees/<tree>/MTREE
	Files   string `json:"files,omitempty"` // trees/<tree>/SHA256SUMS
}

// Databases is the second tree of a run, with a directory for each dump.
type Databases struct {
	Tree    string          `json:"tree"`
	MTREE   string          `json:"mtree"`  // digests of its lists, as in Digests
	Files   string          `json:"files"`  //
	Totals  Totals          `json:"totals"` // of it alone; those of the run do not count it
	Dumps   []recorded.Dump `json:"dumps"`
	Omitted bool            `json:"linksOmitted,omitempty"` // as Manifest.LinksOmitted
}

func (d Digests) lists() lists.Digests { return lists.Digests{MTREE: d.MTREE, Files: d.Files} }

// SkippedEntry is an entry of the file storage that is neither file, directory nor symlink.
type SkippedEntry struct {
	Path string `json:"path"` // escaped as in MTREE
	Type string `json:"type"` // fifo, socket, char, block or unknown
}

func encodeManifest(m *Manifest) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("cannot encode manifest: %w", err)
	}
	return b.Bytes(), nil
}

// decodeManifest reads the bytes of manifest.json. It returns a VersionError when they are of a newer format.
func decodeManifest(data []byte) (*Manifest, error) {
	var head struct {
		FormatVersion int   `json:"formatVersion"`
		Sequence      int64 `json:"sequence"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("cannot decode manifest: %w", err)
	}
	if head.FormatVersion > formatVersion {
		return nil, &VersionError{Version: head.FormatVersion, sequence: head.Sequence}
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("cannot decode manifest: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("cannot decode manifest: data after its end")
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("cannot decode manifest: %w", err)
	}
	return &m, nil
}

// validate checks what readers rely on.
func (m *Manifest) validate() error {
	if m.FormatVersion < 1 {
		return errors.New("no format version")
	}
	if (m.FormatVersion == 1) != (m.Sequence == 0) || m.Sequence < 0 || m.Sequence > maxSequence {
		return fmt.Errorf("sequence %d in format version %d", m.Sequence, m.FormatVersion)
	}
	if err := validRunID(m.Run); err != nil {
		return err
	}
	if !lists.IsDigest(m.Digests.Objects) {
		return errors.New("no digest of SHA256SUMS")
	}
	switch m.FileStorage {
	case Skipped:
		if m.Tree != "" {
			return errors.New("the file storage is skipped, yet there is a tree")
		}
	case Stored:
		if !lists.IsDigest(m.Digests.MTREE) || !lists.IsDigest(m.Digests.Files) {
			return errors.New("no digests of the tree's lists")
		}
		if m.Tree != lists.TreeName(m.Digests.MTREE, m.Digests.Files) {
			return fmt.Errorf("tree %q is not named by its lists", m.Tree)
		}
	default:
		return fmt.Errorf("unknown fileStorage %q", m.FileStorage)
	}
	if m.Encryption == nil {
		return nil
	}
	_, err := seal.ParseRecipients(m.Encryption.Recipients)
	return err
}
