package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
)

const maxProblems = 10_000 // problems that are told one by one

// VerifyOptions says how to verify.
type VerifyOptions struct {
	ManifestSHA256 string         // what the digest of manifest.json must be, in 64 hex digits; empty: unknown
	Workers        int            // how many files at a time; 0: one for each CPU
	Progress       func(Progress) // as in WriteOptions

	// PresenceOnly leaves the files of the file storage unread in a bucket: proven is that each is there and has its
	// size, by listing them. A volume is read all the same.
	PresenceOnly bool
}

// VerifyReport is what verifying found.
type VerifyReport struct {
	Run            string
	State          State     // Complete, Damaged or Unverified
	ManifestSHA256 string    // of the manifest as it is stored; empty if it cannot be read
	Objects        int64     // stored objects whose digests were computed
	Files          int64     // stored files of the file storage and of dumps likewise
	Bytes          int64     // of all of them, as stored
	Problems       []Problem // at most 10000, in the order of the lists; empty: the run is what was written
	ProblemCount   int64
	Warnings       []string // what does not make the backup worse, such as modes that the storage changed

	most int // problems that are told one by one
}

// Err returns an IntegrityError if there are problems.
func (r *VerifyReport) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return &IntegrityError{Run: r.Run, Problems: r.Problems}
}

func (r *VerifyReport) add(p Problem) {
	r.ProblemCount++
	if len(r.Problems) < r.most {
		r.Problems = append(r.Problems, p)
	}
}

// Verify recomputes every digest of a run, or of the newest one for [Latest]. It needs no key, writes nothing, and
// reports all mismatches: an error means that it could not look. Errors are ErrRunNotFound, VersionError, and ctx's. Of
// an unverified run it can only report what is evidently damaged.
//
// It sees what the storage returns now. It drops the pages of a file that the kernel has in memory before it reads the
// file; pages that another process has mapped or is writing stay. The caches of a disk, an array or a file server are
// out of its reach, and so are further copies in redundant storage, which may be damaged while the one that is read is
// not. It notices only with ManifestSHA256 that a run was replaced as a whole, with its manifest. It does not look at
// files that no run refers to.
func (v *Volume) Verify(ctx context.Context, run string, opts VerifyOptions) (*VerifyReport, error) {
	return verify(ctx, v, run, opts)
}

func verify(ctx context.Context, m medium, run string, opts VerifyOptions) (*VerifyReport, error) {
	info, err := m.find(ctx, run)
	if err != nil {
		return nil, err
	}
	if info.State == Complete {
		held, err := m.hold(info.ID)
		if err != nil {
			return nil, err
		}
		defer held.release() //nolint:errcheck // nothing was written to it
	}
	if opts.Workers <= 0 {
		opts.Workers = m.workers()
	}
	c := &verifier{
		stored:   m,
		opts:     opts,
		info:     info,
		progress: &progress.Meter{Report: opts.Progress},
		report:   newReport(info, maxProblems),
	}
	if err := c.verify(ctx); err != nil {
		return nil, fmt.Errorf("cannot verify run %q: %w", info.ID, err)
	}
	return c.report, nil
}

func newReport(info RunInfo, most int) *VerifyReport {
	return &VerifyReport{Run: info.ID, State: info.State, ManifestSHA256: info.ManifestSHA256, most: most}
}

// verifier verifies one run.
type verifier struct {
	stored   medium
	opts     VerifyOptions
	info     RunInfo
	progress *progress.Meter
	report   *VerifyReport
	seen     *dirfd.Seen // what was read of other trees of a volume; nil: nothing
	blobs    *seenBlobs  // what was read in a bucket; nil: nothing
}

func (c *verifier) verify(ctx context.Context) error {
	switch c.info.State {
	case Unverified:
		return c.stored.verifyRun(ctx, c)
	case Unsupported:
		return c.info.err
	case Damaged:
		return c.blame(c.info.err, Problem{Path: c.info.path(manifestName), Kind: Malformed})
	}
	m := c.info.Manifest
	files, bytes := m.Totals.Objects, m.Totals.ObjectBytes
	for _, t := range m.trees() {
		files, bytes = files+t.totals.Files, bytes+t.totals.Bytes
	}
	c.progress.Begin(progress.Verify, files, bytes)
	c.proveManifest()
	if err := c.stored.verifyRun(ctx, c); err != nil {
		return err
	}
	for _, t := range m.trees() {
		if err := c.stored.verifyTree(ctx, c, t); err != nil {
			return err
		}
	}
	warnings, err := c.stored.checkOrder(ctx)
	c.report.Warnings = append(c.report.Warnings, warnings...)
	return err
}

// blame reports a problem with what could not be read, and returns err if it says that nothing is known.
func (c *verifier) blame(err error, p Problem) error {
	if notLooked(err) {
		return err
	}
	p.Got = err.Error()
	c.report.add(p)
	return nil
}

func digestProblem(path, got, want string) Problem {
	return Problem{Path: path, Kind: Changed, Got: "sha256:" + got, Want: "sha256:" + want}
}

// proveManifest compares the manifest of a complete run with what it must be.
func (c *verifier) proveManifest() {
	if want := c.opts.ManifestSHA256; want != "" && want != c.info.ManifestSHA256 {
		c.report.add(digestProblem(c.info.path(manifestName), c.info.ManifestSHA256, want))
	}
}

