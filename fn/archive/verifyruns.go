package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/progress"
)

// VerifyRunsOptions says which runs to verify, and how.
type VerifyRunsOptions struct {
	Run      string            // ID of the only one, or Latest; empty: all
	Expect   map[string]string // by run ID, what the digest of its manifest.json must be, as in VerifyOptions
	Workers  int               // as in VerifyOptions
	Progress func(Progress)    // likewise; what was read of another run counts as done at once
}

// VerifyRuns verifies all runs of the volume as Verify does, and reads what they share once: a tree, and a file that
// several trees link. A run that Expect names and that is not on the volume is reported as damaged, also when another
// one is verified; one that is removed meanwhile is left out. No run is removed while it is read, where the file system
// has locks. Of all runs, one of a newer format is not: its report has a warning. An error means that it could not
// look; those are the ones of Verify.
//
// The reports of all runs together list about 10000 problems, and at least 10 of each run.
func (v *Volume) VerifyRuns(ctx context.Context, opts VerifyRunsOptions) (*VolumeReport, error) {
	return verifyRuns(ctx, v, opts)
}

func verifyRuns(ctx context.Context, m medium, opts VerifyRunsOptions) (*VolumeReport, error) {
	if opts.Workers <= 0 {
		opts.Workers = m.workers()
	}
	there, err := m.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var runs []RunInfo
	if opts.Run != "" {
		only, err := findRun(m, there, opts.Run)
		if err != nil {
			return nil, err
		}
		runs = []RunInfo{only}
	}
	there = slices.DeleteFunc(there, func(r RunInfo) bool { return r.State == Partial })
	slices.Reverse(there)
	if opts.Run == "" {
		runs = there
	}
	a := &runsVerifier{
		stored:   m,
		opts:     opts,
		progress: &progress.Meter{Report: opts.Progress},
		seen:     dirfd.NewSeen(),
		blobs:    newSeenBlobs(),
		trees:    make(map[sharedTree]*VerifyReport),
		most:     max(minProblems, maxProblems/max(1, len(runs))),
		report:   &VolumeReport{},
	}
	a.begin(runs)
	for _, info := range runs {
		gone, err := a.verifyHeld(ctx, info)
		if err != nil {
			return nil, fmt.Errorf("cannot verify run %q: %w", info.ID, err)
		}
		if gone {
			there = slices.DeleteFunc(slices.Clone(there), func(r RunInfo) bool { return r.ID == info.ID })
		}
	}
	a.tellMissing(there)
	if err := a.finish(ctx); err != nil {
		_, volume := m.words()
		return nil, fmt.Errorf("cannot verify %s %q: %w", volume, m, err)
	}
	return a.report, nil
}

// finish adds the warnings about the volume as a whole.
func (a *runsVerifier) finish(ctx context.Context) error {
	files, bytes := a.seen.Read()
	blobs, blobBytes := a.blobs.read()
	a.report.Files, a.report.Bytes = a.report.Files+files+blobs, a.report.Bytes+bytes+blobBytes
	if len(a.report.Runs) == 0 {
		on, volume := a.stored.words()
		a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("there are no runs %s the %s", on, volume))
	}
	warnings, err := a.stored.checkOrder(ctx)
	a.report.Warnings = append(a.report.Warnings, warnings...)
	return err
}

const minProblems = 10 // that are told of each run, however many there are

// runsVerifier is one call of VerifyRuns.
type runsVerifier struct {
	stored   medium
	opts     VerifyRunsOptions
	progress *progress.Meter
	seen     *dirfd.Seen
	blobs    *seenBlobs
	trees    map[sharedTree]*VerifyReport // what was found in them
	left     map[string]int               // trees that were not read yet, by the links to them: those of one kind share files
	most     int                          // problems of a run that are told one by one
	report   *VolumeReport
}

// sharedTree is a tree, and what of a manifest says how it is to be read.
type sharedTree struct {
	name                    string
	encrypted, linksOmitted bool
}

func sharedTreeOf(m *Manifest, t storedTree) sharedTree {
	return sharedTree{name: t.name, encrypted: m.Encryption != nil, linksOmitted: t.linksOmitted}
}

func (a *runsVerifier) begin(runs []RunInfo) {
	files, bytes := int64(0), int64(0)
	a.left = make(map[string]int)
	counted := make(map[sharedTree]bool)
	for _, info := range runs {
		m := info.Manifest
		if m == nil {
			continue
		}
		files, bytes = files+m.Totals.Objects, bytes+m.Totals.ObjectBytes
		for _, t := range m.trees() {
			if key := sharedTreeOf(m, t); !counted[key] {
				counted[key] = true
				a.left[t.link]++
				files, bytes = files+t.totals.Files, bytes+t.totals.Bytes
			}
		}
	}
	a.progress.Begin(progress.Verify, files, bytes)
}

