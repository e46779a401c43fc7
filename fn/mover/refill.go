package mover

import (
	"context"
	"fmt"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// Refill writes the file storage of a run into a directory, and reports. A refill that was interrupted goes on when it
// is tried again; one that is done is reported again. The error, if any, is that of the refill, else that of the
// report; ExitCode turns it into an exit code.
func Refill(ctx context.Context, o job.RefillOptions, env Env) (job.RefillResult, error) {
	result := job.RefillResult{Run: o.Run, StartTime: env.Now().UTC()}
	progress := startProgress(ctx, env)
	restored, err := refill(ctx, o, env, progress.set)
	progress.stop()
	result.CompletionTime = env.Now().UTC()
	if err != nil {
		result.Reason, result.Message = Reason(err), err.Error()
	} else {
		result.Completed, result.Skipped, result.Removed = true, restored.Skipped, restored.Removed
		result.Files, result.Bytes = restored.Files, restored.Bytes
		result.WrittenFiles, result.WrittenBytes = restored.WrittenFiles, restored.WrittenBytes
		result.Warnings = restored.Warnings
	}
	result = result.Bounded()
	return result, report(ctx, env.Reporter, o.Run, job.KeyRefill, result, err)
}

func refill(ctx context.Context, o job.RefillOptions, env Env, progress func(v1alpha1.Progress)) (*archive.Restored, error) {
	identities, err := readIdentities(o.Identities)
	if err != nil {
		return nil, err
	}
	volume, err := archive.OpenVolume(o.Volume)
	if err != nil {
		return nil, err
	}
	defer volume.Close() //nolint:errcheck // a directory that was only read
	run, err := volume.OpenRun(ctx, o.Run)
	if err != nil {
		return nil, err
	}
	defer run.Close() //nolint:errcheck // likewise
	info := run.Info()
	if err := checkManifest(info, o.ManifestSHA256); err != nil {
		return nil, err
	}
	restored, err := unlocked(ctx, env.LockPatience, progress, func() (*archive.Restored, error) {
		return run.Restore(ctx, o.FileStorage, archive.RestoreOptions{
			Existing: archive.Existing(o.Existing), Identities: identities, Progress: PassOn(progress),
		})
	})
	if is[*archive.NotEmptyError](err) {
		err = fmt.Errorf("%w: move it away, or choose what becomes of existing files (Overwrite, Mirror or Skip in place of %s)", err, o.Existing)
	}
	return restored, explainDecryption(err, info.Manifest, identities)
}
