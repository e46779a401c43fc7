package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"threescale.dev/backup/fn/publish/internal/failure"
)

const (
	// historyDepth is how many commits are looked at for a trailer, where the
	// server sends commits without their files: some 15 MB, and 20 MB of memory.
	historyDepth = 50_000
	// plainDepth is how many are, where each comes with the files that it changed.
	plainDepth = 100
	// cacheSize bounds what go-git keeps of objects that it has read.
	cacheSize = 8 * cache.MiByte
	// maxFetched bounds what a server may send for one clone, in bytes.
	maxFetched = 1 << 30
	// largeObject is from which size go-git reads an object from disk instead of holding it.
	largeObject = 1 << 20
)

// Clone is a bare copy of as much of a repository as one commit needs, in a
// directory of its own. There is no work tree: what .gitignore, .gitattributes
// and symlinks could do to files on their way into a commit, they cannot do.
type Clone struct {
	connection *Connection
	directory  string
	Storer     *filesystem.Storage
	References map[string]plumbing.Hash
	filters    bool                                 // the server leaves out what it is told to
	picks      bool                                 // the server sends any object by name
	Lazy       bool                                 // files are fetched when they are read
	left       int64                                // bytes that may still be fetched
	first      *opened[transport.UploadPackSession] // that of the references, for the first fetch
}

// Open reads the references of a repository. The caller closes the clone.
func Open(ctx context.Context, c *Connection) (*Clone, error) {
	session, advertised, err := open(ctx, c, c.transport.NewUploadPackSession)
	copied := &Clone{connection: c, References: map[string]plumbing.Hash{}, left: maxFetched}
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
	case err != nil:
		return nil, c.Explain(ctx, "read the references of", err)
	default:
		copied.first = &opened[transport.UploadPackSession]{session: session, advertised: advertised}
		copied.References = advertised.References
		supports := advertised.Capabilities.Supports
		copied.filters = supports(capability.Filter)
		copied.picks = supports(capability.AllowReachableSHA1InWant) && supports(capability.AllowTipSHA1InWant)
	}
	if copied.directory, err = os.MkdirTemp("", "threescale-publish-"); err != nil { // mode 0700
		copied.hangUp()
		return nil, failure.New(failure.Unreachable, "cannot make a temporary directory: %v", err)
	}
	copied.Storer = newStorer(copied.directory)
	return copied, nil
}

func newStorer(directory string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(directory, osfs.WithBoundOS()), cache.NewObjectLRU(cacheSize),
		filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: largeObject})
}

// hangUp ends the first session if no fetch did.
func (c *Clone) hangUp() {
	if c.first != nil {
		_ = c.first.session.Close() // nothing more is asked of it
		c.first = nil
	}
}

// Close removes the clone.
func (c *Clone) Close() error {
	c.hangUp()
	return errors.Join(c.Storer.Close(), os.RemoveAll(c.directory))
}

// FetchCommits fetches history below the tips, and their files only where
// the server cannot leave them out. It tells whether there are files.
func (c *Clone) FetchCommits(ctx context.Context, tips []plumbing.Hash) (files bool, err error) {
	if c.filters {
		err := c.fetch(ctx, packp.DepthCommits(historyDepth), packp.FilterTreeDepth(0), tips...)
		if err == nil || ctx.Err() != nil {
			return false, err
		}
		c.filters = false // it says so, but does not do so: a rule of its own forbids this filter
	}
	return true, c.fetch(ctx, packp.DepthCommits(plainDepth), "", tips...)
}

// FetchFiles fetches one commit's directories, and its files too where they cannot be had later.
func (c *Clone) FetchFiles(ctx context.Context, tip plumbing.Hash) error {
	if c.filters && c.picks {
		err := c.fetch(ctx, packp.DepthCommits(1), packp.FilterBlobNone(), tip)
		c.Lazy = err == nil
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return c.fetch(ctx, packp.DepthCommits(1), "", tip)
}

// FetchObject fetches one object.
func (c *Clone) FetchObject(ctx context.Context, hash plumbing.Hash) error {
	return c.fetch(ctx, 0, "", hash)
}

// fetch fetches objects and what they refer to. It never says what is there
// already: answers to that are where servers differ and go-git is weak.
func (c *Clone) fetch(ctx context.Context, depth packp.DepthCommits, filter packp.Filter, wants ...plumbing.Hash) error {
	session, advertised, err := c.session(ctx)
	if err != nil {
		return c.connection.Explain(ctx, "clone", err)
	}
	defer func() { _ = session.Close() }() // a read that failed has said so

	request := packp.NewUploadPackRequestFromCapabilities(advertised.Capabilities)
	request.Wants, request.Depth, request.Filter = slices.Clone(wants), depth, filter // the request sorts them
	wanted := []capability.Capability{capability.NoProgress}
	if depth > 0 {
		wanted = append(wanted, capability.Shallow)
	}
	if filter != "" {
		wanted = append(wanted, capability.Filter)
	}
	if err := use(request.Capabilities, advertised, wanted...); err != nil {
		return err
	}
	response, err := session.UploadPack(ctx, request)
	if err != nil {
		return c.connection.Explain(ctx, "clone", err)
	}
	defer func() { _ = response.Close() }() // as above
	if err := c.store(ctx, request, response); err != nil {
		return c.connection.Explain(ctx, "clone", err)
	}
	return nil
}

// use asks for the wanted capabilities, of which a server may lack some.
func use(list *capability.List, advertised *packp.AdvRefs, wanted ...capability.Capability) error {
	for _, each := range wanted {
		if !advertised.Capabilities.Supports(each) {
			continue
		}
		if err := list.Set(each); err != nil {
			return failure.New(failure.Internal, "cannot ask for %q: %v", each, err)
		}
	}
	return nil
}

func (c *Clone) session(ctx context.Context) (transport.UploadPackSession, *packp.AdvRefs, error) {
	if first := c.first; first != nil {
		c.first = nil
		return first.session, first.advertised, nil
	}
	return open(ctx, c.connection, c.connection.transport.NewUploadPackSession)
}

func (c *Clone) store(ctx context.Context, request *packp.UploadPackRequest, response io.Reader) error {
	var said quote
	pack := response
	for band, size := range map[capability.Capability]sideband.Type{capability.Sideband: sideband.Sideband, capability.Sideband64k: sideband.Sideband64k} {
		if request.Capabilities.Supports(band) {
			demuxer := sideband.NewDemuxer(size, response)
			demuxer.Progress = &said
			pack = demuxer
		}
	}
	limited := &io.LimitedReader{R: pack, N: c.left + 1}
	err := packfile.UpdateObjectStorage(c.Storer, limited)
	if c.left = limited.N - 1; c.left < 0 {
		return failure.New(failure.TooLarge, "cannot clone %q: the server sends more than %d MiB: use a server that can leave out files, or a smaller repository", c.connection.URL, maxFetched>>20)
	}
	if err != nil {
		return fmt.Errorf("%w %s", err, said.String())
	}
	return ctx.Err() // go-git resolves deltas without looking at it
}

// quote keeps the beginning of what is written to it.
type quote struct{ data []byte }

func (q *quote) Write(p []byte) (int, error) {
	const enough = 4 * failure.MaxWords // some of it is cleaned away
	if room := enough - len(q.data); room > 0 {
		q.data = append(q.data, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (q *quote) String() string { return string(q.data) }
