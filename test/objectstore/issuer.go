package objectstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const keyID = "key-1"

// An Issuer signs tokens of ServiceAccounts and tells its public key, as an API
// server does.
type Issuer struct {
	URL string
	CA  []byte // PEM

	key *ecdsa.PrivateKey
}

// StartIssuer starts one, which ends with the test.
func StartIssuer(tb testing.TB) *Issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	i := &Issuer{key: key}
	server := httptest.NewTLSServer(i)
	tb.Cleanup(server.Close)
	i.URL, i.CA = server.URL, pemOf("CERTIFICATE", server.Certificate().Raw)
	return i
}

// ServeHTTP implements http.Handler, with the paths and the texts of an API server.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	point, err := i.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	half := len(point) / 2
	answers := map[string]any{
		"/.well-known/openid-configuration": map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/openid/v1/jwks", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		},
		"/openid/v1/jwks": map[string]any{"keys": []any{map[string]any{
			"use": "sig", "kty": "EC", "kid": keyID, "crv": "P-256", "alg": "ES256", "x": encoded(point[1 : half+1]), "y": encoded(point[half+1:]),
		}}},
	}
	answer, ok := answers[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// Token is one of a ServiceAccount, for an audience, that lasts from now on.
func (i *Issuer) Token(tb testing.TB, namespace, account, audience string, lasts time.Duration) string {
	tb.Helper()
	now := time.Now()
	header, err := json.Marshal(map[string]any{"alg": "ES256", "kid": keyID})
	require.NoError(tb, err)
	claims, err := json.Marshal(map[string]any{
		"iss": i.URL, "sub": "system:serviceaccount:" + namespace + ":" + account, "aud": []string{audience},
		"iat": now.Add(-time.Hour).Unix(), "nbf": now.Add(-time.Hour).Unix(), "exp": now.Add(lasts).Unix(),
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": account}},
	})
	require.NoError(tb, err)
	signed := encoded(header) + "." + encoded(claims)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	require.NoError(tb, err)
	size := i.key.Params().BitSize / 8
	return signed + "." + encoded(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
}

func encoded(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
