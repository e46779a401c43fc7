package publish

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// history walks commits, the newest first, as far as they are stored.
type history struct {
	storer  storer.EncodedObjectStorer
	queue   []*object.Commit // the newest first
	queued  map[plumbing.Hash]struct{}
	looked  int
	missing bool // there are older commits that are not stored
}

func newHistory(objects storer.EncodedObjectStorer, tips ...plumbing.Hash) (*history, error) {
	h := &history{storer: objects, queued: map[plumbing.Hash]struct{}{}}
	for _, tip := range tips {
		if err := h.push(tip); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *history) push(hash plumbing.Hash) error {
	if _, known := h.queued[hash]; known || hash.IsZero() {
		return nil
	}
	found, err := object.GetCommit(h.storer, hash)
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound):
		h.missing = true
		return nil
	case err != nil:
		return err
	}
	h.queued[hash] = struct{}{}
	at := sort.Search(len(h.queue), func(i int) bool { return h.queue[i].Committer.When.Before(found.Committer.When) })
	h.queue = slices.Insert(h.queue, at, found)
	return nil
}

// next returns nil after the last commit.
func (h *history) next() (*object.Commit, error) {
	if len(h.queue) == 0 {
		return nil, nil
	}
	newest := h.queue[0]
	h.queue = h.queue[1:]
	h.looked++
	for _, parent := range newest.ParentHashes {
		if err := h.push(parent); err != nil {
			return nil, err
		}
	}
	return newest, nil
}

// find looks for the newest record of the trailer's subject, and returns its
// commit and what it says if it is of the trailer's value.
func (h *history) find(ctx context.Context, trailer Trailer) (plumbing.Hash, Trailer, error) {
	if trailer == (Trailer{}) {
		return plumbing.ZeroHash, Trailer{}, nil
	}
	for ctx.Err() == nil {
		commit, err := h.next()
		if err != nil || commit == nil {
			return plumbing.ZeroHash, Trailer{}, err
		}
		if recorded, found := trailer.record(commit.Message); found {
			if recorded.Value == trailer.Value || strings.HasPrefix(recorded.Value, trailer.Value+"+") {
				return commit.Hash, recorded, nil
			}
			return plumbing.ZeroHash, Trailer{}, nil
		}
	}
	return plumbing.ZeroHash, Trailer{}, ctx.Err()
}

// search looks for the trailer below the tips, and notes what is found and how far it looked.
func (r *Result) search(ctx context.Context, objects storer.EncodedObjectStorer, trailer Trailer, tips ...plumbing.Hash) (plumbing.Hash, error) {
	walk, err := newHistory(objects, tips...)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	found, recorded, err := walk.find(ctx, trailer)
	r.Looked, r.Whole = walk.looked, !walk.missing
	r.Found, r.Note = !found.IsZero(), recorded.Note
	return found, err
}

// reaches reports whether a commit is a tip, or below one, as far as it is stored.
func reaches(ctx context.Context, objects storer.EncodedObjectStorer, commit, tip plumbing.Hash) (bool, error) {
	walk, err := newHistory(objects, tip)
	for err == nil && ctx.Err() == nil {
		var each *object.Commit
		if each, err = walk.next(); each == nil {
			return false, err
		}
		if each.Hash == commit {
			return true, nil
		}
	}
	return false, errors.Join(err, ctx.Err())
}
