package mover

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// Verify recomputes every digest of one run or of all, and reports what it found. It only reads the volume, which may
// be mounted read-only, or the bucket, does not wait for a writer, and needs no key of age.
//
// Damage is what it looks for, and no error: the verification is complete, the report names the damage, and the exit
// code is 0, since the Job did its work and another try would find the same. The error, if any, is that of a volume
// that could not be read or of an interruption, else that of the report; ExitCode turns it into an exit code.
func Verify(ctx context.Context, o job.VerifyOptions, env Env) (job.Verification, error) {
	result := job.Verification{StartTime: env.Now().UTC()}
	progress := startProgress(ctx, env)
	found, err := verifyRuns(ctx, env, o, progress.set)
	err = denied(err)
	progress.stop()
	result.CompletionTime = env.Now().UTC()
	result.Completed = err == nil
	if err != nil {
		result.Reason, result.Message = Reason(err), err.Error()
	} else {
		describeDamage(&result, found)
	}
	result = result.Bounded()
	return result, report(ctx, env.Reporter, o.Run, job.KeyVerification, result, err)
}

func verifyRuns(ctx context.Context, env Env, o job.VerifyOptions, progress func(v1alpha1.Progress)) (found *archive.VolumeReport, err error) {
	err = withStore(ctx, env, o.Volume, o.BucketOptions, func(store archive.Store) (err error) {
		found, err = verifyIn(ctx, store, o, progress)
		return err
	})
	return found, err
}

func verifyIn(ctx context.Context, store archive.Store, o job.VerifyOptions, progress func(v1alpha1.Progress)) (*archive.VolumeReport, error) {
	options := archive.VerifyRunsOptions{Progress: PassOn(progress)}
	runs, err := store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	if o.Run != job.All {
		if options.Run, err = resolve(ctx, store, latestKnown(runs, o)); err != nil {
			return nil, err
		}
	}
	options.Expect = expected(runs, o)
	return store.VerifyRuns(ctx, options)
}

// latestKnown returns the run to verify: for the latest, the one that is known to be. Another may have been added that
// says of itself that it is newer.
func latestKnown(runs []archive.RunInfo, o job.VerifyOptions) string {
	there := slices.ContainsFunc(runs, func(r archive.RunInfo) bool { return r.ID == o.ExpectRun && r.State != archive.Partial })
	if o.Run == job.Latest && there {
		return o.ExpectRun
	}
	return o.Run
}

// expected returns the digests to compare with, by run: those of runs that must be there, and those of known runs that
// are still there, since retention removes runs.
func expected(runs []archive.RunInfo, o job.VerifyOptions) map[string]string {
	expect := make(map[string]string)
	known := job.KnownManifests(o.Known)
	for _, run := range runs {
		if digest, ok := known[run.ID]; ok && run.State != archive.Partial {
			expect[run.ID] = digest
		}
	}
	if o.ExpectRun != "" && o.ManifestSHA256 != "" {
		expect[o.ExpectRun] = o.ManifestSHA256
	}
	return expect
}

// denied turns a permission error of a volume into one of reading, since nothing is written here.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) && !is[*archive.BucketError](err) {
		return &failure{v1alpha1.ReasonUnreadable, err}
	}
	return err
}

func describeDamage(result *job.Verification, found *archive.VolumeReport) {
	result.Runs, result.Files, result.Bytes = found.Verified, found.Files, found.Bytes
	if damaged, ok := errors.AsType[*archive.DamagedRunsError](found.Err()); ok {
		result.DamagedRuns = damaged.Runs
	}
	for _, damage := range found.Damages() {
		result.Problems = append(result.Problems, damage.String())
	}
	result.Warnings = found.AllWarnings()
}
