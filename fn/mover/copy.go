package mover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/timezone"
)

// Copy copies a run of a volume into a bucket, and the earlier ones that are missing there and that the retention
// keeps; then it removes from the bucket what the retention lets go, and reports. It only reads the volume, which may be
// mounted read-only. What is in the bucket is not sent again, so that a copy that was interrupted goes on when it is
// tried again. A run that is damaged on the volume is not copied, the others are, and the copy has failed. The error, if
// any, is that of the copy, else that of the report; ExitCode turns it into an exit code.
func Copy(ctx context.Context, o job.CopyOptions, env Env) (job.CopyResult, error) {
	progress := startProgress(ctx, env)
	c := &copier{options: o, progress: copying(progress.set), result: job.CopyResult{Run: o.Run, StartTime: env.Now().UTC()}}
	err := denied(c.copy(ctx))
	progress.stop()
	c.result.CompletionTime = env.Now().UTC()
	c.result.Completed = err == nil
	if err != nil {
		c.result.Reason, c.result.Message = Reason(err), err.Error()
	}
	result := c.result.Bounded()
	return result, report(ctx, env.Reporter, o.Run, job.KeyCopy, result, err)
}

// copying reports the progress of files that are sent as that of a copy: in a run's own, they are stored.
func copying(progress func(v1alpha1.Progress)) func(v1alpha1.Progress) {
	return func(p v1alpha1.Progress) {
		p.Phase = job.PhaseCopy
		progress(p)
	}
}

// copier is one call of Copy.
type copier struct {
	rules

	options  job.CopyOptions
	lock     *archive.ObjectLock
	progress func(v1alpha1.Progress)
	run      archive.RunInfo // that is to be in the bucket
	secrets  secrets
	result   job.CopyResult
}

