package sops_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

const scopeLine = "encrypted_regex: ^(data|stringData)$"

// libraryRecipients returns for whom SOPS' own loader would encrypt, sorted, without repetitions.
func libraryRecipients(t testing.TB, content, relative string) ([]string, *config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, ".sops.yaml")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	rule, err := config.LoadCreationRuleForFile(file, filepath.Join(dir, relative), nil)
	if err != nil || rule == nil {
		return nil, rule, err
	}
	var out []string
	for _, group := range rule.KeyGroups {
		for _, key := range group {
			out = append(out, key.ToString())
		}
	}
	slices.Sort(out)
	return slices.Compact(out), rule, nil
}

func TestChoosesTheRuleOfSOPS(t *testing.T) {
	alice, bob := newParty(t), newParty(t)
	hybrid := newHybridParty(t)
	ed, _, rsa, _ := newSSHKeys(t)
	names := strings.NewReplacer("{alice}", alice.recipient, "{bob}", bob.recipient, "{hybrid}", hybrid.recipient, "{ed}", ed, "{rsa}", rsa, "{scope}", scopeLine)
	cases := map[string]struct {
		reason string
		rules  string
		want   []string
	}{
		"no path_regex":      {"a rule without one matches all", "- {age: {alice}, {scope}}", []string{alice.recipient}},
		"first that matches": {"SOPS does not look for the best", "- {path_regex: ^apps/, age: {alice}, {scope}}\n- {path_regex: ^apps/3scale/, age: {bob}, {scope}}", []string{alice.recipient}},
		"second":             {"the first is for other files", "- {path_regex: ^infra/, age: {alice}, {scope}}\n- {path_regex: secret-.*\\.yaml$, age: {bob}, {scope}}", []string{bob.recipient}},
		"other needs KMS":    {"only the rule that matches counts", "- {path_regex: ^infra/, kms: arn, {scope}}\n- {age: {bob}, {scope}}", []string{bob.recipient}},
		"other is malformed": {"SOPS does not reach it", "- {age: {bob}, {scope}}\n- {path_regex: \"(\"}", []string{bob.recipient}},
		"no leading slash":   {"paths are relative to the file's folder", "- {path_regex: ^/, age: {alice}, {scope}}\n- {age: {bob}, {scope}}", []string{bob.recipient}},
		"text":               {"commas, spaces, line ends and nothing at the end", "- age: >-\n    {alice},\n    {bob},\n  {scope}", []string{alice.recipient, bob.recipient}},
		"list":               {"as newer versions have it", "- age: [{alice}, {bob}, {alice}]\n  {scope}", []string{alice.recipient, bob.recipient}},
		"hybrid":             {"age's post-quantum recipients, also with the others", "- age: [\"{hybrid}\", {bob}]\n  {scope}", []string{hybrid.recipient, bob.recipient}},
		"SSH":                {"age encrypts for SSH keys", "- age: [\"{ed}\", \"{rsa}\"]\n  {scope}", []string{ed, rsa}},
		"key groups":         {"the rule's own age does not count then", "- age: {alice}\n  key_groups: [{age: [{bob}]}]\n  {scope}", []string{bob.recipient}},
		"merged":             {"a group may be made of others", "- key_groups: [{merge: [{age: [{bob}]}, {age: [\"{alice},{bob}\"]}]}]\n  {scope}", []string{alice.recipient, bob.recipient}},
		"anchors":            {"a usual way to name recipients", "- age: [*x]\n  {scope}", []string{alice.recipient}},
		"empty others":       {"an empty list of keys asks for none", "- {age: {alice}, pgp: \"\", kms: [], hc_vault_transit_uri: null, aws_profile: x, {scope}}", []string{alice.recipient}},
		"other scopes":       {"what is encrypted counts, not how it is said", "- {age: {alice}, unencrypted_regex: ^(apiVersion|kind|metadata|type)$}", []string{alice.recipient}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content := names.Replace("people: [&x {alice}]\ncreation_rules:\n" + c.rules + "\n")
			e := sops.ForRepository(repository(map[string]string{".sops.yaml": content}))
			got, err := e.Recipients(secretPath)
			require.NoError(t, err, c.reason)
			slices.Sort(c.want)
			assert.Equal(t, c.want, got)

			library, _, err := libraryRecipients(t, content, secretPath)
			require.NoError(t, err)
			assert.Equal(t, library, got, "SOPS' own loader")

			out, err := e.Encrypt(secretPath, []byte(secret))
			require.NoError(t, err)
			assertEncrypted(t, out)
			if strings.Contains(c.rules, "{alice}") && slices.Contains(got, alice.recipient) {
				back, err := decrypt.Document(out, alice.identity)
				require.NoError(t, err)
				requireSame(t, secret, string(back))
			}
			if slices.Contains(got, hybrid.recipient) {
				_, err := decrypt.Document(out, hybrid.identity)
				require.NoError(t, err)
			}
		})
	}
}

