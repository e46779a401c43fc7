//go:build e2e

package s3_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
	"threescale.dev/backup/test/seaweedfs"
)

const (
	audience = "sts.amazonaws.com"
	role     = "arn:aws:iam::123456789012:role/backup"
)

// federated is an object store that exchanges the tokens of an issuer.
type federated struct {
	*objectstore.Server

	t      *testing.T
	issuer *objectstore.Issuer
}

func federate(t *testing.T, session time.Duration, opts ...objectstore.Option) *federated {
	t.Helper()
	issuer := objectstore.StartIssuer(t)
	return &federated{t: t, issuer: issuer, Server: objectstore.StartSeaweedFS(t, &seaweedfs.Trust{
		Issuer: issuer.URL, CA: issuer.CA, Audience: audience, Subjects: []string{"system:serviceaccount:3scale:nightly-*"},
		Role: role, Actions: []string{"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, Session: session,
	}, opts...)}
}

// in is the same for a part of a test.
func (f *federated) in(t *testing.T) *federated {
	t.Helper()
	return &federated{Server: f.Server, t: t, issuer: f.issuer}
}

// token is one of the ServiceAccount of a backup.
func (f *federated) token(lasts time.Duration) string {
	f.t.Helper()
	return f.issuer.Token(f.t, "3scale", "nightly-mover", audience, lasts)
}

// connect returns a client that has nothing but a token, and the file of it.
func (f *federated) connect(token string, change ...func(*s3.Options)) (*s3.Client, string) {
	f.t.Helper()
	file := filepath.Join(f.t.TempDir(), "token")
	require.NoError(f.t, os.WriteFile(file, []byte(token), 0o600))
	scheme := "http://"
	if f.CA != nil {
		scheme = "https://"
	}
	return connect(f.t, f.Server, append([]func(*s3.Options){func(o *s3.Options) {
		o.Credentials = s3.Credentials{RoleARN: role, TokenFile: file, STSEndpoint: scheme + f.Endpoint}
	}}, change...)...), file
}

// TestWebIdentity has one server for all, which takes ten seconds to start. It waits most of them.
func TestWebIdentity(t *testing.T) {
	t.Parallel()
	f := federate(t, time.Hour, objectstore.TLS())
	t.Run("opens the bucket", func(t *testing.T) { testOpens(t, f.in(t)) })
	t.Run("is refused", func(t *testing.T) { testIsRefused(t, f.in(t)) })
	t.Run("opens no other bucket", func(t *testing.T) { testOpensNoOther(t, f.in(t)) })
}

// TestSessionsEnd likewise, with sessions of two seconds.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	faults := objectstore.NewFaults()
	f := federate(t, 2*time.Second, objectstore.Through(faults))
	t.Run("and the token is a new one", func(t *testing.T) { testTokenIsRenewed(t, f.in(t)) })
	t.Run("while a request is on its way", func(t *testing.T) { testEndsOnTheWay(t, f.in(t), faults) })
}

func testOpens(t *testing.T, f *federated) {
	t.Helper()
	c, _ := f.connect(f.token(time.Hour) + "\n")
	require.NoError(t, c.Check(t.Context(), "prod/"))
	require.NoError(t, c.Create(t.Context(), "prod/OWNER", []byte("me"), nil))
	for key, size := range map[string]int{"prod/empty": 0, "prod/small": 70_000, "prod/parts": 11 << 20} {
		data := bytesOf(size)
		require.NoError(t, put(t.Context(), c, key, data))
		stored, err := c.Read(t.Context(), key, int64(size))
		require.NoError(t, err)
		assert.Equal(t, sumOf(data), sumOf(stored), key)
	}
	assert.Equal(t, []string{"prod/OWNER", "prod/empty", "prod/parts", "prod/small"}, keysOf(t, c, "prod/", true))
	refused, err := c.Delete(t.Context(), []string{"prod/small", "prod/empty"})
	require.NoError(t, err)
	assert.Empty(t, refused)
	assert.Equal(t, []string{"prod/OWNER", "prod/parts"}, keysOf(t, c, "prod/", true))
}

