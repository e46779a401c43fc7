// Package failure says why something could not be published.
package failure

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reason is why something could not be published: a stable word for a condition.
type Reason string

// Reasons. Those that [Reason.Terminal] names stay until a person changes
// something; the others may pass by themselves.
const (
	InvalidInput          Reason = "InvalidInput"          // a malformed URL, branch, refspec, message, key or login
	AuthenticationFailed  Reason = "AuthenticationFailed"  // the login is missing, wrong, or may not do this
	HostKeyRejected       Reason = "HostKeyRejected"       // the server's SSH key is not in known_hosts, or another one is
	CertificateRejected   Reason = "CertificateRejected"   // the server's certificate is not signed by a known authority, or not its own
	RepositoryNotFound    Reason = "RepositoryNotFound"    // no such repository, or none that this login may see
	BranchNotFound        Reason = "BranchNotFound"        // the repository has no such branch
	BranchNotOurs         Reason = "BranchNotOurs"         // the push branch holds somebody else's commits
	PathRefused           Reason = "PathRefused"           // a path is malformed, or passes through a symlink, a submodule or a file
	PushRejected          Reason = "PushRejected"          // a hook, a protected branch or a rule of the server refused the commit
	UnsupportedRepository Reason = "UnsupportedRepository" // such as one with SHA-256 object names
	TooLarge              Reason = "TooLarge"              // the server sends more than is taken
	WorkTreeDirty         Reason = "WorkTreeDirty"         // the local work tree has changes that a commit would overwrite
	RaceLost              Reason = "RaceLost"              // others pushed first, at every try
	Unreachable           Reason = "Unreachable"           // the server cannot be reached or answers with an error of its own
	Timeout               Reason = "Timeout"               // the clone or the push took too long
	Internal              Reason = "Internal"              // a fault of this program; nothing was pushed
)

// Terminal reports whether trying again cannot help. A login, a known_hosts or a
// rule of a server may be mended without anybody being told, so those are tried
// again, as Flux does; a push that was refused is not, since each try is one
// more line in somebody's audit log.
func (r Reason) Terminal() bool {
	switch r {
	case RaceLost, Unreachable, Timeout, AuthenticationFailed, HostKeyRejected, CertificateRejected, RepositoryNotFound, BranchNotFound:
		return false
	default:
		return true
	}
}

// Error says why nothing was published. Its text is for users: it holds no
// credentials, no control characters and at most some thousand bytes, also
// where it quotes the server. It wraps only the errors of contexts, so that
// nothing else of a library's error can come out through it.
type Error struct {
	Reason Reason
	Server string // the server's own words when it refuses a push, cleaned
	text   string
	cause  error
}

func (e *Error) Error() string {
	if e.Server == "" {
		return e.text
	}
	return e.text + ": the server says: " + e.Server
}
func (e *Error) Unwrap() error { return e.cause }

// Because has the error wrap the context's error within err, if any, and returns it.
func (e *Error) Because(err error) *Error {
	e.cause = ContextCause(err)
	return e
}

// Login reports whether it is about who asks, or whom.
func (r Reason) Login() bool {
	return r == AuthenticationFailed || r == HostKeyRejected || r == CertificateRejected || r == RepositoryNotFound
}

// New returns an error of a reason. Its text is made printable.
func New(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, text: Printable(fmt.Sprintf(format, args...))}
}

// MaxWords bounds what is quoted of a server or a library, in bytes.
const MaxWords = 1024

// Printable replaces control characters and bytes that are not UTF-8, joins lines, and cuts what is too long.
func Printable(text string) string {
	fields := strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool { return r == '\n' || r == '\r' })
	lines := make([]string, 0, len(fields))
	for _, field := range fields {
		line := strings.TrimSpace(strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				return -1
			}
			return r
		}, field))
		if line != "" {
			lines = append(lines, line)
		}
	}
	text = strings.Join(lines, "; ")
	if len(text) <= MaxWords {
		return text
	}
	cut := MaxWords
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// Redactor replaces secrets in texts.
type Redactor struct{ replacer *strings.Replacer }

const redacted = "*****"

// minPart is the length from which a part of a secret is one itself.
const minPart = 8

// NewRedactor makes a Redactor of the given secrets, in the forms in which they travel.
func NewRedactor(secrets ...string) Redactor {
	var pairs []string
	for _, secret := range secrets {
		forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), strings.Trim(strconv.Quote(secret), `"`)}
		for part := range strings.FieldsSeq(secret) {
			if len(part) >= minPart { // of one that has more lines than it should have, one may be quoted
				forms = append(forms, part)
			}
		}
		for _, form := range forms {
			if form != "" {
				pairs = append(pairs, form, redacted)
			}
		}
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// Clean makes a text printable, without the secrets.
func (r Redactor) Clean(text string) string {
	if r.replacer != nil {
		text = r.replacer.Replace(text)
	}
	return Printable(text)
}

// ContextCause returns the context's error within err, if any: the only cause that an Error wraps.
func ContextCause(err error) error {
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return cause
		}
	}
	return nil
}
