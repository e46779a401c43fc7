package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"threescale.dev/backup/fn/publish/internal/failure"
)

// Explain turns a transport's error into one for users. doing is what was
// tried, such as "clone", and names no URL.
func (c *Connection) Explain(ctx context.Context, doing string, err error) *failure.Error {
	if done, ok := errors.AsType[*failure.Error](err); ok {
		return done
	}
	reason, advice := classify(err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason, advice = failure.Timeout, tooLong
	}
	detail := ""
	if said := strings.Trim(c.redact.Clean(words(err)), ": "); said != "" && reason != failure.Timeout && reason != failure.UnsupportedRepository {
		detail = ": " + said
	}
	explained := failure.New(reason, "cannot %s %q: %s%s", doing, c.URL, advice, detail)
	return explained.Because(errors.Join(err, ctx.Err()))
}

// Advice that more than one error calls for.
const (
	tooLong      = "it took longer than the timeout allows: raise it, or look at the server"
	loginRefused = "the server refuses the login: check the Secret, and that it may read and write this repository"
	noRepository = "there is no such repository, or the login may not see it: check the URL and the Secret"
)

// words is the part of a transport's error that comes from the server, else the whole text.
func words(err error) string {
	text := err.Error()
	for _, wrapper := range []string{"unexpected client error: ", "unknown error: "} {
		text = strings.TrimPrefix(text, wrapper)
	}
	return text
}

// classify finds the reason in a transport's error, and what a user can do.
func classify(err error) (failure.Reason, string) {
	if wrapper, ok := errors.AsType[*plumbing.UnexpectedError](err); ok { // which does not unwrap
		return classify(wrapper.Err)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return failure.Timeout, tooLong
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return failure.AuthenticationFailed, loginRefused
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return failure.RepositoryNotFound, noRepository
	case isCertificate(err):
		return failure.CertificateRejected, "the server's certificate is not trusted: put the authority's certificate into the Secret as ca.crt"
	}
	if status, ok := errors.AsType[*githttp.Err](err); ok {
		return classifyStatus(status.StatusCode())
	}
	return classifyText(err.Error())
}

func isCertificate(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(*tls.CertificateVerificationError))
}

func classifyStatus(code int) (failure.Reason, string) {
	switch {
	case code == http.StatusProxyAuthRequired:
		return failure.AuthenticationFailed, "the proxy refuses the login: check the proxy's Secret"
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= http.StatusInternalServerError:
		return failure.Unreachable, "the server is in trouble or wants to be asked later"
	case code == http.StatusRequestEntityTooLarge:
		return failure.PushRejected, "the server takes no commit as large as this: raise its limit"
	default:
		return failure.InvalidInput, "the server does not answer as a Git server: check the URL"
	}
}

func classifyText(text string) (failure.Reason, string) {
	has := func(parts ...string) bool { return mentions(text, parts) }
	switch {
	case has("knownhosts:", "host key mismatch", "no common algorithm for host key", "no hostkeys available"):
		return failure.HostKeyRejected, "the server's host key is not the one in known_hosts: compare it with what the server's owner publishes, and correct known_hosts in the Secret"
	case has("unable to authenticate", "permission", "denied", "not allowed", "read only", "read-only", "forbidden", "unauthorized"):
		return failure.AuthenticationFailed, loginRefused
	case has("not found", "does not exist", "not appear to be a git repository"):
		return failure.RepositoryNotFound, noRepository
	case has("unsupported hash algorithm", "object-format=sha256", "sha256"):
		return failure.UnsupportedRepository, "it names its objects by SHA-256, which Flux cannot read either: use a SHA-1 repository"
	case has("http redirect"):
		return failure.InvalidInput, "the server redirects elsewhere: use the URL that it redirects to"
	default:
		return failure.Unreachable, "the server cannot be reached or does not answer as a Git server"
	}
}

// mentions reports whether one of the parts, which are in lower case, is in a text.
func mentions(text string, parts []string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// races are parts of what servers say when another push came first.
var races = []string{
	"failed to update ref", "incorrect old value provided", "stale info", "cannot lock ref", "failed to lock",
	"fetch first", "non-fast-forward", "reference already exists", "unable to lock",
}

// passing are parts of what servers say when they are in trouble themselves.
var passing = []string{"internal", "timed out", "timeout", "try again", "temporar", "unavailable", "unpacker error"}

// refusal tells what a server's status of a reference means. forced says that the update was not a fast-forward.
func refusal(status string, forced bool) failure.Reason {
	switch {
	case forced && mentions(status, []string{"non-fast-forward"}):
		return failure.PushRejected
	case mentions(status, races):
		return failure.RaceLost
	case mentions(status, passing):
		return failure.Unreachable
	}
	return failure.PushRejected
}
