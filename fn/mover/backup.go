// Package mover is what runs in a Job's pod. Backup reads the snapshot that the Job mounts, writes a run with package
// archive, and reports how it went; Prepare and Dump run before it if the run holds databases. Inspect verifies a run and hands its objects over; Refill writes its file storage.
// Verify reads stored runs again. Copy copies runs of a volume into a bucket.
package mover

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/timezone"
)

// lockInterval is how often a volume that another writer holds is tried.
const lockInterval = time.Second

// Reporter stores what the mover reports: a value under a key of the report, as package job defines them. The value
// must have been stored when Report returns without an error.
type Reporter interface {
	Report(ctx context.Context, key string, value any) error
}

// Readers is what a Reporter may implement too: it names the restores that read the volume, during which no run may be
// removed; "" if there are none.
type Readers interface {
	Readers(ctx context.Context) (string, error)
}

// Notes is what a Reporter may also be: it tells what was reported before, by this process or an earlier one.
type Notes interface {
	Begun(ctx context.Context, run string) (bool, error)
}

// Env is what the mover needs beside its options.
type Env struct {
	Reporter     Reporter                // may be nil
	Handover     Handover                // takes the objects that Inspect reads; nil: they are not handed over
	Store        archive.Store           // where runs are read, and stays open; nil: what their options name
	FileBucket   *archive.BucketOptions  // file storage that Refill writes; nil: what its options name
	Progress     func(v1alpha1.Progress) // called with every step, thousands of times a second; may be nil
	Now          func() time.Time        // the clock
	Hostname     string                  // tells other writers who holds the volume
	LockPatience time.Duration           // how long to wait while another writer holds the volume
}

// Backup writes the run that o describes, removes those that its retention lets go, and reports the result. A run that
// is complete already is verified and reported again. The error, if any, is that of the run, else that of the report;
// ExitCode turns it into an exit code.
func Backup(ctx context.Context, o job.Options, env Env) (job.Result, error) {
	started := env.Now()
	progress := startProgress(ctx, env)
	result, err := backUp(ctx, o, env, progress.set)
	progress.stop()
	switch left := removeScratch(o.Databases); {
	case left != nil && err != nil:
		err = fmt.Errorf("%w; %s", err, left.Error()) // its text alone: the reason stays that of the run
	case left != nil:
		result.Warnings = job.Bounded(append([]string{left.Error()}, result.Warnings...))
	}
	if err != nil {
		result = job.Result{Run: o.Run, Reason: Reason(err), Message: err.Error()}
		result.StartTime, result.CompletionTime = started.UTC(), env.Now().UTC()
	}
	return result, report(ctx, env.Reporter, o.Run, job.KeyResult, result, err)
}

// removeScratch removes the scratch directory of a run, whether the run is stored or has failed: the next try dumps
// again, and what is there is not encrypted.
func removeScratch(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("the dumps of databases, which are not encrypted, stay in the scratch directory of the volume; remove them: %w", err)
	}
	return nil
}