// verifyRun compares the directory of the run with its list.
func (v *Volume) verifyRun(ctx context.Context, c *verifier) error {
	if c.info.State == Unverified {
		return v.verifyOperator(ctx, c)
	}
	run, err := v.openRun(c.info.ID)
	if err != nil {
		return err
	}
	defer run.Close()
	want, err := runEntries(run, c.info)
	if err != nil {
		err = c.blame(err, Problem{Path: c.info.path(lists.SumsName), Kind: Malformed})
	}
	if err != nil {
		return err
	}
	cmp := &comparison{verifier: c, root: run, prefix: c.info.path(""), want: &lists.SliceSource{Entries: want}, where: "the run"}
	cmp.count = func(path string) *int64 {
		if dir, _ := dirfd.Split(path); dir == "." {
			return nil // the manifest and the list
		}
		return &c.report.Objects
	}
	return cmp.run(ctx)
}

// runEntries returns the entries that the directory of a run should hold. Their sizes are not known: -1.
func runEntries(run *dirfd.Dir, info RunInfo) ([]lists.Entry, error) {
	m := info.Manifest
	list, readErr := readRunSums(run, m)
	entries := []lists.Entry{
		{Path: ".", Kind: lists.Directory},
		{Path: lists.SumsName, Kind: lists.File, Size: -1, SHA256: m.Digests.Objects},
		{Path: manifestName, Kind: lists.File, Size: -1, SHA256: info.ManifestSHA256},
	}
	for _, name := range objectDirs() {
		entries = append(entries, lists.Entry{Path: name, Kind: lists.Directory})
	}
	for _, s := range list {
		entries = append(entries, lists.Entry{Path: s.Path, Kind: lists.File, Size: -1, SHA256: s.SHA256})
	}
	for _, t := range m.trees() {
		entries = append(entries, lists.Entry{Path: t.link, Kind: lists.Symlink, Link: filesTarget(t.name)})
	}
	slices.SortFunc(entries, func(a, b lists.Entry) int { return lists.ComparePaths(a.Path, b.Path) })
	return entries, readErr
}

// readRunSums reads the list of a run. With an error it returns the lines before it. The lines may come in any order:
// older versions sorted encrypted objects by their paths without the suffix.
func readRunSums(run lists.Folder, m *Manifest) ([]lists.Sum, error) {
	f, err := run.OpenHashed(lists.SumsName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []lists.Sum
	listed := make(map[string]bool)
	r := lists.NewSumsReader(f)
	for r.AnyOrder = true; ; {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = validObjectPath(strings.TrimSuffix(s.Path, ageSuffix))
		}
		if err == nil && listed[s.Path] {
			err = fmt.Errorf("path %q is listed twice", s.Path)
		}
		if err == nil && int64(len(list)) >= m.Totals.Objects {
			err = fmt.Errorf("it lists more than %d objects", m.Totals.Objects)
		}
		if err != nil {
			return list, err
		}
		listed[s.Path] = true
		list = append(list, s)
	}
	return list, f.Prove(lists.SumsName, m.Digests.Objects)
}

// verifyTree compares the directory of a tree with its lists.
func (v *Volume) verifyTree(ctx context.Context, c *verifier, t storedTree) error {
	prefix := t.path() + "/"
	tree, err := v.openTree(t.name)
	if err != nil {
		return c.blame(err, Problem{Path: prefix, Kind: Missing})
	}
	defer tree.Close()
	if err := c.checkTreeRoot(tree, prefix); err != nil {
		return err
	}
	files, err := openFiles(tree, t)
	if err != nil {
		return c.blame(err, Problem{Path: prefix + lists.FilesDir, Kind: Missing})
	}
	defer files.Close()
	listed, err := lists.Open(tree, t.digests, nil)
	if err != nil {
		return c.blame(err, Problem{Path: prefix, Kind: Malformed})
	}
	defer listed.Close()
	cmp := &comparison{verifier: c, root: files, prefix: prefix + lists.FilesDir + "/", want: listed, lists: prefix, where: "its tree"}
	cmp.count = func(string) *int64 { return &c.report.Files }
	return cmp.run(ctx)
}

// openFiles opens the files of a run's tree, or returns nil if it has none: a copy without empty directories has no
// directory for no files.
func openFiles(tree *dirfd.Dir, t storedTree) (*dirfd.Dir, error) {
	files, err := tree.Sub(lists.FilesDir)
	if errors.Is(err, fs.ErrNotExist) && t.totals.Files == 0 {
		return nil, nil
	}
	return files, err
}

// checkTreeRoot reports what is in a tree besides its lists and its files.
func (c *verifier) checkTreeRoot(tree *dirfd.Dir, prefix string) error {
	names, err := tree.Names()
	if err != nil {
		return c.blame(err, Problem{Path: prefix, Kind: Malformed})
	}
	for _, name := range names {
		if !lists.IsOfTree(name) {
			c.report.add(Problem{Path: prefix + lists.Escape(name), Kind: Additional})
		}
	}
	return nil
}

// checkOrder returns warnings if the links at the root lead to another run than the newest, or if the start times of
// the runs contradict their order.
func (v *Volume) checkOrder(context.Context) (warnings []string, err error) {
	runs, err := v.ownRuns()
	sortRuns(runs)
	newest := newestOf(runs, "")
	if err != nil || newest == nil {
		return nil, err
	}
	for _, warning := range []string{v.checkLatest(newest), clockWarning(runs, newest.ID, newest.StartTime())} {
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}

// checkLatest returns a warning when the links at the root lead elsewhere than to the newest run.
func (v *Volume) checkLatest(newest *RunInfo) string {
	target, err := v.root.Readlink(latestLink) // what reads the volume through the link does not look at the file
	if v.pointer() == newest.ID && (err != nil || target == runsDir+"/"+newest.ID) {
		return ""
	}
	return fmt.Sprintf("latest does not lead to the newest run %q", newest.ID)
}
