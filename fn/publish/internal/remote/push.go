package remote

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"threescale.dev/backup/fn/publish/internal/failure"
)

// Update is one reference to be set to the new commit.
type Update struct {
	Name   plumbing.ReferenceName
	Old    plumbing.Hash // what it must be until then; zero: it must not exist
	Forced bool          // Old is not below the new commit
}

// Push sends the objects of one commit and sets the references to it, all in
// one request: on servers that can, all of them or none. Each is set only if
// it still is what the commit was made from: that is how a lost race shows.
func (c *Clone) Push(ctx context.Context, commit plumbing.Hash, objects []plumbing.Hash, updates []Update, options map[string]string) error {
	session, advertised, err := open(ctx, c.connection, c.connection.transport.NewReceivePackSession)
	if err != nil {
		return c.connection.Explain(ctx, "push to", err)
	}
	defer func() { _ = session.Close() }() // the report says what became of the push
	for _, each := range updates {
		if advertised.References[each.Name.String()] != each.Old {
			return failure.New(failure.RaceLost, "cannot push to %q: somebody else pushed to %q at the same time", c.connection.URL, each.Name.Short())
		}
	}
	var said quote
	request, err := c.request(advertised, commit, updates, options)
	if err != nil {
		return err
	}
	request.Progress = &said
	reader, writer := io.Pipe()
	request.Packfile = reader
	encoded := make(chan struct{})
	go func() {
		defer close(encoded)
		_, err := packfile.NewEncoder(writer, c.Storer, true).Encode(objects, 0)
		_ = writer.CloseWithError(err) // never fails
	}()
	defer func() { <-encoded }() // it reads the clone, which goes next
	defer func() { _ = reader.Close() }()

	report, err := session.ReceivePack(ctx, request)
	return c.outcome(ctx, report, err, updates, said.String())
}

// request asks for what the server can do: to say why it refuses, to take all or nothing, and to take options.
func (c *Clone) request(advertised *packp.AdvRefs, commit plumbing.Hash, updates []Update, options map[string]string) (*packp.ReferenceUpdateRequest, error) {
	request := packp.NewReferenceUpdateRequestFromCapabilities(advertised.Capabilities)
	wanted := []capability.Capability{capability.Sideband64k}
	if len(updates) > 1 {
		wanted = append(wanted, capability.Atomic)
	}
	if len(options) > 0 {
		if !advertised.Capabilities.Supports(capability.PushOptions) {
			return nil, failure.New(failure.InvalidInput, "cannot push to %q: the server takes no push options (receive.advertisePushOptions); remove them", c.connection.URL)
		}
		wanted = append(wanted, capability.PushOptions)
	}
	if err := use(request.Capabilities, advertised, wanted...); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		request.Options = append(request.Options, &packp.Option{Key: key, Value: options[key]})
	}
	for _, each := range updates {
		request.Commands = append(request.Commands, &packp.Command{Name: each.Name, Old: each.Old, New: commit})
	}
	return request, nil
}

// outcome tells what became of a push. Without a report nobody knows: then the trailer tells the next try.
func (c *Clone) outcome(ctx context.Context, report *packp.ReportStatus, err error, updates []Update, said string) error {
	if report == nil {
		if err == nil {
			return nil // the server reports nothing, and has closed without an error
		}
		return c.connection.Explain(ctx, "push to", err)
	}
	if report.UnpackStatus != "ok" {
		refused := failure.New(failure.Unreachable, "cannot push to %q: the server could not store the commit", c.connection.URL)
		refused.Server = c.connection.redact.Clean(report.UnpackStatus + "\n" + said)
		return refused
	}
	for _, status := range report.CommandStatuses {
		if status.Status == "ok" {
			continue
		}
		forced := slices.ContainsFunc(updates, func(u Update) bool { return u.Name == status.ReferenceName && u.Forced })
		return c.refused(status, refusal(status.Status, forced), said)
	}
	return nil // what failed after the report, failed after the push
}

func (c *Clone) refused(status *packp.CommandStatus, reason failure.Reason, said string) *failure.Error {
	texts := map[failure.Reason]string{
		failure.PushRejected: "the server refused the commit: change its rules, sign the commit, or set another push branch",
		failure.RaceLost:     "somebody else pushed at the same time",
		failure.Unreachable:  "the server is in trouble",
	}
	refused := failure.New(reason, "cannot push to %q of %q: %s", status.ReferenceName.Short(), c.connection.URL, texts[reason])
	refused.Server = c.connection.redact.Clean(strings.TrimSpace(status.Status + "\n" + said))
	return refused
}
