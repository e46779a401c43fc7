package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
)

// deletesAtOnce is how many keys S3 allows in a request.
const deletesAtOnce = 1000

// Delete deletes objects; what is not there is no error. In a bucket with versions they stay below a delete marker.
// What the object store does not allow to delete is returned, and is no error.
func (c *Client) Delete(ctx context.Context, keys []string) ([]Refused, error) {
	var refused []Refused
	for batch := range slices.Chunk(keys, deletesAtOnce) {
		left := batch
		err := c.do(ctx, "delete object", batch[0], func(ctx context.Context, core *minio.Core, _ int) error {
			r, again, err := c.delete(ctx, core, left)
			refused = append(refused, r...)
			left = again
			return err
		})
		if err != nil {
			return refused, err
		}
	}
	return refused, nil
}

// delete returns which keys are to be tried again, with the reason of one of them.
func (c *Client) delete(ctx context.Context, core *minio.Core, keys []string) (refused []Refused, again []string, _ error) {
	objects := make(chan minio.ObjectInfo, len(keys))
	for _, key := range keys {
		objects <- minio.ObjectInfo{Key: key}
	}
	close(objects)
	var fatal, passing, broken error
	for failed := range core.RemoveObjects(ctx, c.opts.Bucket, objects, minio.RemoveObjectsOptions{}) {
		passes, err := c.judge(failed.Err)
		switch {
		case failed.ObjectName == "": // the answer could not be read
			broken = failed.Err
		case errors.Is(err, fs.ErrNotExist):
		case isRefusal(failed.Err):
			refused = append(refused, Refused{failed.ObjectName, err})
		case passes:
			again, passing = append(again, failed.ObjectName), failed.Err
		default:
			fatal = failed.Err
		}
	}
	if err := ctx.Err(); err != nil {
		return refused, again, err
	}
	if broken != nil {
		return nil, keys, broken // nothing is known of any of them
	}
	if fatal != nil {
		return refused, again, fatal
	}
	return refused, again, passing
}

// isRefusal reports whether it is about the object, not about who asks.
func isRefusal(err error) bool {
	switch minio.ToErrorResponse(err).Code {
	case "AccessDenied", "ObjectLocked", "InvalidRequest", "InvalidObjectState", "MethodNotAllowed":
		return true
	}
	return false
}

// Retain locks an object that there is. A lock can be extended, not shortened.
func (c *Client) Retain(ctx context.Context, key string, lock Lock) error {
	mode, until := lock.mode(), lock.Until
	return c.do(ctx, "lock object", key, func(ctx context.Context, core *minio.Core, _ int) error {
		return core.PutObjectRetention(ctx, c.opts.Bucket, key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until})
	})
}

// Retention returns the lock of an object, nil if it has none, or if who asks may not know. It is read from the object's
// headers: not every object store answers the request of its own as S3 does.
func (c *Client) Retention(ctx context.Context, key string) (*Lock, error) {
	o, err := c.stat(ctx, key)
	mode := o.Metadata.Get("X-Amz-Object-Lock-Mode")
	if err != nil || mode == "" {
		return nil, err
	}
	until, err := time.Parse(time.RFC3339, o.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil {
		return nil, fmt.Errorf("cannot read lock of object %q: %w", key, &Error{Incompatible, err})
	}
	return &Lock{Compliance: mode == string(minio.Compliance), Until: until}, nil
}
