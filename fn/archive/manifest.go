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

// The versions of the format. A run is of the oldest that can hold it, so that older readers read what they can.
const (
	unorderedVersion = 1 // had no sequence
	orderedVersion   = 2
	formatVersion    = 3 // has dumps of databases; the newest that this package reads
)

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
	Databases      *Databases     `json:"databases,omitempty"`    // nil: the run has none, and an older format
	LinksOmitted   bool           `json:"linksOmitted,omitempty"` // the volume cannot hold symlinks: those of the file storage are in MTREE only, the run has no links to its trees
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
	TreeTotals        // of the file storage
}

// TreeTotals counts what a tree holds, as Totals does.
type TreeTotals struct {
	Files       int64 `json:"files"`       // regular ones
	Bytes       int64 `json:"bytes"`       // their sizes
	Directories int64 `json:"directories"` // with the root
	Symlinks    int64 `json:"symlinks"`
	LinkedFiles int64 `json:"linkedFiles"` // files that the run shares with an earlier one
	LinkedBytes int64 `json:"linkedBytes"`
}

// Digests holds the SHA-256 of each list, in 64 hex digits.
type Digests struct {
	Objects     string `json:"objects"` // runs/<run>/SHA256SUMS
	TreeDigests        // of the file storage
}

// TreeDigests holds those of the lists of a tree: trees/<tree>/MTREE and SHA256SUMS.
type TreeDigests = lists.Digests

// Databases is the second tree of a run: below its root, it has one directory for each dump, with regular files and
// directories.
type Databases struct {
	Dumps   []recorded.Dump `json:"dumps"` // 1 to 16, each name once
	Tree    string          `json:"tree"`
	Digests TreeDigests     `json:"digests"`
	Totals  TreeTotals      `json:"totals"` // of this tree alone; those of the run do not count it
}

// storedTree is what a manifest says of one of its trees.
type storedTree struct {
	link         string // the run's link to its files
	name         string // empty: the run has no such tree
	digests      lists.Digests
	totals       TreeTotals
	linksOmitted bool // its symlinks are in MTREE only
}

// tree returns the tree that the run has a link of that name to.
func (m *Manifest) tree(link string) storedTree {
	t := storedTree{link: link}
	switch {
	case link == storageName:
		t.name, t.digests, t.totals, t.linksOmitted = m.Tree, m.Digests.TreeDigests, m.Totals.TreeTotals, m.LinksOmitted
	case m.Databases != nil:
		t.name, t.digests, t.totals = m.Databases.Tree, m.Databases.Digests, m.Databases.Totals
	}
	return t
}

// trees returns the trees that the run has.
func (m *Manifest) trees() []storedTree {
	var trees []storedTree
	for _, link := range treeLinks() {
		if t := m.tree(link); t.name != "" {
			trees = append(trees, t)
		}
	}
	return trees
}

// treeLinks returns the names of a run's links to its trees.
func treeLinks() []string { return []string{storageName, databasesName} }

// path names the tree, as problems do.
func (t storedTree) path() string { return treesDir + "/" + t.name }

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
	if m.FormatVersion < unorderedVersion {
		return errors.New("no format version")
	}
	if (m.FormatVersion == unorderedVersion) != (m.Sequence == 0) || m.Sequence < 0 || m.Sequence > maxSequence {
		return fmt.Errorf("sequence %d in format version %d", m.Sequence, m.FormatVersion)
	}
	if (m.FormatVersion == formatVersion) != (m.Databases != nil) {
		return fmt.Errorf("dumps of databases in format version %d, or none in %d", m.FormatVersion, formatVersion)
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
		if err := m.tree(storageName).validate(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown fileStorage %q", m.FileStorage)
	}
	if m.Databases != nil {
		if err := m.Databases.validate(); err != nil {
			return fmt.Errorf("databases: %w", err)
		}
	}
	if m.Encryption == nil {
		return nil
	}
	_, err := seal.ParseRecipients(m.Encryption.Recipients)
	return err
}

func (t storedTree) validate() error {
	if !lists.IsDigest(t.digests.MTREE) || !lists.IsDigest(t.digests.Files) {
		return errors.New("no digests of the tree's lists")
	}
	if t.name != lists.TreeName(t.digests.MTREE, t.digests.Files) {
		return fmt.Errorf("tree %q is not named by its lists", t.name)
	}
	return nil
}
