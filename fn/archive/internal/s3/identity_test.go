package s3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// exchange is a security token service that remembers the tokens it was given.
type exchange struct {
	tokens  []string
	expires time.Duration
	answer  string
	status  int
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.tokens = append(e.tokens, r.FormValue("WebIdentityToken"))
	if e.status != 0 {
		w.WriteHeader(e.status)
		fmt.Fprint(w, e.answer)
		return
	}
	fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>access</AccessKeyId><SecretAccessKey>a secret key</SecretAccessKey><SessionToken>session-%d</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, len(e.tokens), time.Now().Add(e.expires).UTC().Format(time.RFC3339))
}

// withToken is a client of the stand-in, which takes any keys, and the file its token is in.
func withToken(t *testing.T, e *exchange, faults *objectstore.Faults) (*s3.Client, string) {
	t.Helper()
	sts := httptest.NewServer(e)
	t.Cleanup(sts.Close)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("first-token\n"), 0o600))
	return connect(t, objectstore.StartStandIn(t, objectstore.Through(faults)), func(o *s3.Options) {
		o.Backoff.Patience = 200 * time.Millisecond
		o.Credentials = s3.Credentials{RoleARN: "arn:aws:iam::1:role/backup", TokenFile: file, STSEndpoint: sts.URL}
	}), file
}

func TestTokenIsExchanged(t *testing.T) {
	e, faults := &exchange{expires: time.Hour}, objectstore.NewFaults()
	c, file := withToken(t, e, faults)
	var session string
	faults.Always(func(r *http.Request) bool { session = r.Header.Get("X-Amz-Security-Token"); return false }, nil)
	require.NoError(t, c.Check(t.Context(), ""))
	require.NoError(t, c.Check(t.Context(), ""))
	assert.Equal(t, []string{"first-token"}, e.tokens, "once while the credentials last")
	assert.Equal(t, "session-1", session)

	require.NoError(t, os.WriteFile(file, []byte("second-token"), 0o600))
	faults.Times(1, objectstore.Any, objectstore.Answer(400, "ExpiredToken"))
	require.NoError(t, c.Check(t.Context(), ""))
	assert.Equal(t, []string{"first-token", "second-token"}, e.tokens, "credentials that expire in the middle, and a token that was rotated")
	assert.Equal(t, "session-2", session)
}

// TestKeysAreForgotten: SeaweedFS does not know keys that have expired. Keys that never opened anything are wrong.
func TestKeysAreForgotten(t *testing.T) {
	e, faults := &exchange{expires: time.Hour}, objectstore.NewFaults()
	c, _ := withToken(t, e, faults)
	faults.Times(1, objectstore.Any, objectstore.Answer(403, "InvalidAccessKeyId"))
	err := c.Check(t.Context(), "")
	assert.Equal(t, s3.Denied, problemOf(err), "%v", err)
	assert.Len(t, e.tokens, 1)

	require.NoError(t, c.Check(t.Context(), ""))
	faults.Times(1, objectstore.Any, objectstore.Answer(403, "InvalidAccessKeyId"))
	require.NoError(t, c.Check(t.Context(), ""))
	assert.Len(t, e.tokens, 2, "the token is exchanged again")
}

func TestTokenExpiresByItself(t *testing.T) {
	e := &exchange{expires: -time.Second}
	c, _ := withToken(t, e, objectstore.NewFaults())
	require.NoError(t, c.Check(t.Context(), ""))
	require.NoError(t, c.Check(t.Context(), ""))
	assert.Greater(t, len(e.tokens), 1)
}

func TestTokenServiceIsBusy(t *testing.T) {
	e := &exchange{status: 503, answer: "<html>busy</html>"}
	c, _ := withToken(t, e, objectstore.NewFaults())
	err := c.Check(t.Context(), "")
	assert.Equal(t, s3.Unreachable, problemOf(err), "%v", err)
	assert.Greater(t, len(e.tokens), 2, "it is tried again")
}

func TestTokenIsRefused(t *testing.T) {
	e := &exchange{status: 403, answer: `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>`}
	c, file := withToken(t, e, objectstore.NewFaults())
	err := c.Check(t.Context(), "")
	assert.Equal(t, s3.Denied, problemOf(err), "%v", err)
	assert.ErrorContains(t, err, "the security token service refuses the token")
	assert.NotContains(t, err.Error(), "first-token")
	assert.Len(t, e.tokens, 1, "it is not tried again")

	require.NoError(t, os.Remove(file))
	_, err = c.Get(t.Context(), "k")
	assert.Equal(t, s3.Denied, problemOf(err), "%v", err)
	assert.NotErrorIs(t, err, os.ErrNotExist, "it is the token that is not there")
}

// TestExchangedIsNotQuoted: either service may answer with what it was sent.
func TestExchangedIsNotQuoted(t *testing.T) {
	e := &exchange{status: 400, answer: `<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>cannot parse first-token</Message></Error></ErrorResponse>`}
	c, _ := withToken(t, e, objectstore.NewFaults())
	assert.ErrorContains(t, c.Check(t.Context(), ""), "cannot parse [redacted]")

	faults := objectstore.NewFaults()
	c, _ = withToken(t, &exchange{expires: time.Hour}, faults)
	faults.Always(objectstore.Any, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<Error><Code>AccessDenied</Code><Message>%s %s</Message></Error>`, r.Header.Get("X-Amz-Security-Token"), "a secret key")
	})
	assert.ErrorContains(t, c.Check(t.Context(), ""), "AccessDenied: [redacted] [redacted]")
}

func TestProxy(t *testing.T) {
	var requests atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := parseProxyAuth(r); name != "me" || password != "secret-of-proxy" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		requests.Add(1)
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Host, p.Out.URL.Scheme, p.Out.Host = p.In.Host, "http", p.In.Host
		}}).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	s := objectstore.Start(t)

	address.User = url.UserPassword("me", "secret-of-proxy")
	c := connect(t, s, func(o *s3.Options) { o.Proxy = address })
	require.NoError(t, c.Check(t.Context(), ""))
	assert.Equal(t, c.Requests(), requests.Load(), "none goes past it")

	wrong := *address
	wrong.User = url.UserPassword("me", "secret-of-nobody")
	err = connect(t, s, func(o *s3.Options) { o.Proxy, o.Backoff.Patience = &wrong, 50*time.Millisecond }).Check(t.Context(), "")
	require.Error(t, err)
	assert.Equal(t, s3.Unreachable, problemOf(err), "%v", err)
	assert.NotContains(t, err.Error(), "secret-of-nobody")
}

func parseProxyAuth(r *http.Request) (name, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
}
