package sops_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

// TestMAC: what somebody changed is no longer read.
func TestMAC(t *testing.T) {
	alice := newParty(t)
	out, err := forRecipients(t, alice).Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	for name, c := range map[string]struct{ reason, data string }{
		"changed":         {"two values exchanged their places", strings.NewReplacer("ADMIN_PASSWORD", "DATABASE_URL", "DATABASE_URL", "ADMIN_PASSWORD").Replace(string(out))},
		"value removed":   {"the MAC tells", withoutLine(string(out), "DATABASE_URL")},
		"plaintext added": {"SOPS expects it encrypted", strings.Replace(string(out), "\ndata:\n", "\ndata:\n    ADDED: "+canary+"\n", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decrypt.Document([]byte(c.data), alice.identity)
			require.ErrorContains(t, err, "cannot decrypt", c.reason)
		})
	}
}

func withoutLine(text, word string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestDecrypt(t *testing.T) {
	alice, bob, carol := newParty(t), newParty(t), newParty(t)
	replace := strings.NewReplacer("{alice}", alice.recipient, "{bob}", bob.recipient, "{carol}", carol.recipient)
	twoOfThree := sops.ForRepository(repository(map[string]string{".sops.yaml": replace.Replace(`
creation_rules:
- encrypted_regex: ^(data|stringData)$
  shamir_threshold: 2
  key_groups:
  - age: ["{alice}"]
  - age: ["{bob}"]
  - age: ["{carol}"]
`)}))
	cases := map[string]struct {
		reason     string
		encrypter  *sops.Encrypter
		identities [][]byte
		unreadable bool
	}{
		"one of two recipients": {"each can decrypt alone", forRecipients(t, alice, bob), [][]byte{bob.identity}, false},
		"another's first":       {"all identities are tried", forRecipients(t, alice), [][]byte{bob.identity, alice.identity}, false},
		"both in one text":      {"an *.agekey may hold several", forRecipients(t, alice), [][]byte{append(append([]byte{}, bob.identity...), alice.identity...)}, false},
		"another's":             {"Flux could not decrypt", forRecipients(t, alice), [][]byte{bob.identity}, true},
		"one of three groups":   {"two are needed", twoOfThree, [][]byte{alice.identity}, true},
		"two of three groups":   {"as the rule says", twoOfThree, [][]byte{alice.identity, carol.identity}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := c.encrypter.Encrypt(secretPath, []byte(secret))
			require.NoError(t, err)
			_, err = decrypt.Document(out, c.identities...)
			if c.unreadable {
				require.ErrorIs(t, err, decrypt.ErrUnreadable, c.reason)
				return
			}
			require.NoError(t, err, c.reason)
		})
	}
}
