package mover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
)

// completeMark is a file in the scratch directory of a run that is on the volume already, so that it needs no dumps: the
// pod that stored it has ended before it could say so.
const completeMark = "complete"

// Prepare copies the mover to where the containers with the clients of databases run it, and makes the scratch directory
// of a run: empty, or with a mark that tells Dump and Backup that the run is on the volume already. A failure is reported as that of the run; the error is as that of Backup.
func Prepare(ctx context.Context, o job.PrepareOptions, env Env) (job.Prepared, error) {
	var warnings []string
	err := step(ctx, env, o.Run, func(func(v1alpha1.Progress)) (err error) {
		if o.Tools != "" {
			if err := copySelf(o.Tools); err != nil {
				return err
			}
		}
		if warnings, err = makeScratch(o); err != nil {
			return err
		}
		return markComplete(ctx, o, env)
	})
	return job.Prepared{Run: o.Run, Completed: err == nil, Warnings: job.Bounded(warnings)}, err
}

// step does what comes before a run's Backup, and reports a failure as that of the run.
func step(ctx context.Context, env Env, run string, work func(progress func(v1alpha1.Progress)) error) error {
	started := env.Now()
	progress := startProgress(ctx, env)
	err := work(progress.set)
	progress.stop()
	if err == nil {
		return nil
	}
	result := job.Result{Run: run, Reason: Reason(err), Message: err.Error(), StartTime: started.UTC(), CompletionTime: env.Now().UTC()}
	return report(ctx, env.Reporter, run, job.KeyResult, result, err)
}

// copySelf copies this very program. It is there whole or not at all, and all may run it, whatever the umask: the
// image of a database's client may have another user.
func copySelf(dir string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("cannot copy the mover: %w", err)
	}
	defer self.Close() //nolint:errcheck // it was only read
	made, err := os.CreateTemp(dir, ".mover-")
	if err != nil {
		return fmt.Errorf("cannot copy the mover: %w", err)
	}
	_, err = io.Copy(made, self)
	err = errors.Join(err, made.Chmod(0o755), made.Close())
	if err == nil {
		err = os.Rename(made.Name(), filepath.Join(dir, path.Base(job.ToolsMover)))
	}
	if err != nil {
		_ = os.Remove(made.Name()) // the error says more
		return fmt.Errorf("cannot copy the mover: %w", err)
	}
	return nil
}

// makeScratch makes the scratch directory of a run on its volume, without what an earlier try left there. It removes
// those of the runs that have ended: the dumps in them are readable, and nobody else knows of them. One that cannot be
// removed is a warning: that is no reason to make no backup.
func makeScratch(o job.PrepareOptions) (warnings []string, err error) {
	run := o.Run
	for _, id := range append([]string{run}, o.Ended...) {
		if !job.IsRunID(id) {
			return nil, &archive.UsageError{Err: fmt.Errorf("cannot make a scratch directory: %q is no ID of a run", id)}
		}
	}
	for _, name := range o.Database {
		if !slices.Contains(threescale.Databases(), threescale.Database(name)) {
			return nil, &archive.UsageError{Err: fmt.Errorf("cannot make a scratch directory: %q is none of the databases that can be dumped", name)}
		}
	}
	root, err := os.OpenRoot(o.Volume) // no symlink on the volume leads out of it
	if err != nil {
		return nil, fmt.Errorf("cannot make the scratch directory of run %q: %w", run, err)
	}
	defer root.Close() //nolint:errcheck // what is written is synced by nobody: another try makes it anew
	for _, id := range o.Ended {
		if err := root.RemoveAll(job.RunScratch(id)); err != nil {
			warnings = append(warnings, fmt.Sprintf("dumps of databases, which are not encrypted, stay in the scratch directory of run %q; remove them: %v", id, err))
		}
	}
	err = root.RemoveAll(job.RunScratch(run))
	for _, folder := range append([]string{job.FailuresFolder}, o.Database...) {
		err = cmp.Or(err, root.MkdirAll(path.Join(job.RunScratch(run), folder), 0o770))
	}
	if err != nil {
		return warnings, fmt.Errorf("cannot make the scratch directory of run %q: %w", run, err)
	}
	return warnings, nil
}

// markComplete leaves the mark if the run is on the volume and is ours, as Backup will see it.
func markComplete(ctx context.Context, o job.PrepareOptions, env Env) error {
	there, err := onVolume(ctx, o)
	if err != nil || !there {
		return err
	}
	if witness := witnessOf(o.Run, env); witness != nil {
		if begun, err := witness.Begun(ctx); err != nil || !begun {
			return err
		}
	}
	for _, folder := range append([]string{""}, o.Database...) { // Each container sees one of them.
		if err := os.WriteFile(filepath.Join(o.Volume, job.RunScratch(o.Run), folder, completeMark), nil, 0o660); err != nil {
			return fmt.Errorf("cannot mark run %q as complete: %w", o.Run, err)
		}
	}
	return nil
}

// onVolume reports whether the volume has the run whole, also if it is damaged by now: Backup says so.
func onVolume(ctx context.Context, o job.PrepareOptions) (bool, error) {
	volume, err := archive.OpenVolume(o.Volume)
	if err != nil {
		return false, err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	runs, err := volume.Runs(ctx)
	return slices.ContainsFunc(runs, func(r archive.RunInfo) bool { return r.ID == o.Run && r.State != archive.Partial }), err
}

// isMarked reports whether Prepare has left its mark in a scratch directory.
func isMarked(scratch string) (bool, error) {
	_, err := os.Lstat(filepath.Join(scratch, completeMark))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