func backUp(ctx context.Context, o job.Options, env Env, progress func(v1alpha1.Progress)) (job.Result, error) {
	zone, err := timezone.Load(o.TimeZone)
	if err = cmp.Or(err, o.Check()); err != nil {
		return job.Result{}, &archive.UsageError{Err: err}
	}
	snapshot, err := readSnapshot(o.Objects)
	if err != nil {
		return job.Result{}, err
	}
	volume, err := archive.OpenVolume(o.Volume)
	if err != nil {
		return job.Result{}, err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	prune := &pruner{rules: rules{o.Policy, zone, job.KnownManifests(o.Known)}, volume: volume, env: env, progress: progress}
	options := writeOptions(o, env, snapshot, progress)
	var hidden secrets
	if o.FileBucket {
		if options.FilesBucket, err = snapshot.fileBucket(o.FileBucketToken); err != nil {
			return job.Result{}, err
		}
		hidden = secretsOf(*options.FilesBucket)
	}
	if o.Databases != "" {
		if options.Dumps, err = dumpsOf(o.Databases); err != nil {
			return job.Result{}, err
		}
	}
	written, err := unlocked(ctx, env.LockPatience, progress, func() (*archive.Result, error) { return volume.Write(ctx, options) })
	if err != nil {
		source := snapshot.Description.Source
		return job.Result{}, hidden.conceal(prune.advise(ctx, Installation{Namespace: source.Namespace, APIManager: source.APIManager}, err))
	}
	result := resultOf(written)
	if o.ProveLinks {
		prune.mend(ctx, o.Run)
	}
	prune.prune(ctx, written.Manifest)
	prune.tell(&result, written.Manifest)
	return result, nil
}

func writeOptions(o job.Options, env Env, snapshot *snapshot, progress func(v1alpha1.Progress)) archive.WriteOptions {
	source := snapshot.Description.Source
	return archive.WriteOptions{
		Run:        o.Run,
		Holder:     env.Hostname,
		Objects:    snapshot.Objects,
		Files:      o.FileStorage,
		Databases:  o.Databases,
		Source:     archive.Source{Namespace: source.Namespace, APIManager: source.APIManager, UID: source.UID, Version: source.ThreeScale, FileStorage: source.FileStorage},
		Cause:      snapshot.Description.Cause,
		Recipients: o.Recipient,
		Known:      job.KnownManifests(o.Known),
		Witness:    witnessOf(o.Run, env),
		ProveLinks: o.ProveLinks,
		Now:        env.Now,
		Progress:   PassOn(progress),
	}
}

// PassOn returns what takes the progress of package archive, and reports it as a Job's.
func PassOn(progress func(v1alpha1.Progress)) func(archive.Progress) {
	return func(p archive.Progress) {
		progress(v1alpha1.Progress(p))
	}
}

// unlocked makes a call again while another writer holds the volume, since a Job would use up its few retries long
// before a large backup is done. The error says whether the other writer took too long or ctx has ended, since the
// advice differs.
func unlocked[T any](ctx context.Context, patience time.Duration, progress func(v1alpha1.Progress), call func() (T, error)) (T, error) {
	tooLong := time.After(patience)
	for {
		result, err := call()
		if !is[*archive.LockedError](err) {
			return result, err
		}
		progress(v1alpha1.Progress{Phase: job.PhaseLocked})
		select {
		case <-ctx.Done():
			return result, fmt.Errorf("stopped while it waited: %w: %w", ctx.Err(), err)
		case <-tooLong:
			return result, err
		case <-time.After(lockInterval):
		}
	}
}

// resultOf is the report of a run, but for its warnings.
func resultOf(written *archive.Result) job.Result {
	m := written.Manifest
	r := job.Result{
		Run:            m.Run,
		Completed:      true,
		StartTime:      m.StartTime,
		CompletionTime: m.CompletionTime,
		Files:          m.Totals.Objects + m.Totals.Files,
		Bytes:          m.Totals.ObjectBytes + m.Totals.Bytes,
		LinkedFiles:    m.Totals.LinkedFiles,
		StoredBytes:    m.Totals.ObjectBytes + m.Totals.Bytes - m.Totals.LinkedBytes,
		ManifestSHA256: written.ManifestSHA256,
		Encrypted:      m.Encryption != nil,
	}
	if d := m.Databases; d != nil {
		r.Files += d.Totals.Files
		r.Bytes += d.Totals.Bytes
		r.LinkedFiles += d.Totals.LinkedFiles
		r.StoredBytes += d.Totals.Bytes - d.Totals.LinkedBytes
		r.Databases = d.Dumps
	}
	for _, entry := range m.Skipped {
		r.Skipped = append(r.Skipped, fmt.Sprintf("%s (%s)", entry.Path, entry.Type))
	}
	r.Skipped = job.Bounded(r.Skipped)
	return r
}
