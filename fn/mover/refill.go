package mover

import (
	"context"
	"fmt"

	"filippo.io/age"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// Refill writes the file storage of a run into a directory or a bucket, and reports. A refill that was interrupted goes on when it
// is tried again; one that is done is reported again. The error, if any, is that of the refill, else that of the
// report; ExitCode turns it into an exit code.
func Refill(ctx context.Context, o job.RefillOptions, env Env) (job.RefillResult, error) {
	result := job.RefillResult{Run: o.Run, StartTime: env.Now().UTC()}
	progress := startProgress(ctx, env)
	r := &refiller{options: o, env: env, progress: progress.set}
	err := r.refill(ctx)
	progress.stop()
	result.CompletionTime = env.Now().UTC()
	if err != nil {
		result.Reason, result.Message = Reason(err), err.Error()
	} else {
		restored := r.restored
		result.Completed, result.Skipped, result.Removed = true, restored.Skipped, restored.Removed
		result.Files, result.Bytes = restored.Files, restored.Bytes
		result.WrittenFiles, result.WrittenBytes = restored.WrittenFiles, restored.WrittenBytes
		result.Warnings = restored.Warnings
	}
	result = result.Bounded()
	return result, report(ctx, env.Reporter, o.Run, job.KeyRefill, result, err)
}

// refiller is one call of Refill.
type refiller struct {
	options    job.RefillOptions
	env        Env
	progress   func(v1alpha1.Progress)
	identities []age.Identity
	restored   *archive.Restored
}

func (r *refiller) refill(ctx context.Context) (err error) {
	if r.identities, err = readIdentities(r.options.Identities); err != nil {
		return err
	}
	return withStore(ctx, r.env, r.options.Volume, r.options.BucketOptions, func(store archive.Store) (err error) {
		r.restored, err = r.refillFrom(ctx, store)
		return err
	})
}

func (r *refiller) refillFrom(ctx context.Context, store archive.Store) (*archive.Restored, error) {
	run, err := store.OpenRun(ctx, r.options.Run)
	if err != nil {
		return nil, err
	}
	defer run.Close() //nolint:errcheck // it was only read
	info := run.Info()
	if err := checkManifest(info, r.options.ManifestSHA256); err != nil {
		return nil, err
	}
	bucket, err := r.bucketToFill(ctx, run)
	if err != nil {
		return nil, explainDecryption(err, info.Manifest, r.identities)
	}
	restored, err := unlocked(ctx, r.env.LockPatience, r.progress, func() (*archive.Restored, error) {
		options := archive.RestoreOptions{Existing: archive.Existing(r.options.Existing), Identities: r.identities, Progress: PassOn(r.progress)}
		if bucket != nil {
			restored, err := run.RestoreToBucket(ctx, *bucket, options)
			return restored, Conceal(*bucket, err)
		}
		return run.Restore(ctx, r.options.FileStorage, options)
	})
	if is[*archive.NotEmptyError](err) {
		err = fmt.Errorf("%w: move it away, or choose what becomes of existing files (Overwrite, Mirror or Skip in place of %s)", err, r.options.Existing)
	}
	return restored, explainDecryption(err, info.Manifest, r.identities)
}
