package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/mover"
)

// storeFlags are the flags of a command that only reads runs.
type storeFlags struct {
	Volume      place `required:"" placeholder:"DIR|s3://BUCKET/PREFIX" help:"Where the runs are: the root of a backup volume, or a bucket that it was copied to."`
	objectStore `embed:"" group:"object-store"`
}

// open opens where the runs are.
func (f *storeFlags) open(ctx context.Context) (archive.Store, error) {
	if f.Volume.bucket != "" {
		return f.openBucket(ctx, f.Volume)
	}
	return openVolume(f.Volume)
}

// openBucket opens the bucket of a place.
func (o *objectStore) openBucket(ctx context.Context, at place) (*archive.Bucket, error) {
	options, err := o.options(at, os.Getenv)
	if err != nil {
		return nil, exit.Usage(err)
	}
	bucket, err := archive.OpenBucket(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", options.Endpoint, err)
	}
	return bucket, nil
}

// openVolume opens the directory of a place.
func openVolume(at place) (*archive.Volume, error) {
	info, err := os.Stat(at.directory)
	switch {
	case err != nil:
		return nil, exit.Usage(fmt.Errorf("cannot open volume: %w", err))
	case !info.IsDir():
		return nil, exit.Usage(fmt.Errorf("cannot open volume %q: it is not a directory", at.directory))
	}
	volume, err := archive.OpenVolume(at.directory)
	if errors.Is(err, fs.ErrPermission) {
		return nil, exit.With(job.ExitNoPermission, err)
	}
	return volume, err
}

// advise adds what a user of the command line can do when an object store or a database fails. Whatever the
// store answered, the error quotes no credentials.
func advise(err error, env environment) error {
	err = mover.Conceal(confidential(env), err)
	if errors.Is(err, archive.ErrOwned) {
		return fmt.Errorf("%w; or, if its runs are of this very volume, give the text of that OWNER by --owner", err)
	}
	var advice string
	if failed, ok := errors.AsType[*archive.BucketError](err); ok {
		advice = bucketAdvice(failed.Problem, env)
	} else if failed, ok := errors.AsType[*database.Error](err); ok {
		advice = databaseAdvice(failed.Problem)
	}
	if advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

// bucketAdvice says what to do, in the words of the flags and of the environment.
func bucketAdvice(problem archive.BucketProblem, env environment) string {
	switch problem {
	case archive.BucketNotFound:
		return "make the bucket, or correct its name, --s3-endpoint or --s3-region"
	case archive.BucketDenied:
		return deniedAdvice(env)
	case archive.BucketClockSkew:
		return "set the clock of this machine, or that of the object store"
	case archive.BucketUntrusted:
		return "give the certificate of its authority by --s3-ca, or correct --s3-endpoint"
	case archive.BucketUnreachable:
		return "see that --s3-endpoint is right (http:// if it speaks no TLS) and the object store is up, and that no proxy or firewall is in the way; the same command goes on where it ended"
	case archive.BucketFull:
		return "raise the quota, or remove what is not needed; the same command goes on where it ended"
	case archive.BucketIncompatible:
		return "if it refuses checksums, give --s3-checksums None"
	}
	return ""
}

// confidential are the texts of the environment that no error may quote.
func confidential(env environment) archive.BucketOptions {
	options := archive.BucketOptions{Credentials: archive.Credentials{
		AccessKey: env("AWS_ACCESS_KEY_ID"), SecretKey: env("AWS_SECRET_ACCESS_KEY"), SessionToken: env("AWS_SESSION_TOKEN"),
	}}
	_, text := env.first("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
	if by, err := url.Parse(text); err == nil {
		options.Proxy = &url.URL{User: by.User} // its host may be told
	}
	return options
}

// deniedAdvice says which credentials were used.
func deniedAdvice(env environment) string {
	switch name, _ := env.first("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN"); name {
	case "AWS_ACCESS_KEY_ID":
		return "correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or give that user the right to list and read, and for copy to write"
	case "AWS_ROLE_ARN":
		return "correct AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or give that role the right to list and read, and for copy to write"
	}
	return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: there are none in the environment, and files in ~/.aws are not read"
}
