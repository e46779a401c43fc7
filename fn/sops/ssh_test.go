package sops_test

import (
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"github.com/stretchr/testify/require"
	sigsyaml "sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

// The data key is wrapped for each SSH key, and an X25519 recipient beside them decrypts alone.
func TestEncryptsForSSHKeys(t *testing.T) {
	alice := newParty(t)
	ed, edPrivate, rsa, rsaPrivate := newSSHKeys(t)
	e, err := sops.ForRecipients([]string{ed + " someone@example.org", rsa, alice.recipient})
	require.NoError(t, err)
	out, err := e.Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	assertEncrypted(t, out)
	_, err = decrypt.Document(out, alice.identity)
	require.NoError(t, err)

	var document struct {
		SOPS struct {
			Age []struct{ Recipient, Enc string }
		}
	}
	require.NoError(t, sigsyaml.Unmarshal(out, &document))
	require.Len(t, document.SOPS.Age, 3)
	edIdentity, err := agessh.NewEd25519Identity(edPrivate)
	require.NoError(t, err)
	rsaIdentity, err := agessh.NewRSAIdentity(rsaPrivate)
	require.NoError(t, err)
	for _, key := range document.SOPS.Age {
		var identity age.Identity
		switch {
		case strings.HasPrefix(key.Recipient, "ssh-ed25519 "):
			identity = edIdentity
		case strings.HasPrefix(key.Recipient, "ssh-rsa "):
			identity = rsaIdentity
		default:
			continue
		}
		_, err := age.Decrypt(armor.NewReader(strings.NewReader(key.Enc)), identity)
		require.NoError(t, err, key.Recipient)
	}
	onlySSH, err := sops.ForRecipients([]string{ed})
	require.NoError(t, err)
	out, err = onlySSH.Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	_, err = decrypt.Document(out, alice.identity)
	require.ErrorIs(t, err, decrypt.ErrUnreadable)
}
