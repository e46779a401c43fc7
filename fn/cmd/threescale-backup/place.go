package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// bucketScheme begins a place in a bucket.
const bucketScheme = "s3://"

// The names that a ThreeScaleBackup may give, too.
var (
	bucketName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	bucketPrefix = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)
)

const maxPrefix = 512

// place is where runs are: in a directory, or in a bucket below a prefix.
type place struct { //nolint:recvcheck // only Decode writes to it
	directory string // "" for a bucket
	bucket    string
	prefix    string // without a slash at either end
}

// String is what a user gives as the place.
func (p place) String() string {
	switch {
	case p.bucket == "":
		return p.directory
	case p.prefix == "":
		return bucketScheme + p.bucket
	}
	return bucketScheme + p.bucket + "/" + p.prefix
}

// Decode reads the place from the command line.
func (p *place) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("place", &text); err != nil {
		return err
	}
	parsed, err := parsePlace(text)
	*p = parsed
	return err
}

// parsePlace reads s3://BUCKET/PREFIX, or else the path of a directory. No error quotes a
// URL: it may hold credentials.
func parsePlace(text string) (place, error) {
	rest, isBucket := strings.CutPrefix(text, bucketScheme)
	switch {
	case !isBucket && strings.Contains(text, "://"):
		return place{}, errors.New("cannot use this URL: give a directory, or s3://BUCKET/PREFIX and the URL of the object store by --s3-endpoint")
	case !isBucket:
		return place{directory: kong.ExpandPath(text)}, nil
	case strings.Contains(rest, "@"):
		return place{}, errors.New("cannot use a URL with credentials: give s3://BUCKET/PREFIX, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	prefix = strings.TrimSuffix(prefix, "/")
	if !bucketName.MatchString(bucket) {
		return place{}, errors.New("cannot use this name of a bucket: it has 3 to 63 small letters, digits, dots and hyphens, as in s3://BUCKET/PREFIX")
	}
	if prefix != "" && !validPrefix(prefix) {
		return place{}, fmt.Errorf("cannot use this prefix in bucket %q: it has at most %d letters, digits, slashes, dots, hyphens and underscores, and no empty part", bucket, maxPrefix)
	}
	return place{bucket: bucket, prefix: prefix}, nil
}

func validPrefix(prefix string) bool {
	parts := strings.Split(prefix, "/")
	return len(prefix) <= maxPrefix && bucketPrefix.MatchString(prefix) && !slices.Contains(parts, ".") && !slices.Contains(parts, "..")
}

// directory is one that is written to: a bucket takes only whole runs.
type directory string

// Decode reads the path from the command line.
func (d *directory) Decode(ctx *kong.DecodeContext) error {
	var at place
	if err := at.Decode(ctx); err != nil {
		return err
	}
	if at.bucket != "" {
		return fmt.Errorf("cannot write a run into a bucket: give a directory, and then copy it: threescale-backup copy --from DIR --to %s", at)
	}
	*d = directory(at.directory)
	return nil
}
