package sops_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"
	"testing/fstest"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	sigsyaml "sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/sops"
)

// canary is a value that no error may hold.
const canary = "Y2FuYXJ5LTdmM2E5"

// secretPath is where the manifests of these tests would be committed.
const secretPath = "apps/3scale/base/dr/secret-system-seed.yaml"

// secret is a manifest with the canary in it.
const secret = `apiVersion: v1
kind: Secret
metadata:
  name: system-seed
  labels: {app: 3scale}
type: Opaque
data:
  ADMIN_PASSWORD: ` + canary + `
  DATABASE_URL: ` + canary + `
`

// party is someone for whom can be encrypted.
type party struct {
	recipient string
	identity  []byte
}

func newParty(t testing.TB) party {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return party{recipient: id.Recipient().String(), identity: []byte("# created: for a test\n" + id.String() + "\n")}
}

func newHybridParty(t testing.TB) party {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	return party{recipient: id.Recipient().String(), identity: []byte(id.String())}
}

// newSSHKeys returns public keys as authorized_keys has them, and the private keys.
func newSSHKeys(t testing.TB) (edPublic string, edPrivate ed25519.PrivateKey, rsaPublic string, rsaPrivate *rsa.PrivateKey) {
	t.Helper()
	public, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsaPrivate, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	line := func(key any) string {
		k, err := ssh.NewPublicKey(key)
		require.NoError(t, err)
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
	}
	return line(public), edPrivate, line(&rsaPrivate.PublicKey), rsaPrivate
}

// repository returns a repository with these files.
func repository(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, content := range files {
		out[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return out
}

// forRecipients is sops.ForRecipients where it must succeed.
func forRecipients(t testing.TB, parties ...party) *sops.Encrypter {
	t.Helper()
	var recipients []string
	for _, p := range parties {
		recipients = append(recipients, p.recipient)
	}
	e, err := sops.ForRecipients(recipients)
	require.NoError(t, err)
	return e
}

// requireSame says that two manifests are the same to Kubernetes.
func requireSame(t testing.TB, want, got string) {
	t.Helper()
	var w, g map[string]any
	require.NoError(t, sigsyaml.UnmarshalStrict([]byte(want), &w))
	require.NoError(t, sigsyaml.UnmarshalStrict([]byte(got), &g))
	require.Equal(t, w, g)
}

// assertEncrypted says that a manifest holds neither the canary, in any form, nor a plaintext value.
func assertEncrypted(t testing.TB, out []byte) {
	t.Helper()
	plain, err := base64.StdEncoding.DecodeString(canary)
	require.NoError(t, err)
	assert.NotContains(t, string(out), canary)
	assert.NotContains(t, string(out), string(plain))
	assert.True(t, sops.Encrypted(out))
}
