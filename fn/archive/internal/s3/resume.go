package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

const (
	maxUploads  = 10_000 // that are noted
	pageOfParts = 1000
)

// leftovers are uploads in parts that earlier calls did not complete.
type leftovers struct {
	mu     sync.Mutex
	prefix *string             // below which they were looked for; nil: they were not, or the object store lists none
	ids    map[string][]string // by key, the newest last
}

// FindUploads notes the uploads below a prefix that are not complete, and whose keys are ours: others are of other
// programs. From then on [Client.Put] goes on with them, and leaves its own ones there for the next call when it is
// interrupted. If the object store does not list them, for whatever reason, nothing is gone on with: the only error is
// ctx's.
func (c *Client) FindUploads(ctx context.Context, prefix string, ours func(key string) bool) error {
	found, err := c.listUploads(ctx, prefix)
	if ctx.Err() != nil {
		return err
	}
	if err != nil && !errors.Is(err, errNoUpload) { // which some say where there was none yet
		return nil
	}
	found = slices.DeleteFunc(found, func(u minio.ObjectMultipartInfo) bool { return !ours(u.Key) })
	slices.SortStableFunc(found, func(a, b minio.ObjectMultipartInfo) int { return a.Initiated.Compare(b.Initiated) })
	c.left.mu.Lock()
	defer c.left.mu.Unlock()
	c.left.prefix, c.left.ids = &prefix, make(map[string][]string, len(found))
	for _, u := range found {
		c.left.ids[u.Key] = append(c.left.ids[u.Key], u.UploadID)
	}
	return nil
}

func (c *Client) listUploads(ctx context.Context, prefix string) (found []minio.ObjectMultipartInfo, _ error) {
	var key, id string
	for len(found) < maxUploads {
		var page minio.ListMultipartUploadsResult
		err := c.do(ctx, "list uploads below", prefix, func(ctx context.Context, core *minio.Core, _ int) (err error) {
			page, err = core.ListMultipartUploads(ctx, c.opts.Bucket, prefix, key, id, "", deletesAtOnce)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			if strings.HasPrefix(u.Key, prefix) { // not every object store heeds it
				found = append(found, u)
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			break
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return found, nil
}

// AbandonUploads aborts the uploads that FindUploads noted, and that Put did not go on with.
func (c *Client) AbandonUploads(ctx context.Context) error {
	c.left.mu.Lock()
	ids := c.left.ids
	c.left.ids = nil
	c.left.mu.Unlock()
	for key, uploads := range ids {
		for _, id := range uploads {
			err := c.do(ctx, "abort upload of object", key, func(ctx context.Context, core *minio.Core, _ int) error {
				return core.AbortMultipartUpload(ctx, c.opts.Bucket, key, id)
			})
			if err != nil && !errors.Is(err, errNoUpload) {
				return err
			}
		}
	}
	return nil
}

// take returns the newest upload of a key that was noted.
func (l *leftovers) take(key string) (id string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := l.ids[key]
	if len(ids) == 0 {
		return "", false
	}
	id, l.ids[key] = ids[len(ids)-1], ids[:len(ids)-1]
	return id, true
}

// resume goes on with an upload that an earlier call left. One that is to be locked, or to have headers, is begun anew:
// its own would be those that were asked for when it began.
func (u *upload) resume(ctx context.Context) bool {
	if u.how.lock != nil || len(u.how.headers) > 0 {
		return false
	}
	id, ok := u.c.left.take(u.key)
	if !ok {
		return false
	}
	there := make(map[int]minio.ObjectPart)
	for marker := 0; ; {
		var page minio.ListObjectPartsResult
		err := u.c.do(ctx, "list parts of object", u.key, func(ctx context.Context, core *minio.Core, _ int) (err error) {
			page, err = core.ListObjectParts(ctx, u.c.opts.Bucket, u.key, id, marker, pageOfParts)
			return err
		})
		if err != nil {
			return false
		}
		for _, p := range page.ObjectParts {
			if p.PartNumber <= len(u.parts) {
				there[p.PartNumber-1] = p
			}
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			break
		}
		marker = page.NextPartNumberMarker
	}
	u.id, u.there = id, there
	return true
}

// has reports whether the upload has a part, by its digests: that of a checksum, or MD5 in its name. Where the object
// store names parts by something else, they are sent again.
func (u *upload) has(i int, size int64, digest, md5sum []byte) bool {
	part, ok := u.there[i]
	if !ok || part.Size != size {
		return false
	}
	sum := base64.StdEncoding.EncodeToString(digest)
	if part.ChecksumSHA256 != "" && part.ChecksumSHA256 != sum {
		return false
	}
	etag := strings.Trim(part.ETag, `"`)
	if part.ChecksumSHA256 == "" && etag != hex.EncodeToString(md5sum) {
		return false
	}
	u.parts[i] = u.completed(i, etag, digest)
	return true
}

// stays reports whether an upload that failed is left for the next call to go on with.
func (u *upload) stays(ctx context.Context, err error) bool {
	u.c.left.mu.Lock()
	defer u.c.left.mu.Unlock()
	if u.c.left.prefix == nil || !strings.HasPrefix(u.key, *u.c.left.prefix) || u.how.lock != nil {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return ctx.Err() != nil || ok && e.Problem == Unreachable
}
