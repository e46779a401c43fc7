package publish

import (
	"container/heap"
	"context"
	"errors"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// history walks commits, the newest first, as far as they are stored.
type history struct {
	storer  storer.EncodedObjectStorer
	queue   commits
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
	heap.Push(&h.queue, found)
	return nil
}

// next returns nil after the last commit.
func (h *history) next() (*object.Commit, error) {
	if len(h.queue) == 0 {
		return nil, nil
	}
	newest := heap.Pop(&h.queue).(*object.Commit) //nolint:forcetypeassert // the queue holds nothing else
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

// reaches tells whether a commit is a tip, or below one, as far as it is stored.
func reaches(ctx context.Context, objects storer.EncodedObjectStorer, commit plumbing.Hash, tip plumbing.Hash) (bool, error) {
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

// commits is a heap of commits, the newest on top.
type commits []*object.Commit

func (c *commits) Len() int { return len(*c) }
func (c *commits) Less(i, j int) bool {
	return (*c)[i].Committer.When.After((*c)[j].Committer.When)
}
func (c *commits) Swap(i, j int) { (*c)[i], (*c)[j] = (*c)[j], (*c)[i] }
func (c *commits) Push(x any)    { *c = append(*c, x.(*object.Commit)) } //nolint:forcetypeassert // as above
func (c *commits) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}