func (c *copier) copy(ctx context.Context) error {
	o := c.options
	zone, err := timezone.Load(o.TimeZone)
	lock, lockErr := lockOf(o)
	if err = cmp.Or(err, o.Check(), lockErr); err != nil {
		return &archive.UsageError{Err: err}
	}
	c.rules, c.lock = rules{o.Policy, zone, job.KnownManifests(o.Known)}, lock
	volume, err := archive.OpenVolume(o.Volume)
	if err != nil {
		return err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	stored, err := c.stored(ctx, volume)
	if err != nil {
		return err
	}
	return withBucket(ctx, o.BucketOptions, func(bucket *archive.Bucket, secrets secrets) error {
		c.secrets = secrets
		defer func() { c.result.Requests = bucket.Requests() }()
		return c.sync(ctx, volume, stored, bucket)
	})
}

// lockOf returns the object lock of the options; nil if they have none.
func lockOf(o job.CopyOptions) (*archive.ObjectLock, error) {
	mode := v1alpha1.ObjectLockMode(o.LockMode)
	switch {
	case mode == "" && o.LockDays == 0:
		return nil, nil
	case mode != v1alpha1.LockCompliance && mode != v1alpha1.LockGovernance:
		return nil, fmt.Errorf("cannot lock objects in mode %q: it is neither %s nor %s", mode, v1alpha1.LockGovernance, v1alpha1.LockCompliance)
	case o.LockDays < 1:
		return nil, fmt.Errorf("cannot lock objects for %d days: it is less than one", o.LockDays)
	}
	return &archive.ObjectLock{Compliance: mode == v1alpha1.LockCompliance, For: time.Duration(o.LockDays) * 24 * time.Hour}, nil
}

// stored returns the runs of the volume up to the one that is to be in the bucket, which must be the known one.
func (c *copier) stored(ctx context.Context, volume *archive.Volume) ([]archive.RunInfo, error) {
	runs, err := volume.Runs(ctx)
	if err != nil {
		return nil, err
	}
	run, err := volume.OpenRun(ctx, c.options.Run) // tells what is wrong with it
	if err != nil {
		return nil, err
	}
	c.run = run.Info()
	if err := run.Close(); err != nil {
		return nil, err
	}
	if c.run.State != archive.Complete {
		return nil, usage("cannot copy run %q: APIManagerBackup wrote it, and there is nothing to check it by", c.run.ID)
	}
	c.result.Run = c.run.ID
	if err := checkManifest(c.run, c.known[c.run.ID]); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(runs, func(r archive.RunInfo) bool { return r.ID == c.run.ID && r.State == archive.Complete })
	return runs[:at+1], nil
}

// sync brings the bucket to what the volume has, and the retention keeps.
func (c *copier) sync(ctx context.Context, volume *archive.Volume, stored []archive.RunInfo, bucket *archive.Bucket) error {
	copies, err := bucket.Runs(ctx)
	if err != nil {
		return err
	}
	if err := c.checkCopy(copies, bucket); err != nil {
		return err
	}
	missing := c.missing(stored, copies)
	copied, err := bucket.Copy(ctx, volume, archive.CopyOptions{
		Runs: missing, Owner: c.options.Owner, Lock: c.lock, Mend: c.options.Mend, Progress: PassOn(c.progress),
	})
	c.result.Runs, c.result.Files, c.result.Bytes = int64(len(copied.Runs)), copied.Files, copied.Bytes
	c.warn(copied.Warnings...)
	if err == nil {
		copied.Runs = missing // also what somebody else has copied meanwhile
	}
	copies = merged(copies, stored, copied.Runs)
	if err := c.judge(err, copies); err != nil {
		if newest := c.newestOf(copies); newest != nil && Reason(err) == v1alpha1.ReasonBucketFull {
			c.prune(ctx, bucket, copies, newest) // so that the next try has room
		}
		return err
	}
	c.prune(ctx, bucket, copies, c.run.Manifest)
	return nil
}

// newestOf returns the newest run of the installation in the bucket that is what is known of it; nil without one.
func (c *copier) newestOf(copies []archive.RunInfo) *archive.Manifest {
	for _, run := range slices.Backward(copies) {
		if run.State == archive.Complete && InstallationOf(run.Manifest) == InstallationOf(c.run.Manifest) && c.known[run.ID] == run.ManifestSHA256 {
			return run.Manifest
		}
	}
	return nil
}

// checkCopy returns an error if the bucket has the run, and what it has is not what the volume has: nothing in a bucket
// is written over.
func (c *copier) checkCopy(copies []archive.RunInfo, bucket *archive.Bucket) error {
	copied := find(copies, c.run.ID)
	switch {
	case copied == nil || copied.ManifestSHA256 == c.run.ManifestSHA256:
		return nil
	case copied.State != archive.Complete:
		return &failure{v1alpha1.ReasonIntegrity, fmt.Errorf("run %q in bucket %q is damaged: %s; remove its manifest.json there, and the next copy sends it again", copied.ID, bucket, copied.Message)}
	}
	return &failure{v1alpha1.ReasonRunReplaced, fmt.Errorf("bucket %q has another run %q than the volume: its manifest.json has SHA-256 %s there, and %s on the volume: one of the two was replaced", bucket, copied.ID, copied.ManifestSHA256, c.run.ManifestSHA256)}
}

func find(runs []archive.RunInfo, id string) *archive.RunInfo {
	if at := slices.IndexFunc(runs, func(r archive.RunInfo) bool { return r.ID == id }); at >= 0 {
		return &runs[at]
	}
	return nil
}

// byID is find for many of the runs.
func byID(runs []archive.RunInfo) map[string]*archive.RunInfo {
	found := make(map[string]*archive.RunInfo, len(runs))
	for i := range runs {
		found[runs[i].ID] = &runs[i]
	}
	return found
}

// missing returns the runs to copy, oldest first: those of the installation that only the volume has (to mend the
// bucket, also those that both have), and that the retention keeps among those of both. The run itself is the last one, also if the bucket has it: a copy also finds out
// whose the bucket is.
func (c *copier) missing(stored, copies []archive.RunInfo) []string {
	of := InstallationOf(c.run.Manifest)
	all, there := slices.Clone(copies), byID(copies)
	only, both := make(map[string]bool), make(map[string]bool)
	for _, run := range stored {
		copied := there[run.ID]
		switch {
		case copied == nil:
			only[run.ID] = true
			all = append(all, run)
		case run.State != archive.Complete || InstallationOf(run.Manifest) != of:
		case copied.ManifestSHA256 == run.ManifestSHA256:
			both[run.ID] = true
		default:
			c.warn(fmt.Sprintf("run %q in the bucket is damaged, or is not the one on the volume; it stays as it is", run.ID))
		}
	}
	archive.SortRuns(all)
	counted, uncounted := c.counted(all, c.run.ID)
	unknown := slices.DeleteFunc(runsOf(uncounted, of), func(id string) bool { return there[id] != nil })
	c.warn(named("%d runs of the volume are not what the status knows, and are not copied: %s; look at them, then remove them", unknown))
	var ids []string
	for _, d := range slices.Backward(Decide(counted, of, c.policy, c.zone, c.run.Manifest.CompletionTime)) {
		if d.Kept() && d.ID != c.run.ID && (only[d.ID] || c.options.Mend && both[d.ID]) {
			ids = append(ids, d.ID)
		}
	}
	return append(ids, c.run.ID)
}

// merged returns the runs of a bucket after a copy.
func merged(copies, stored []archive.RunInfo, copied []string) []archive.RunInfo {
	all, there, onVolume := slices.Clone(copies), byID(copies), byID(stored)
	for _, id := range copied {
		if run := onVolume[id]; run != nil && there[id] == nil {
			all = append(all, *run)
		}
	}
	archive.SortRuns(all)
	return all
}

// judge says what an error of a copy means, of which there may be one for each run. A run that another writer's
// retention has removed meanwhile need not be copied any more.
func (c *copier) judge(err error, copies []archive.RunInfo) error {
	there := find(copies, c.run.ID) != nil
	if there {
		c.result.ManifestSHA256 = c.run.ManifestSHA256
	}
	left := slices.DeleteFunc(each(err), func(err error) bool {
		gone := there && errors.Is(err, archive.ErrRunNotFound)
		if gone {
			c.warn(err.Error())
		}
		return gone
	})
	if len(left) == 0 {
		return nil
	}
	texts := make([]string, len(left))
	for i, err := range left {
		texts[i] = err.Error()
	}
	err = &reworded{strings.Join(texts, "; "), errors.Join(left...)}
	switch {
	case Reason(err) == v1alpha1.ReasonInterrupted:
		return fmt.Errorf("%w; what was sent stays, and the next copy goes on from there", err)
	case there:
		return fmt.Errorf("%w; run %q is in the bucket, from which nothing was removed", err, c.run.ID)
	}
	return err
}

// each returns the errors that were joined.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.Clone(joined.Unwrap())
	}
	return []error{err}
}

