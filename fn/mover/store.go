package mover

import (
	"context"
	"errors"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
)

// withStore opens the volume or the bucket that holds runs, and closes it after the call, unless env has one open.
// What it returns quotes nothing of the bucket's Secrets.
func withStore(ctx context.Context, env Env, volume string, o job.BucketOptions, call func(archive.Store) error) error {
	if env.Store != nil {
		return call(env.Store)
	}
	inBucket := o != job.BucketOptions{}
	if (volume != "") == inBucket {
		return &archive.UsageError{Err: errors.New("cannot tell where the runs are: give a volume or a bucket, and not both")}
	}
	if inBucket {
		return withBucket(ctx, o, func(b *archive.Bucket, _ secrets) error { return call(b) })
	}
	opened, err := archive.OpenVolume(volume)
	if err != nil {
		return err
	}
	defer opened.Close() //nolint:errcheck // a directory that was only read
	return call(opened)
}

// withBucket is withStore for a bucket that may be written to. The call conceals the secrets in other texts than its
// error.
func withBucket(ctx context.Context, o job.BucketOptions, call func(*archive.Bucket, secrets) error) error {
	options, secrets, err := readBucket(o)
	if err != nil {
		return err
	}
	bucket, err := archive.OpenBucket(ctx, options)
	if err == nil {
		defer bucket.Close() //nolint:errcheck // what was sent is there, or the call has failed
		err = call(bucket, secrets)
	}
	return secrets.conceal(err)
}
