package s3

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	awsSTS       = "https://sts.amazonaws.com"
	maxErrorBody = 64 << 10
)

// newCredentials returns nil for the identity of static keys.
func newCredentials(opts Options, transport http.RoundTripper) (*credentials.Credentials, *identity) {
	cred := opts.Credentials
	if cred.RoleARN == "" && cred.TokenFile == "" {
		return credentials.NewStaticV4(cred.AccessKey, cred.SecretKey, cred.SessionToken), nil
	}
	identity := &identity{}
	identity.STSWebIdentity = credentials.STSWebIdentity{
		Client:              &http.Client{Transport: exchanging{transport}},
		STSEndpoint:         stsEndpoint(cred.STSEndpoint, opts.Region),
		RoleARN:             cred.RoleARN,
		GetWebIDTokenExpiry: func() (*credentials.WebIdentityToken, error) { return identity.readToken(cred.TokenFile) },
	}
	return credentials.New(identity), identity
}

// identity exchanges a token, and remembers what no message may quote of that.
type identity struct {
	credentials.STSWebIdentity

	mu      sync.Mutex
	secrets []string
}

// secretsOfTwo is how many texts two exchanges have, since requests with the credentials before may be under way.
const secretsOfTwo = 2 * 4

func (i *identity) keep(secrets ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.secrets = append(i.secrets, secrets...)
	i.secrets = slices.Clone(i.secrets[max(0, len(i.secrets)-secretsOfTwo):])
}

func (i *identity) kept() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.secrets)
}

// RetrieveWithCredContext implements credentials.Provider.
func (i *identity) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	value, err := i.STSWebIdentity.RetrieveWithCredContext(cc)
	i.keep(value.AccessKeyID, value.SecretAccessKey, value.SessionToken)
	return value, err
}

// stsEndpoint prefers the region's own service, which works without the global one.
func stsEndpoint(endpoint, region string) string {
	switch {
	case endpoint != "":
		return endpoint
	case region != "":
		return "https://sts." + url.PathEscape(region) + ".amazonaws.com"
	}
	return awsSTS
}

func (i *identity) readToken(path string) (*credentials.WebIdentityToken, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, &tokenError{err}
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return nil, &tokenError{fmt.Errorf("file %q is empty", path)}
	}
	i.keep(token)
	return &credentials.WebIdentityToken{Token: token}, nil
}

// tokenError does not unwrap: a token that is not there is not an object that is not there.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "cannot read token of ServiceAccount: " + e.err.Error() }

// expire has the next request exchange a token again, and reports whether there is one.
func (c *Client) expire() bool {
	if c.identity == nil {
		return false
	}
	c.creds.Expire()
	return true
}

// hasExpired reports whether credentials that were exchanged are good no longer. Some object stores do not know such keys
// any more, which is no news of keys that never opened anything.
func (c *Client) hasExpired(code string) bool {
	return strings.HasPrefix(code, "ExpiredToken") || code == "InvalidAccessKeyId" && c.served.Load()
}

// redact removes credentials from what a server said.
func (c *Client) redact(s string) string {
	secrets := []string{c.opts.Credentials.AccessKey, c.opts.Credentials.SecretKey, c.opts.Credentials.SessionToken}
	if c.identity != nil {
		secrets = append(secrets, c.identity.kept()...)
	}
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	return s
}

// exchanging tells why an exchange failed: minio-go reads only errors in the namespace of AWS, and no status.
type exchanging struct{ http.RoundTripper }

func (t exchanging) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	failed := &exchangeError{status: response.StatusCode, code: response.Status}
	var answer struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	if xml.Unmarshal(body, &answer) == nil && answer.Code != "" {
		failed.code, failed.message = answer.Code, answer.Message
	}
	return nil, failed
}

type exchangeError struct {
	status        int
	code, message string
}

func (e *exchangeError) Error() string { return e.code + ": " + e.message }

// judgeExchange never repeats what a service says that is not of the form of AWS.
func (c *Client) judgeExchange(e *exchangeError) (again bool, _ error) {
	said := c.said(e.code, e.message)
	if passing[e.code] || e.status >= http.StatusInternalServerError || e.status == http.StatusTooManyRequests {
		return true, &Error{Unreachable, fmt.Errorf("cannot exchange token: %w", said)}
	}
	return false, &Error{Denied, fmt.Errorf("the security token service refuses the token: %w", said)}
}
