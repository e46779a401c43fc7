package recipients_test

import (
	"crypto/ed25519"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"threescale.dev/backup/fn/recipients"
	"threescale.dev/backup/fn/sops"
)

func x25519(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return key
}

func hybrid(t *testing.T) *age.HybridIdentity {
	t.Helper()
	key, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	return key
}

func sshKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// TestKinds has each kind of recipient, with what SOPS, which encrypts what a restore commits, makes of the same. Where
// the two differ there is a reason.
func TestKinds(t *testing.T) {
	a, b, pq, pq2 := x25519(t), x25519(t), hybrid(t), hybrid(t)
	classic, quantum, ed := a.Recipient().String(), pq.Recipient().String(), sshKey(t)
	cases := map[string]struct {
		reason string
		texts  []string
		says   string // "": it is good
		sops   bool
	}{
		"X25519":            {"what age-keygen prints", []string{classic}, "", true},
		"Two":               {"each can decrypt alone", []string{classic, b.Recipient().String()}, "", true},
		"Hybrid":            {"what age-keygen -pq prints", []string{quantum}, "", true},
		"TwoHybrid":         {"likewise", []string{quantum, pq2.Recipient().String()}, "", true},
		"Repeated":          {"no harm", []string{classic, classic}, "", true},
		"Space":             {"a line of a file with its end", []string{" " + classic + "\n"}, "", true},
		"Mixed":             {"age refuses; SOPS encrypts for each by itself", []string{classic, quantum}, "beside others", true},
		"SSH":               {"a restore is given *.agekey files only; who decrypts a commit himself may have another key", []string{ed}, "entry 1 is an SSH public key", true},
		"SSHWithComment":    {"likewise", []string{classic, ed + " me@example.com"}, "entry 2 is an SSH public key", true},
		"SSHCommentOfKey":   {"its comment is no key", []string{classic, ed + " of the private key in the safe"}, "entry 2 is an SSH public key", true},
		"Plugin":            {"it would start a program", []string{"age1yubikey1q2w3e4"}, "entry 1 is a recipient of an age plugin", false},
		"Tag":               {"of a hardware key, likewise", []string{"age1tag1qwe82cz"}, "age plugin", false},
		"TagPQ":             {"likewise", []string{"age1tagpq1qwe82cz"}, "age plugin", false},
		"Empty":             {"a variable without a value", []string{classic, ""}, "entry 2 is not an age recipient", false},
		"None":              {"encrypted for nobody cannot be read by anybody", nil, "there is none", false},
		"Letter":            {"one letter is wrong", []string{classic[:10] + "b" + classic[11:]}, "entry 1 is not an age recipient", false},
		"HybridLetter":      {"likewise", []string{quantum[:10] + "b" + quantum[11:]}, "entry 1 is not an age recipient", false},
		"Short":             {"it was cut", []string{classic[:40]}, "entry 1 is not an age recipient", false},
		"HybridShort":       {"by a schema that allowed 253 characters", []string{quantum[:253]}, "entry 1 is not an age recipient", false},
		"UpperCase":         {"age takes it for another kind", []string{strings.ToUpper(classic)}, "entry 1 is not an age recipient", false},
		"TwoInOne":          {"a list in one entry", []string{classic + "," + b.Recipient().String()}, "entry 1", false},
		"TwoLines":          {"a file in one entry", []string{classic + "\n" + b.Recipient().String()}, "entry 1", false},
		"Comment":           {"as above a key in a file", []string{"# mine\n" + classic}, "entry 1 is not an age recipient", false},
		"Identity":          {"the private key in its place", []string{a.String()}, "entry 1 is a private key", false},
		"IdentityLowerCase": {"as Bech32 allows", []string{strings.ToLower(a.String())}, "entry 1 is a private key", false},
		"HybridIdentity":    {"likewise", []string{pq.String()}, "entry 1 is a private key", false},
		"PluginIdentity":    {"likewise", []string{"AGE-PLUGIN-YUBIKEY-1QQQ"}, "entry 1 is a private key", false},
		"SSHPrivate":        {"likewise", []string{"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA"}, "entry 1 is a private key", false},
		"PGP":               {"of another tool", []string{"85D77543B3D624B63CEA9E6DBC17301B491B3F21"}, "entry 1 is not an age recipient", false},
		"Control":           {"bytes that no recipient has", []string{classic[:30] + "\x00" + classic[31:]}, "entry 1 is not an age recipient", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			parsed, err := recipients.Parse(tc.texts)
			if _, sopsErr := sops.ForRecipients(tc.texts); tc.sops {
				assert.NoError(t, sopsErr, tc.reason)
			} else {
				assert.Error(t, sopsErr, tc.reason)
			}
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says, tc.reason)
				for _, text := range tc.texts {
					if text = strings.TrimSpace(text); len(text) > 7 {
						assert.NotContains(t, err.Error(), text[len(text)-7:], "no error repeats an entry")
					}
				}
				return
			}
			require.NoError(t, err, tc.reason)
			require.Len(t, parsed, len(tc.texts))
			w, err := age.Encrypt(io.Discard, parsed...)
			require.NoError(t, err, "age encrypts for what passes")
			require.NoError(t, w.Close())
		})
	}
}

// TestMixturesAreAges: what is refused for its mixture age would refuse half-way.
func TestMixturesAreAges(t *testing.T) {
	keys := []age.Recipient{x25519(t).Recipient(), x25519(t).Recipient(), hybrid(t).Recipient(), hybrid(t).Recipient()}
	for set := 1; set < 1<<len(keys); set++ {
		var chosen []age.Recipient
		var texts []string
		for i, key := range keys {
			if set&(1<<i) != 0 {
				chosen, texts = append(chosen, key), append(texts, key.(interface{ String() string }).String())
			}
		}
		_, want := age.Encrypt(io.Discard, chosen...)
		_, got := recipients.Parse(texts)
		assert.Equal(t, want == nil, got == nil, "%b: age: %v; we: %v", set, want, got)
	}
}

// FuzzParse: whatever passes age can encrypt for, and no error repeats a secret.
func FuzzParse(f *testing.F) {
	key, err := age.GenerateX25519Identity()
	require.NoError(f, err)
	for _, seed := range []string{key.Recipient().String(), key.String(), "age1pq1", "age1", "ssh-rsa AAAA", "age1x1y", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := recipients.Parse([]string{text})
		if err != nil {
			if len(text) > 20 {
				assert.NotContains(t, err.Error(), text)
			}
			return
		}
		_, err = age.Encrypt(io.Discard, parsed...)
		require.NoError(t, err)
	})
}