// testIsRefused: each says what is wrong, and none quotes the token.
func testIsRefused(t *testing.T, f *federated) {
	t.Helper()
	good := f.token(time.Hour)
	stranger := objectstore.StartIssuer(t)
	as := func(change func(*s3.Credentials)) func(*s3.Options) {
		return func(o *s3.Options) { change(&o.Credentials) }
	}
	same := as(func(*s3.Credentials) {})
	for name, tc := range map[string]struct {
		token  string
		change func(*s3.Options)
		says   string
	}{
		"another audience":        {f.issuer.Token(t, "3scale", "nightly-mover", "vault", time.Hour), same, "audience"},
		"expired":                 {f.token(-time.Minute), same, "expired"},
		"another ServiceAccount":  {f.issuer.Token(t, "3scale", "default", audience, time.Hour), same, "trust policy"},
		"another namespace":       {f.issuer.Token(t, "other", "nightly-mover", audience, time.Hour), same, "trust policy"},
		"another issuer":          {stranger.Token(t, "3scale", "nightly-mover", audience, time.Hour), same, "trust policy"},
		"signed by somebody else": {good[:strings.LastIndex(good, ".")] + f.token(2 * time.Hour)[strings.LastIndex(good, "."):], same, "signature"},
		"no token":                {"no token", same, "refuses the token"},
		"an empty file":           {"\n", same, "empty"},
		"no such role":            {good, as(func(c *s3.Credentials) { c.RoleARN = "arn:aws:iam::123456789012:role/none" }), "role not found: none"},
		"no role at all":          {good, as(func(c *s3.Credentials) { c.RoleARN = "backup" }), "role not found"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := f.in(t).connect(tc.token, tc.change)
			err := c.Check(t.Context(), "")
			require.Error(t, err)
			t.Log(err)
			assert.Equal(t, s3.Denied, problemOf(err), "%v", err)
			assert.ErrorContains(t, err, tc.says)
			assert.LessOrEqual(t, c.Requests(), int64(1), "it is not tried again")
			for part := range strings.SplitSeq(strings.TrimSpace(tc.token), ".") {
				assert.False(t, len(part) > 10 && strings.Contains(err.Error(), part), "it quotes the token: %v", err)
			}
		})
	}
}

func testOpensNoOther(t *testing.T, f *federated) {
	t.Helper()
	c, _ := f.connect(f.token(time.Hour), func(o *s3.Options) { o.Bucket = "others" })
	for _, err := range []error{c.Check(t.Context(), ""), put(t.Context(), c, "k", []byte("x"))} {
		require.Error(t, err)
		t.Log(err)
		assert.Equal(t, s3.Denied, problemOf(err), "%v", err)
	}
}

// testTokenIsRenewed: the kubelet writes a new token long before the old one
// expires, and who copies for hours has to take it.
func testTokenIsRenewed(t *testing.T, f *federated) {
	t.Helper()
	first := f.token(3 * time.Second)
	c, file := f.connect(first)
	require.NoError(t, put(t.Context(), c, "before", []byte("x")))
	require.NoError(t, os.WriteFile(file, []byte(f.token(time.Hour)), 0o600))
	require.Eventually(t, func() bool {
		other, _ := f.connect(first)
		return problemOf(other.Check(t.Context(), "")) == s3.Denied
	}, time.Minute, 100*time.Millisecond, "the first token to expire")
	require.NoError(t, put(t.Context(), c, "after", []byte("x")))
	assert.Equal(t, []string{"after", "before"}, keysOf(t, c, "", true))
}

// testEndsOnTheWay: the object store says InvalidAccessKeyId of credentials that
// have expired, since it does not know them any more.
func testEndsOnTheWay(t *testing.T, f *federated, faults *objectstore.Faults) {
	t.Helper()
	c, _ := f.connect(f.token(time.Hour))
	require.NoError(t, put(t.Context(), c, "k", []byte("x")))
	faults.Times(1, objectstore.Method(http.MethodGet), objectstore.Delay(3*time.Second))
	stored, err := c.Read(t.Context(), "k", 10)
	require.NoError(t, err)
	assert.Equal(t, "x", string(stored))
}
