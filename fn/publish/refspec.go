package publish

import (
	"context"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"threescale.dev/backup/fn/publish/internal/remote"
)

// updates lists the references to set, and refuses to overwrite what is not ours.
func (t *try) updates(ctx context.Context, copied *remote.Clone, head plumbing.Hash) ([]remote.Update, error) {
	old := copied.References[t.to.String()]
	first := remote.Update{Name: t.to, Old: old}
	if t.to != t.from && !old.IsZero() {
		merged, err := reaches(ctx, copied.Storer, old, head)
		if err != nil {
			return nil, t.connection.Explain(ctx, "read the history of", err)
		}
		if !merged && !t.ours(copied, old) {
			return nil, fail(BranchNotOurs, "cannot push to branch %q of %q: its newest commit %s is somebody else's, and would be lost; merge or delete the branch, or set another push branch (one for each restore)",
				t.to.Short(), t.connection.URL, old.String()[:12])
		}
		first.Forced = !merged
	}
	second, err := t.refspec(func(name plumbing.ReferenceName) plumbing.Hash { return copied.References[name.String()] })
	if err != nil {
		return nil, err
	}
	if second == nil || second.Name == first.Name {
		return []remote.Update{first}, nil
	}
	if second.Old.IsZero() || second.Forced {
		return []remote.Update{first, *second}, nil
	}
	merged, err := reaches(ctx, copied.Storer, second.Old, head)
	switch {
	case err != nil:
		return nil, t.connection.Explain(ctx, "read the history of", err)
	case !merged:
		return nil, fail(BranchNotOurs, "cannot push to %q of %q: its newest commit is not below the new one; merge or delete it, or begin the refspec with +", second.Name, t.connection.URL)
	default:
		return []remote.Update{first, *second}, nil
	}
}

// ours tells whether a commit has a record of our subject.
func (t *try) ours(copied *remote.Clone, tip plumbing.Hash) bool {
	commit, err := object.GetCommit(copied.Storer, tip)
	if err != nil || t.commit.Trailer == (Trailer{}) {
		return false
	}
	_, found := t.commit.Trailer.record(commit.Message)
	return found
}

// refspec reads the target's refspec; nil when there is none.
func (t *try) refspec(current func(plumbing.ReferenceName) plumbing.Hash) (*remote.Update, error) {
	if t.target.Refspec == "" {
		return nil, nil
	}
	text, forced := strings.CutPrefix(t.target.Refspec, "+")
	source, destination, _ := strings.Cut(text, ":")
	name := plumbing.ReferenceName(destination)
	switch {
	case source != "HEAD" && source != t.to.String() && source != t.to.Short():
		return nil, fail(InvalidInput, "cannot use the refspec %q: its source must be HEAD or the branch %q, which holds the new commit", t.target.Refspec, t.to.Short())
	case !strings.HasPrefix(destination, "refs/") || name.Validate() != nil && !strings.Contains(destination, "%"): // Gerrit puts options after a %
		return nil, fail(InvalidInput, "cannot use the refspec %q: its destination must begin with refs/", t.target.Refspec)
	case forced && name == t.from:
		return nil, fail(InvalidInput, "cannot use the refspec %q: the branch %q is never overwritten", t.target.Refspec, t.from.Short())
	}
	second := &remote.Update{Name: name, Forced: forced}
	if current != nil {
		second.Old = current(name)
	}
	return second, nil
}
