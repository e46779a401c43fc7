package publish

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"time"
)

// Target is where a change goes.
type Target struct {
	// URL is https://, http:// or ssh://; a login in it counts where Auth has none.
	URL string
	// Auth is the data of a Secret as GitRepository has it: username and
	// password or bearerToken, ca.crt, tls.crt and tls.key; identity,
	// known_hosts and password for SSH. A provider's login goes under the same keys.
	Auth map[string][]byte
	// ProxyURL is http://, https:// or socks5:// (for SSH only the last), with its login.
	// As JSON it would lose that: [ProxyURL] makes it again.
	ProxyURL *url.URL `json:"-"`
	// Timeout bounds the clone, and the push, of each try; 60 s if zero.
	Timeout time.Duration
	// Branch is what a commit is made from.
	Branch string
	// PushBranch is where it goes, Branch if empty. Another branch is made
	// from Branch anew each time; it is overwritten only if its newest
	// commit has the record of the same subject, or is in Branch already.
	PushBranch string
	// Refspec is set too if it is not empty: "[+]<source>:<destination>", the source
	// being HEAD or the push branch.
	Refspec string
	// PushOptions are sent with the push.
	PushOptions map[string]string
}

// Change computes an edit from the files of the newest commit, which are read
// only: an [fs.FS] that also has ReadFile and Stat, opens no directory, and never
// follows a symlink. It is called again for each try. An empty edit makes no commit.
type Change func(ctx context.Context, files fs.FS) (Edit, error)

// Result is what is on the server now.
type Result struct {
	Commit string // name of the commit: the new one, the one that was found, else the newest of the branch; empty in an empty repository
	Branch string // the branch that it is on
	Head   string // the newest commit of Target.Branch before the push
	Pushed bool   // the commit is new
	Shown  bool   // a work tree of this machine shows the new commit
	Found  bool   // the trailer was on the branch already: nothing was pushed
	Note   string // the note of the trailer that was found
	Looked int    // how many commits were looked at for the trailer
	Whole  bool   // there are no others
}

// defaultTimeout is that of a GitRepository.
const defaultTimeout = 60 * time.Second

// maxTries is how often a lost race is run again.
const maxTries = 10

// Publish makes one commit with what change returns and pushes it, unless the
// commit's trailer is there already or there is nothing to change. It may
// touch only what is below the folders. Errors are of type [*Error], or those
// of change, as they are.
func Publish(ctx context.Context, target Target, folders []string, commit Commit, change Change) (Result, error) {
	if err := commit.check(); err != nil {
		return Result{}, err
	}
	t, err := newTry(target, folders, commit, change)
	if err != nil {
		return Result{}, err
	}
	return t.run(ctx)
}

// run tries until the race is won, others have won it too often, or the context ends.
func (t *try) run(ctx context.Context) (Result, error) {
	for number := 1; ; number++ {
		result, err := t.once(ctx)
		var failed *Error
		if err == nil || !errors.As(err, &failed) || failed.Reason != RaceLost || number == maxTries {
			return result, err
		}
		select {
		case <-time.After(pause(number)):
		case <-ctx.Done():
			return result, failed.Because(ctx.Err())
		}
	}
}

// pause grows with the tries, and is a random part of that, so that losers do not meet again.
func pause(number int) time.Duration {
	const first, longest = 20 * time.Millisecond, 2 * time.Second
	return rand.N(min(first<<number, longest)) //nolint:gosec // not a secret
}

// Inspect shows the files of the newest commit to view, and tells whether the
// trailer is there, without changing anything. View may be nil.
func Inspect(ctx context.Context, target Target, trailer Trailer, view func(ctx context.Context, files fs.FS) error) (result Result, err error) {
	t, err := newTry(target, nil, Commit{Trailer: trailer}, nil)
	if err != nil {
		return Result{}, err
	}
	copied, result, err := t.look(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	if view == nil {
		return result, nil
	}
	files, err := t.files(ctx, copied)
	if err != nil {
		return result, err
	}
	return result, view(ctx, files)
}
