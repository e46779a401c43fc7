package sops_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

// random matches what differs between two encryptions of the same.
var random = regexp.MustCompile(`ENC\[[^\]]*\]|(?s:-----BEGIN AGE.*?END AGE ENCRYPTED FILE-----)|lastmodified: .*`)

// The sops command decrypts what we write, its MAC included, and encrypts by the same rule: but for what is random, the same text comes out.
func TestAgainstTheCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the sops command")
	}
	command := filepath.Join(t.TempDir(), "sops")
	// #nosec G204 -- a constant of this test
	out, err := exec.Command("go", "build", raceFlag, "-o", command, "github.com/getsops/sops/v3/cmd/sops").CombinedOutput()
	require.NoError(t, err, string(out))

	alice, bob, hybrid := newParty(t), newParty(t), newHybridParty(t)
	ed, _, rsa, _ := newSSHKeys(t)
	names := strings.NewReplacer("{alice}", alice.recipient, "{bob}", bob.recipient, "{hybrid}", hybrid.recipient, "{ed}", ed, "{rsa}", rsa, "{scope}", scopeLine)
	cases := map[string]struct {
		reason string
		files  map[string]string
	}{
		"usual":              {"one rule for all", map[string]string{".sops.yaml": "creation_rules: [{age: {alice}, {scope}}]"}},
		"mac_only_encrypted": {"the rule's other settings count", map[string]string{".sops.yaml": "creation_rules: [{age: {alice}, {scope}, mac_only_encrypted: true}]"}},
		"second rule":        {"the first is for another path", map[string]string{".sops.yaml": "creation_rules:\n- {path_regex: ^/, age: {bob}, {scope}}\n- {path_regex: ^apps/.*/secret-, age: \"{alice}, {bob}\", {scope}}"}},
		"nearest":            {"paths are relative to its folder", map[string]string{".sops.yaml": "creation_rules: [{age: {bob}, {scope}}]", "apps/3scale/.sops.yaml": "creation_rules:\n- {path_regex: ^apps, age: {bob}, {scope}}\n- {path_regex: ^base/dr/, age: {alice}, {scope}}"}},
		"other ending":       {"is passed over", map[string]string{".sops.yaml": "creation_rules: [{age: {alice}, {scope}}]", "apps/.sops.yml": "creation_rules: [{age: {bob}, {scope}}]"}},
		"list and indent":    {"stores are honoured", map[string]string{".sops.yaml": "creation_rules: [{age: [{bob}, {alice}], {scope}}]\nstores: {yaml: {indent: 2}}"}},
		"other kinds":        {"of recipients", map[string]string{".sops.yaml": "creation_rules: [{age: [\"{hybrid}\", \"{ed}\", \"{rsa}\", {alice}], {scope}}]"}},
		"key group":          {"the rule's own age does not count", map[string]string{".sops.yaml": "creation_rules: [{age: {bob}, key_groups: [{age: [{alice}]}], {scope}}]"}},
		"merged":             {"repetitions are left out", map[string]string{".sops.yaml": "creation_rules: [{key_groups: [{age: [{alice}], merge: [{age: [{bob}, {alice}]}]}], {scope}}]"}},
		"Shamir":             {"two of two", map[string]string{".sops.yaml": "creation_rules: [{shamir_threshold: 2, key_groups: [{age: [{alice}]}, {age: [{bob}]}], {scope}}]"}},
		"Shamir's default":   {"without a threshold all groups are needed", map[string]string{".sops.yaml": "creation_rules: [{key_groups: [{age: [{alice}]}, {age: [{bob}]}], {scope}}]"}},
		"unencrypted_regex":  {"another way to say it", map[string]string{".sops.yaml": "creation_rules: [{age: {alice}, unencrypted_regex: ^(apiVersion|kind|metadata|type)$}]"}},
		"destination_rules":  {"are passed over", map[string]string{".sops.yaml": "destination_rules: [{path_regex: apps, s3_bucket: a, recreation_rule: {pgp: a}}]\ncreation_rules: [{age: {alice}, {scope}}]"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, secretPath)
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
			for name, content := range c.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(names.Replace(content)+"\n"), 0o600))
			}
			run := func(verb string, content []byte) string {
				require.NoError(t, os.WriteFile(file, content, 0o600))
				cmd := exec.Command(command, "--disable-version-check", verb, file)
				cmd.Dir = filepath.Dir(file)
				cmd.Env = []string{"HOME=" + dir, "PATH=" + dir, "SOPS_AGE_KEY=" + string(alice.identity[strings.Index(string(alice.identity), "AGE-"):]) + string(bob.identity[strings.Index(string(bob.identity), "AGE-"):])}
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				require.NoError(t, err, stderr.String())
				return string(out)
			}
			root, err := os.OpenRoot(dir)
			require.NoError(t, err)
			defer root.Close()
			ours, err := sops.ForRepository(root.FS()).Encrypt(secretPath, []byte(secret))
			require.NoError(t, err, c.reason)

			requireSame(t, secret, run("decrypt", ours))
			theirs := run("encrypt", []byte(secret))
			assert.Equal(t, random.ReplaceAllString(theirs, "..."), random.ReplaceAllString(string(ours), "..."))
			back, err := decrypt.Document([]byte(theirs), alice.identity, bob.identity)
			require.NoError(t, err)
			requireSame(t, secret, string(back))
		})
	}
}
