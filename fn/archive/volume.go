package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// The names of the layout.
const (
	runsDir       = "runs"
	treesDir      = "trees"
	partialPrefix = ".partial-" // of runs and trees that are being built
	removedPrefix = ".removed-" // of runs and trees that are being removed
	asidePrefix   = ".aside-"   // of what had the name of a run that had not begun
	stampsPrefix  = ".stamps-"  // of lists of stamps, followed by the tree
	manifestName  = "manifest.json"
	latestLink    = "latest"
	latestFile    = "LATEST"
	lockName      = ".lock"
	storageName   = "system-filestorage-pvc"
	databasesName = "databases"
	ageSuffix     = ".age"
)

// Latest stands for the complete run that was committed last wherever a run ID is read; with none, for [UnverifiedRun]
// if there is one.
const Latest = "latest"

// UnverifiedRun is the ID of what the operator's APIManagerBackup wrote at the root of a volume. It has no manifest.
const UnverifiedRun = "apimanagerbackup"

// objectDirs returns the directories of a run that hold objects, sorted.
func objectDirs() []string { return []string{"apimanager", "configmaps", "secrets"} }

// Volume is an open backup volume. Any number of goroutines and processes may read it; one process at a time writes.
type Volume struct{ root *dirfd.Dir }

// OpenVolume opens the directory where a volume is mounted. It writes nothing: the volume may be mounted read-only.
func OpenVolume(path string) (*Volume, error) {
	root, err := dirfd.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open volume %q: %w", path, err)
	}
	return &Volume{root: root}, nil
}

// Close releases the volume.
func (v *Volume) Close() error { return v.root.Close() }

// State is what a run is good for.
type State string

// The states of a run.
const (
	Complete    State = "Complete"    // it has its manifest: all of it was on disk when it got its name
	Partial     State = "Partial"     // it was interrupted; the next attempt of it goes on, that of another run removes it
	Damaged     State = "Damaged"     // its manifest cannot be read, or is another run's
	Unsupported State = "Unsupported" // its manifest is of a newer format than this package reads
	Unverified  State = "Unverified"  // the operator's APIManagerBackup wrote it: there is nothing to check it by
)

// RunInfo is what is known of a run without reading its data.
type RunInfo struct {
	ID             string
	State          State
	Manifest       *Manifest // nil unless Complete
	ManifestSHA256 string    // 64 hex digits; empty unless Complete
	Message        string    // what is wrong with a damaged or unsupported run

	err error // behind Message
}

// path names an entry in the directory of the run, as problems do.
func (r *RunInfo) path(name string) string { return lists.Escape(runsDir + "/" + r.ID + "/" + name) }

// StartTime is when the run began by the clock of its node, or the zero time when that is not known.
func (r *RunInfo) StartTime() time.Time {
	if r.Manifest == nil {
		return time.Time{}
	}
	return r.Manifest.StartTime
}

// Runs lists the runs of the volume, oldest first, in the order of compareRuns. A damaged run is listed as Damaged, and
// is no error.
func (v *Volume) Runs(_ context.Context) ([]RunInfo, error) {
	runs, err := v.ownRuns()
	if err != nil {
		return nil, fmt.Errorf("cannot list runs of volume %q: %w", v.root.Path, err)
	}
	operators, err := v.isOperators()
	if err != nil {
		return nil, fmt.Errorf("cannot list runs of volume %q: %w", v.root.Path, err)
	}
	if operators {
		runs = append(runs, RunInfo{ID: UnverifiedRun, State: Unverified})
	}
	sortRuns(runs)
	return runs, nil
}

// names lists a directory of the volume; one that is not there is empty.
func (v *Volume) names(dir string) ([]string, error) {
	d, err := v.root.Sub(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Names()
}

// ownRuns lists what is below runs/.
func (v *Volume) ownRuns() ([]RunInfo, error) {
	names, err := v.names(runsDir)
	var runs []RunInfo
	for _, name := range names {
		if id, ok := strings.CutPrefix(name, partialPrefix); ok {
			runs = append(runs, RunInfo{ID: id, State: Partial})
		} else if !strings.HasPrefix(name, ".") {
			runs = append(runs, v.readRun(name))
		}
	}
	return runs, err
}

// readRun describes the run in a directory of that name.
func (v *Volume) readRun(name string) RunInfo {
	data, err := v.root.ReadFile(runsDir+"/"+name+"/"+manifestName, maxManifest)
	return decodeRun(name, data, err)
}

func (v *Volume) openTree(name string) (*dirfd.Dir, error) { return v.root.Sub(treesDir + "/" + name) }

func (v *Volume) openRun(id string) (*dirfd.Dir, error) { return v.root.Sub(runsDir + "/" + id) }

// readManifest reads the manifest in a directory below runs/.
func (v *Volume) readManifest(name string) (*Manifest, error) {
	data, err := v.root.ReadFile(runsDir+"/"+name+"/"+manifestName, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("cannot read manifest: %w", err)
	}
	return decodeManifest(data)
}

// isOperators reports whether APIManagerBackup wrote to the volume: it makes directories where our links would be.
func (v *Volume) isOperators() (bool, error) {
	for _, name := range viewNames() {
		if kind, err := v.root.Kind(name); kind == unix.S_IFDIR || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// viewNames returns the names at the root of a volume that APIManagerRestore reads.
func viewNames() []string { return append(objectDirs(), storageName) }

// find returns the run of an ID, or the newest one for Latest.
func (v *Volume) find(ctx context.Context, id string) (RunInfo, error) {
	if validRunID(id) == nil { // then there is no need to read all of them, of which there may be very many
		if run := v.readRun(id); run.State == Complete {
			return run, nil
		}
	}
	runs, err := v.Runs(ctx)
	if err != nil {
		return RunInfo{}, err
	}
	return findRun(v, runs, id)
}

// named lists the newest runs that could be restored, newest first.
func named(runs []RunInfo) string {
	const most = 5
	var ids []string
	for _, r := range slices.Backward(runs) {
		if (r.State == Complete || r.State == Unverified) && len(ids) < most {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// validRunID accepts a plain file name that every file system can hold, and that is none of our own names.
func validRunID(id string) error {
	const maxLen = 128
	if id == "" || len(id) > maxLen || strings.HasPrefix(id, ".") || strings.HasPrefix(id, "-") {
		return fmt.Errorf("run ID %q is not 1 to %d characters that begin with a letter or digit", id, maxLen)
	}
	for _, c := range []byte(id) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("._-", c) < 0 {
			return fmt.Errorf("run ID %q has a character other than letters, digits, dot, underscore and hyphen", id)
		}
	}
	if strings.EqualFold(id, Latest) || id == UnverifiedRun {
		return fmt.Errorf("run ID %q is reserved", id)
	}
	return nil
}

var _ Store = &Volume{}

func (v *Volume) String() string { return v.root.Path }