func TestRefusesRules(t *testing.T) {
	alice, bob := newParty(t), newParty(t)
	id := string(alice.identity[strings.Index(string(alice.identity), "AGE-"):])
	names := strings.NewReplacer("{alice}", alice.recipient, "{bob}", bob.recipient, "{scope}", scopeLine, "{identity}", strings.TrimSpace(id))
	rule := func(s string) string { return "creation_rules:\n- " + s + "\n" }
	cases := map[string]struct {
		reason  string
		config  string
		is      error
		message string
	}{
		"malformed":              {"the parser would quote it", "creation_rules: [" + canary, nil, "malformed YAML"},
		"not a mapping":          {"the parser would quote it", canary, nil, "malformed YAML"},
		"wrong type":             {"the parser would quote it", "creation_rules: " + canary, nil, "malformed YAML"},
		"empty":                  {"SOPS does not look further up", "", nil, "no creation_rules"},
		"only destination rules": {"these are for publishing", "destination_rules: [{s3_bucket: a, recreation_rule: {age: {alice}}}]", nil, "no creation_rules"},
		"negative indent":        {"SOPS refuses it after the encryption", rule("{age: {alice}, {scope}}") + "stores: {yaml: {indent: -1}}", nil, "indent is negative"},
		"no rules":               {"nothing matches", "creation_rules: []", sops.ErrNoMatch, "add one whose path_regex"},
		"no match":               {"the path is another's", rule("{path_regex: ^infra/, age: {alice}, {scope}}"), sops.ErrNoMatch, "add one whose path_regex"},
		"malformed path_regex":   {"before one that would match", rule("{path_regex: \"(\", age: {bob}, {scope}}\n- {age: {alice}, {scope}}"), nil, "rule 1"},
		"no keys":                {"nobody could decrypt", rule("{{scope}}"), nil, "no age recipients"},
		"only commas":            {"nobody could decrypt", rule("{age: \" , ,\", {scope}}"), nil, "no age recipients"},
		"empty group":            {"nobody could decrypt", rule("{key_groups: [{age: [{alice}]}, {}], {scope}}"), nil, "key group 2 of 2"},
		"kms":                    {"needs a network", rule("{age: {alice}, kms: \"arn:aws:kms:x:1:key/y\", {scope}}"), sops.ErrKeyService, "it needs kms"},
		"gcp_kms":                {"needs a network", rule("{gcp_kms: projects/x, {scope}}"), sops.ErrKeyService, "it needs gcp_kms"},
		"azure_keyvault":         {"SOPS would ask Azure while it reads the rule", rule("{azure_keyvault: https://x.vault.azure.net/keys/y, {scope}}"), sops.ErrKeyService, "it needs azure_keyvault"},
		"hc_vault_transit_uri":   {"needs a network", rule("{hc_vault_transit_uri: http://x/v1/y/keys/z, {scope}}"), sops.ErrKeyService, "it needs hc_vault_transit_uri"},
		"hckms":                  {"needs a network", rule("{hckms: [a], {scope}}"), sops.ErrKeyService, "it needs hckms"},
		"pgp":                    {"needs a program", rule("{age: {alice}, pgp: [FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4], {scope}}"), sops.ErrKeyService, "it needs pgp"},
		"several":                {"all are named", rule("{pgp: a, kms: b, {scope}}"), sops.ErrKeyService, "it needs kms, pgp"},
		"mixed groups":           {"Shamir needs both", rule("{key_groups: [{age: [{alice}]}, {pgp: [a]}], {scope}}"), sops.ErrKeyService, "it needs pgp"},
		"mixed group":            {"in one group", rule("{key_groups: [{age: [{alice}], hc_vault: [a]}], {scope}}"), sops.ErrKeyService, "it needs hc_vault"},
		"merged kms":             {"also in what is merged", rule("{key_groups: [{merge: [{azure_keyvault: [{vaultUrl: a, key: b}]}]}], {scope}}"), sops.ErrKeyService, "it needs azure_keyvault"},
		"unknown service":        {"a newer version's keys would be passed over", rule("{age: {alice}, oci_kms: a, {scope}}"), nil, `the key "oci_kms", which is unknown`},
		"typing mistake":         {"SOPS would encrypt the whole file", rule("{age: {alice}, encrypted_regexp: data}"), nil, `the key "encrypted_regexp", which is unknown`},
		"threshold too small":    {"one part is no secret sharing", rule("{shamir_threshold: 1, key_groups: [{age: [{alice}]}, {age: [{bob}]}], {scope}}"), nil, "between 2 and"},
		"threshold too large":    {"nobody could decrypt", rule("{shamir_threshold: 3, key_groups: [{age: [{alice}]}, {age: [{bob}]}], {scope}}"), nil, "between 2 and"},
		"malformed recipient":    {"a letter is missing", rule("{age: \"{alice}x\", {scope}}"), nil, "age recipient 1: it is malformed"},
		"private key":            {"it must not be repeated", rule("{age: \"{alice},{identity}\", {scope}}"), nil, "recipient 2: it is a private key"},
		"plugin":                 {"it would start a program", rule("{age: age1yubikey1q0rse, {scope}}"), nil, "age plugin"},
		"empty in list":          {"SOPS takes it for a mistake", rule("{age: [{alice}, \"\"], {scope}}"), nil, "recipient 2: it is empty"},
		"number in list":         {"SOPS takes it for a mistake", rule("{age: [1], {scope}}"), nil, "recipient 1: it is not a text"},
		"age is a mapping":       {"SOPS takes it for a mistake", rule("{age: {a: b}, {scope}}"), nil, "neither a text nor a list"},
		"whole file":             {"kustomize could not read it", rule("{age: {alice}}"), sops.ErrScope, "encrypts the whole file"},
		"two scopes":             {"SOPS refuses that", rule("{age: {alice}, {scope}, encrypted_suffix: data}"), sops.ErrScope, "SOPS allows one"},
		"malformed scope":        {"SOPS would encrypt nothing", rule("{age: {alice}, encrypted_regex: \"^(data\"}"), sops.ErrScope, "no regular expression"},
		"metadata too":           {"kustomize needs names", rule("{age: {alice}, encrypted_regex: data}"), sops.ErrScope, "would encrypt metadata"},
		"names too":              {"kustomize needs names", rule("{age: {alice}, encrypted_regex: ^(data|name)$}"), sops.ErrScope, "would encrypt metadata"},
		"kind too":               {"kustomize needs kinds", rule("{age: {alice}, unencrypted_regex: ^(apiVersion|metadata|type)$}"), sops.ErrScope, "would encrypt kind"},
		"some keys":              {"the others stay in plaintext", rule("{age: {alice}, encrypted_regex: ^password$}"), sops.ErrScope, "in plaintext"},
		"some keys not":          {"these stay in plaintext", rule("{age: {alice}, unencrypted_regex: ^(apiVersion|kind|metadata|type|DATABASE_URL)$}"), sops.ErrScope, "data.DATABASE_URL in plaintext"},
		"nothing":                {"all stays in plaintext", rule("{age: {alice}, encrypted_regex: ^spec$}"), sops.ErrScope, "in plaintext"},
		"suffix":                 {"no key has it", rule("{age: {alice}, encrypted_suffix: _secret}"), sops.ErrScope, "in plaintext"},
		"suffix data":            {"metadata has it too", rule("{age: {alice}, encrypted_suffix: data}"), sops.ErrScope, "would encrypt metadata"},
		"unencrypted suffix":     {"SOPS' own default", rule("{age: {alice}, unencrypted_suffix: _unencrypted}"), sops.ErrScope, "would encrypt"},
		"encrypted comments":     {"without comments nothing is encrypted", rule("{age: {alice}, encrypted_comment_regex: secret}"), sops.ErrScope, "in plaintext"},
		"unencrypted comments":   {"without comments all is encrypted", rule("{age: {alice}, unencrypted_comment_regex: public}"), sops.ErrScope, "would encrypt"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := sops.ForRepository(repository(map[string]string{".sops.yaml": names.Replace(c.config)}))
			_, ahead := e.Recipients(secretPath)
			out, err := e.Encrypt(secretPath, []byte(secret))
			if len(out) > 0 { // an assertion would print it
				t.Error("something came out of it")
			}
			for _, err := range []error{ahead, err} {
				require.ErrorContains(t, err, `".sops.yaml": `, c.reason)
				assert.ErrorContains(t, err, c.message)
				assert.NotContains(t, fmt.Sprintf("%+v", err), canary)
				assert.NotContains(t, fmt.Sprintf("%+v", err), "AGE-SECRET-KEY-1"+strings.TrimPrefix(id, "AGE-SECRET-KEY-1")[:6])
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
			}
		})
	}
}

