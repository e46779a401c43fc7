package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/s3"
)

// ErrTakenOver is returned (wrapped) when another copy to the prefix of a bucket began, and this one stopped for it.
var ErrTakenOver = errors.New("another copy to this bucket began")

// No lock keeps a second writer out, since a writer that died would hold it. Of two, the one that began last goes on:
// each writes a text of its own to WRITER, and asks whether that is still there before each request that would harm
// the other. Those are the ones that say that something is complete, and those that delete.

const writerName = "WRITER"

// takeOver makes this the writer, before anything is sent or looked for.
func (b *Bucket) takeOver(ctx context.Context) error {
	text := []byte(rand.Text() + "\n")
	err := b.objects.Put(ctx, b.key(writerName), bytes.NewReader(text), int64(len(text)), dirfd.DigestOf(text), nil)
	if err == nil {
		b.writer = string(text)
	}
	return bucketError(err)
}

// nobody is what a writer goes by that could not write WRITER: no other one goes by it.
const nobody = "nobody"

// vacate stops an earlier writer of a bucket that is full, so that nothing can be written there: it finds no WRITER.
func (b *Bucket) vacate(ctx context.Context) error {
	refused, err := b.objects.Delete(ctx, []string{b.key(writerName)})
	if err == nil && len(refused) > 0 {
		err = refused[0].Err
	}
	if err == nil {
		b.writer = nobody
	}
	return bucketError(err)
}

// guarded returns a context for requests that only the writer may make. It is asked for at each attempt: between two
// there may be minutes.
func (b *Bucket) guarded(ctx context.Context) context.Context {
	return s3.Guarded(ctx, func() error { return b.isWriter(ctx) })
}

// isWriter returns an error unless this is still the writer.
func (b *Bucket) isWriter(ctx context.Context) error {
	const limit = 1 << 10
	text, err := b.objects.Read(ctx, b.key(writerName), limit)
	gone := errors.Is(err, fs.ErrNotExist)
	if gone && b.writer == nobody {
		return nil
	}
	if gone || err == nil && string(text) != b.writer {
		return fmt.Errorf("%w: its %s is not that of this one", ErrTakenOver, writerName)
	}
	return err
}