// prune removes from the bucket what the policy lets go, but for the newest run. What is there stays whatever happens,
// so a failure is a warning.
func (c *copier) prune(ctx context.Context, bucket *archive.Bucket, copies []archive.RunInfo, newest *archive.Manifest) {
	if c.policy.KeepsAll() {
		return
	}
	going, warning, err := c.goingFrom(copies, newest)
	c.warn(warning)
	if err != nil {
		c.warn(fmt.Sprintf("retention was not applied to the bucket: %v", err))
	}
	if len(going) == 0 {
		return
	}
	removed, err := bucket.Remove(ctx, going)
	if removed != nil {
		c.warn(removed.Warnings...)
	}
	if err != nil {
		c.warn(fmt.Sprintf("retention was not applied to the bucket to the end: %v", err))
	}
	if err == nil && (removed == nil || len(removed.Warnings) == 0) {
		c.result.Removed = going
		return
	}
	if left, err := bucket.Runs(ctx); err == nil {
		there := byID(left)
		c.result.Removed = slices.DeleteFunc(going, func(id string) bool { return there[id] != nil })
	}
}

// warn notes warnings, each once.
func (c *copier) warn(warnings ...string) {
	for _, w := range warnings {
		if w = c.secrets.clean(w); w != "" && !slices.Contains(c.result.Warnings, w) {
			c.result.Warnings = append(c.result.Warnings, w)
		}
	}
}