// A key of data can have a name that the rule leaves in plaintext at any depth: the sample passes, the Secret itself must not.
func TestRefusesRuleThatSparesAKey(t *testing.T) {
	alice := newParty(t)
	e := sops.ForRepository(repository(map[string]string{".sops.yaml": "creation_rules: [{age: " + alice.recipient + ", unencrypted_regex: ^(apiVersion|kind|metadata|type)$}]"}))
	_, err := e.Recipients(secretPath)
	require.NoError(t, err)
	_, err = e.Encrypt(secretPath, []byte(strings.Replace(secret, "DATABASE_URL", "type", 1)))
	require.ErrorIs(t, err, sops.ErrScope)
	assert.ErrorContains(t, err, "data.type in plaintext")
	assert.NotContains(t, err.Error(), canary)
	looksEncrypted := strings.Replace(secret, "DATABASE_URL: "+canary, "type: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]", 1)
	_, err = e.Encrypt(secretPath, []byte(strings.Replace(looksEncrypted, "\ndata:", "\nstringData:", 1)))
	require.ErrorIs(t, err, sops.ErrScope, "a plaintext that looks encrypted is plaintext")
}

func TestForRecipientsRefuses(t *testing.T) {
	alice := newParty(t)
	id := strings.TrimSpace(string(alice.identity[strings.Index(string(alice.identity), "AGE-"):]))
	cases := map[string]struct {
		reason     string
		recipients []string
		message    string
	}{
		"none":            {"nobody could decrypt", nil, "name at least one"},
		"empty":           {"a mistake in a template", []string{alice.recipient, " "}, "recipient 2: it is empty"},
		"private key":     {"it must not be repeated", []string{id}, "recipient 1: it is a private key"},
		"lower case":      {"it must not be repeated", []string{strings.ToLower(id)}, "recipient 1: it is a private key"},
		"PEM":             {"it must not be repeated", []string{"-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary}, "recipient 1: it is a private key"},
		"two in one":      {"a list has one an item", []string{alice.recipient + "," + alice.recipient}, "recipient 1: it is"},
		"plugin":          {"it would start a program", []string{"age1yubikey1q0rse"}, "age plugin"},
		"plugin identity": {"likewise", []string{"AGE-PLUGIN-YUBIKEY-1" + canary}, "private key"},
		"PGP":             {"another program's", []string{"FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4"}, "recipient 1: it is malformed"},
		"DSA":             {"too old for age", []string{"ssh-dss " + canary}, "recipient 1: it is malformed"},
		"ECDSA":           {"age cannot encrypt for it", []string{"ecdsa-sha2-nistp256 " + canary}, "recipient 1: it is malformed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := sops.ForRecipients(c.recipients)
			require.ErrorContains(t, err, c.message, c.reason)
			assert.NotContains(t, strings.ToUpper(err.Error()), id[:20])
			assert.NotContains(t, err.Error(), canary)
		})
	}
}

func TestForRecipientsSortsAndKeepsOne(t *testing.T) {
	alice, bob := newParty(t), newParty(t)
	e, err := sops.ForRecipients([]string{bob.recipient, alice.recipient, " " + bob.recipient + "\n"})
	require.NoError(t, err)
	got, err := e.Recipients(secretPath)
	require.NoError(t, err)
	want := []string{alice.recipient, bob.recipient}
	slices.Sort(want)
	assert.Equal(t, want, got)
	out, err := e.Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(string(out), "recipient: "))
	assert.Less(t, strings.Index(string(out), want[0]), strings.Index(string(out), want[1]))
}

func TestIndentIsHonoured(t *testing.T) {
	alice := newParty(t)
	for stores, want := range map[string]string{"": "\n    name: ", "stores: {yaml: {indent: 2}}": "\n  name: ", "stores: {yaml: {indent: 3}, json: {indent: 1}}": "\n   name: "} {
		e := sops.ForRepository(repository(map[string]string{".sops.yaml": "creation_rules: [{age: " + alice.recipient + ", " + scopeLine + "}]\n" + stores}))
		out, err := e.Encrypt(secretPath, []byte(secret))
		require.NoError(t, err)
		assert.Contains(t, string(out), want)
	}
}
