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
	first := remote.Update{Name: t.to, Old: copied.References[t.to.String()]}
	if t.to != t.from && !first.Old.IsZero() {
		merged, err := t.reaches(ctx, copied, first.Old, head)
		if err != nil {
			return nil, err
		}
		if !merged && !t.ours(copied, first.Old) {
			return nil, fail(BranchNotOurs, "cannot push to branch %q of %q: its newest commit %s is somebody else's, and would be lost; merge the branch, or set another push branch (one for each restore)",
				t.to.Short(), t.connection.URL, first.Old.String()[:12])
		}
		first.Forced = !merged
	}
	second, err := t.refspec()
	if err != nil {
		return nil, err
	}
	if second == nil || second.Name == first.Name {
		return []remote.Update{first}, nil
	}
	if second.Old = copied.References[second.Name.String()]; !second.Old.IsZero() && !second.Forced {
		merged, err := t.reaches(ctx, copied, second.Old, head)
		if err != nil {
			return nil, err
		}
		if !merged {
			return nil, fail(BranchNotOurs, "cannot push to %q of %q: its newest commit is not below the new one; merge it, or begin the refspec with + if that commit may be lost", second.Name, t.connection.URL)
		}
	}
	return []remote.Update{first, *second}, nil
}

// reaches reports whether a commit is a tip, or below one, as far as history was fetched.
func (t *try) reaches(ctx context.Context, copied *remote.Clone, commit, tip plumbing.Hash) (bool, error) {
	found, err := reaches(ctx, copied.Storer, commit, tip)
	if err != nil {
		return false, t.connection.Explain(ctx, "read the history of", err)
	}
	return found, nil
}

// ours reports whether a commit has a record of our subject.
func (t *try) ours(copied *remote.Clone, tip plumbing.Hash) bool {
	commit, err := object.GetCommit(copied.Storer, tip)
	if err != nil || t.commit.Trailer == (Trailer{}) {
		return false
	}
	_, found := t.commit.Trailer.record(commit.Message)
	return found
}

// refspec reads the target's refspec; nil when there is none.
func (t *try) refspec() (*remote.Update, error) {
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
	return &remote.Update{Name: name, Forced: forced}, nil
}
