package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/minio/minio-go/v7"
)

// Problem is why an object store did not do what it was asked for.
type Problem string

// Why an object store fails.
const (
	NotFound     Problem = "NotFound"     // no such bucket
	Denied       Problem = "Denied"       // wrong or expired credentials, or a right is missing
	ClockSkew    Problem = "ClockSkew"    // the clock of this machine or of the object store is wrong
	Untrusted    Problem = "Untrusted"    // its certificate is not that of a known authority, or of another host
	Unreachable  Problem = "Unreachable"  // no connection, or one that ended, or 5xx for too long
	Full         Problem = "Full"         // a quota
	Incompatible Problem = "Incompatible" // it does not support what is needed, such as object lock or conditional requests
)

// Error says that an object store did not do what it was asked for. It holds no credentials.
type Error struct {
	Problem Problem
	Err     error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrDigest is returned (wrapped) when what was to be written does not have the digest that it was said to have.
var ErrDigest = errors.New("content does not have the digest it was recorded with")

var (
	errPrecondition = errors.New("an object with this name exists")
	errNoUpload     = errors.New("the upload in parts is gone")
)

// problems are what the codes of S3 mean. What is not among them is judged by its HTTP status.
var problems = map[string]Problem{
	"NoSuchBucket":                       NotFound,
	"InvalidBucketName":                  NotFound,
	"PermanentRedirect":                  NotFound, // it is in another region
	"TemporaryRedirect":                  NotFound,
	"AuthorizationHeaderMalformed":       NotFound, // likewise
	"InvalidRegion":                      NotFound,
	"IllegalLocationConstraintException": NotFound,

	"AccessDenied":            Denied,
	"AllAccessDisabled":       Denied,
	"AccountProblem":          Denied,
	"ExpiredToken":            Denied,
	"ExpiredTokenException":   Denied,
	"IDPRejectedClaim":        Denied,
	"InvalidAccessKeyId":      Denied,
	"InvalidIdentityToken":    Denied,
	"InvalidClientTokenId":    Denied,
	"InvalidToken":            Denied,
	"NotSignedUp":             Denied,
	"SignatureDoesNotMatch":   Denied,
	"TokenRefreshRequired":    Denied,
	"XAdminUserNotFound":      Denied, // versitygw, of an access key
	"UnauthorizedAccess":      Denied,
	"InvalidParameterValue":   Denied, // an STS about a role or a token
	"MalformedPolicyDocument": Denied,

	"RequestTimeTooSkewed": ClockSkew,
	"RequestExpired":       ClockSkew,

	"QuotaExceeded":                  Full,
	"QuotaExceededException":         Full,
	"BucketQuotaExceeded":            Full,
	"XMinioAdminBucketQuotaExceeded": Full,
	"XMinioStorageFull":              Full,
	"InsufficientCapacity":           Full,
	"NoSpaceLeft":                    Full,

	"NotImplemented":                       Incompatible,
	"MethodNotAllowed":                     Incompatible,
	"InvalidRequest":                       Incompatible,
	"InvalidArgument":                      Incompatible,
	"MissingContentMD5":                    Incompatible,
	"ObjectLockConfigurationNotFoundError": Incompatible,
	"InvalidBucketObjectLockConfiguration": Incompatible,
	"APINotSupported":                      Incompatible,
	"UnsupportedSignature":                 Incompatible,
}

// passing are the codes of failures that pass by themselves, whatever their status is.
var passing = map[string]bool{
	"ConditionalRequestConflict": true,
	"IncompleteBody":             true,
	"InternalError":              true,
	"OperationAborted":           true,
	"RequestLimitExceeded":       true,
	"RequestTimeout":             true,
	"RequestTimeoutException":    true,
	"ServiceUnavailable":         true,
	"SlowDown":                   true,
	"Throttling":                 true,
	"ThrottlingException":        true,
	"TooManyRequests":            true,
}

// judge says what a failure means, and whether it may pass.
func (c *Client) judge(err error) (again bool, _ error) {
	var answer minio.ErrorResponse
	var exchange *exchangeError
	var token *tokenError
	var local *localError
	switch {
	case errors.As(err, &local):
		return false, local.err
	case errors.As(err, &token):
		return false, &Error{Denied, token}
	case errors.As(err, &answer):
		return c.judgeAnswer(answer)
	case errors.As(err, &exchange):
		return c.judgeExchange(exchange)
	}
	return judgeConnection(err)
}

func (c *Client) judgeAnswer(answer minio.ErrorResponse) (again bool, _ error) {
	said := c.said(answer.Code, answer.Message)
	status := answer.StatusCode
	if answer.XMLName.Local == "" && status != 0 { // not an object store's words: whoever can name an address must not read what is there
		said = fmt.Errorf("it answers %d", status)
	}
	if c.hasExpired(answer.Code) && c.expire() {
		return true, &Error{Denied, said}
	}
	if passing[answer.Code] {
		return true, &Error{Unreachable, said}
	}
	if p, ok := problems[answer.Code]; ok {
		return false, &Error{p, said}
	}
	switch {
	case strings.Contains(answer.Message, "HTTP request to an HTTPS server"):
		return false, &Error{Unreachable, errors.New("the object store speaks TLS: leave insecure out")}
	case answer.Code == minio.NoSuchUpload:
		return false, errNoUpload
	case status == http.StatusNotFound && answer.XMLName.Local == "":
		// minio-go takes any 404 for an object that is not there, and a proxy's page is no loss.
		return false, &Error{NotFound, errors.New("it answers 404, and not as an object store does")}
	case answer.Code == minio.NoSuchKey, answer.Code == "NoSuchVersion":
		return false, fs.ErrNotExist
	case status == http.StatusPreconditionFailed, status == http.StatusNotModified:
		return false, errPrecondition
	case answer.Code == "BadDigest", answer.Code == "XAmzContentSHA256Mismatch", answer.Code == "XAmzContentChecksumMismatch":
		// The bytes were checked before they were sent: they changed on the way.
		return true, &Error{Unreachable, said}
	}
	return judgeStatus(status, said)
}

func judgeStatus(status int, said error) (again bool, _ error) {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return false, &Error{Denied, said}
	case http.StatusNotFound:
		return false, &Error{NotFound, said}
	case http.StatusInsufficientStorage:
		return false, &Error{Full, said}
	case http.StatusNotImplemented, http.StatusMethodNotAllowed, http.StatusBadRequest:
		return false, &Error{Incompatible, said}
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true, &Error{Unreachable, said}
	}
	return status >= http.StatusInternalServerError || status == 0, &Error{Unreachable, said}
}

