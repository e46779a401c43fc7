package sops_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
)

func TestDecryptRefuses(t *testing.T) {
	alice, eve := newParty(t), newParty(t)
	out, err := forRecipients(t, alice).Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	cases := map[string]struct {
		reason     string
		data       string
		identities [][]byte
		message    string
	}{
		"no identity":     {"those of the environment are not looked for", string(out), nil, "there is no age identity"},
		"only a comment":  {"as an *.agekey that was emptied", string(out), [][]byte{[]byte("# created\n\n")}, "there is no age identity"},
		"another's":       {"no recipient of it", string(out), [][]byte{eve.identity}, "none of the identities"},
		"plugin":          {"it would start a program", string(out), [][]byte{alice.identity, []byte("AGE-PLUGIN-" + canary + "-1QQQ")}, "line 1 of age identity 2: it is of an age plugin"},
		"malformed":       {"it may be a mistyped key", string(out), [][]byte{[]byte("\nAGE-SECRET-KEY-1" + canary)}, "line 2 of age identity 1"},
		"recipient":       {"a public key decrypts nothing", string(out), [][]byte{[]byte(alice.recipient)}, "line 1 of age identity 1"},
		"plaintext":       {"nothing to decrypt", secret, [][]byte{alice.identity}, "not a SOPS document"},
		"malformed YAML":  {"the parser would quote it", "{" + canary, [][]byte{alice.identity}, "malformed YAML"},
		"changed":         {"two values exchanged their places", strings.NewReplacer("ADMIN_PASSWORD", "DATABASE_URL", "DATABASE_URL", "ADMIN_PASSWORD").Replace(string(out)), [][]byte{alice.identity}, "was changed"},
		"value removed":   {"the MAC tells", withoutLine(string(out), "DATABASE_URL"), [][]byte{alice.identity}, "was changed"},
		"plaintext added": {"SOPS expects it encrypted", strings.Replace(string(out), "\ndata:\n", "\ndata:\n    ADDED: "+canary+"\n", 1), [][]byte{alice.identity}, "was changed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := sops.Decrypt([]byte(c.data), c.identities...)
			require.ErrorContains(t, err, c.message, c.reason)
			assert.NotContains(t, err.Error(), canary)
			assert.NotContains(t, err.Error(), strings.ToLower(canary))
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
			_, err = sops.Decrypt(out, c.identities...)
			if c.unreadable {
				require.ErrorIs(t, err, sops.ErrUnreadable, c.reason)
				return
			}
			require.NoError(t, err, c.reason)
		})
	}
}