// verifyHeld verifies one run and keeps it from being removed meanwhile. A run that went before that, or in spite of it
// where there are no locks, is gone and not damaged: of all runs, it is left out.
func (a *runsVerifier) verifyHeld(ctx context.Context, info RunInfo) (gone bool, err error) {
	if info.State == Complete {
		if held, err := a.stored.hold(info.ID); err == nil { // else it is going, or what follows tells what is wrong
			defer held.release() //nolint:errcheck // nothing was written to it
		}
	}
	before := *a.report
	err = a.verify(ctx, info)
	if ctx.Err() != nil || err == nil && len(a.report.Runs[len(a.report.Runs)-1].Problems) == 0 || a.stored.isThere(ctx, info) {
		return false, err
	}
	if a.opts.Run != "" {
		return true, fmt.Errorf("it was removed: %w", ErrRunNotFound)
	}
	a.report.Runs, a.report.Verified = before.Runs, before.Verified
	return true, nil
}

// isThere reports whether a run is still on the volume, as far as this process may look.
func (v *Volume) isThere(_ context.Context, info RunInfo) bool {
	run, err := v.openRun(info.ID)
	return info.State == Unverified || !errors.Is(errors.Join(err, run.Close()), fs.ErrNotExist)
}

// verify verifies one run, and its trees unless that was done for another run.
func (a *runsVerifier) verify(ctx context.Context, info RunInfo) error {
	c := &verifier{
		stored:   a.stored,
		blobs:    a.blobs,
		opts:     VerifyOptions{ManifestSHA256: a.opts.Expect[info.ID], Workers: a.opts.Workers},
		info:     info,
		progress: a.progress,
		report:   newReport(info, a.most),
	}
	a.report.Runs = append(a.report.Runs, c.report)
	if info.State == Complete || info.State == Damaged {
		a.report.Verified++
	}
	switch info.State {
	case Unsupported:
		if a.opts.Run != "" {
			return info.err
		}
		c.report.Warnings = append(c.report.Warnings, info.Message)
		return c.proveUnread(ctx)
	case Complete:
	default:
		return c.verify(ctx)
	}
	c.proveManifest()
	if err := c.stored.verifyRun(ctx, c); err != nil {
		return err
	}
	a.report.Files, a.report.Bytes = a.report.Files+c.report.Objects, a.report.Bytes+c.report.Bytes
	for _, t := range info.Manifest.trees() {
		found, err := a.tree(ctx, *c, t)
		if err != nil {
			return err
		}
		c.report.merge(found)
	}
	return nil
}

// proveUnread compares a manifest that cannot be read with what it must be, if that is known.
func (c *verifier) proveUnread(ctx context.Context) error {
	want := c.opts.ManifestSHA256
	if want == "" {
		return nil
	}
	data, err := c.stored.folder(ctx, runsDir+"/"+c.info.ID).ReadFile(manifestName, maxManifest)
	if notLooked(err) {
		return err
	}
	if got := dirfd.DigestOf(data); err != nil || got != want {
		c.report.add(digestProblem(c.info.path(manifestName), got, want))
	}
	return nil
}

func (a *runsVerifier) tree(ctx context.Context, c verifier, t storedTree) (*VerifyReport, error) {
	key := sharedTreeOf(c.info.Manifest, t)
	if found := a.trees[key]; found != nil {
		return found, nil
	}
	found := &VerifyReport{most: a.most}
	c.report, c.seen = found, a.seen
	a.left[t.link]--
	a.seen.Last = a.left[t.link] == 0 // a million files take much room
	if err := c.stored.verifyTree(ctx, &c, t); err != nil {
		return nil, err
	}
	a.trees[key] = found
	return found, nil
}

func (r *VerifyReport) merge(tree *VerifyReport) {
	r.Files += tree.Files
	r.Bytes += tree.Bytes
	for _, p := range tree.Problems {
		r.add(p)
	}
	r.ProblemCount += tree.ProblemCount - int64(len(tree.Problems))
	r.Warnings = append(r.Warnings, tree.Warnings...)
}

// tellMissing reports expected runs that are missing, or were replaced and not read.
func (a *runsVerifier) tellMissing(runs []RunInfo) {
	for _, id := range slices.Sorted(maps.Keys(a.opts.Expect)) {
		want := a.opts.Expect[id]
		problem := Problem{Path: runsDir + "/" + id, Kind: Missing, Want: "sha256:" + want}
		if at := slices.IndexFunc(runs, func(r RunInfo) bool { return r.ID == id }); at >= 0 {
			if runs[at].ManifestSHA256 == want || slices.ContainsFunc(a.report.Runs, func(r *VerifyReport) bool { return r.Run == id }) {
				continue
			}
			problem = digestProblem(problem.Path+"/"+manifestName, runs[at].ManifestSHA256, want)
		}
		report := newReport(RunInfo{ID: id, State: Damaged}, a.most)
		report.add(problem)
		a.report.Runs = append(a.report.Runs, report)
	}
}