// said is one short line, since what answers may be a proxy with a page of its own.
func (c *Client) said(code, message string) error {
	code, message = c.line(code), c.line(message)
	if code == "" || code == message {
		return fmt.Errorf("it answers: %s", message)
	}
	return fmt.Errorf("it answers %s: %s", code, message)
}

// line is the first line of what a server said, without credentials.
func (c *Client) line(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(c.redact(text)), "\n")
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "..."
	}
	return text
}

func judgeConnection(err error) (again bool, _ error) {
	if request, ok := errors.AsType[*url.Error](err); ok { // its URL says nothing that the caller does not know
		err = request.Err
	}
	var invalid *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid), errors.As(err, &authority), errors.As(err, &host):
		return false, &Error{Untrusted, fmt.Errorf("cannot trust the object store: %w", err)}
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return false, &Error{Unreachable, errors.New("the object store does not speak TLS: set insecure, or another port")}
	case strings.Contains(err.Error(), "Proxy Authentication Required"):
		return false, &Error{Unreachable, errors.New("the proxy wants other credentials")}
	case strings.HasPrefix(err.Error(), "Connection closed by foreign host"): // minio-go's word for io.EOF, with a URL
		return true, &Error{Unreachable, errors.New("the object store ended the connection without an answer")}
	}
	return true, &Error{Unreachable, fmt.Errorf("no answer from the object store: %w", notEnd(err))}
}

// notEnd returns an error of a connection that is not taken for the end of what an object holds.
func notEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection ended early")
	}
	return err
}

// isDial reports whether there was not even a connection.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// localError is one of what is to be sent, not of the object store.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }
