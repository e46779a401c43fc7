package sops_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

// Keys that were made for the seeds alone.
const (
	seedIdentity  = "AGE-SECRET-KEY-1FQRTUJZL4XS9JH9PKS8D52Q6VPKQ9X647S9Z27RNXHS2XUVWZ2ESMSTGHR"
	seedRecipient = "age1nurf0upx23ax33jkase9e4hlfc2ajepmq6vxfkg2z9shcumjtups2gx8ad"
)

// Whatever a .sops.yaml says, no plaintext comes out, and what does is encrypted for whom SOPS' own loader would.
func FuzzRules(f *testing.F) {
	for _, seed := range []string{
		"creation_rules: [{age: " + seedRecipient + ", " + scopeLine + "}]",
		"creation_rules: [{path_regex: ^apps/, age: [" + seedRecipient + "], unencrypted_regex: ^(apiVersion|kind|metadata|type)$, mac_only_encrypted: true}]\nstores: {yaml: {indent: 2}}",
		"creation_rules:\n- path_regex: x\n  age: >-\n    " + seedRecipient + ",\n- key_groups:\n  - age: [" + seedRecipient + "]\n  - merge: [{age: [" + seedRecipient + "]}]\n  shamir_threshold: 2\n  encrypted_regex: data",
		"x: &x {age: " + seedRecipient + ", encrypted_suffix: ata}\ncreation_rules: [{<<: *x, pgp: ''}]",
		"creation_rules: [{age: " + seedRecipient + ", encrypted_comment_regex: '.*'}]",
		"creation_rules: [{age: " + seedRecipient + ", unencrypted_comment_regex: '.*', kms: a, azure_keyvault: b}]",
		"creation_rules: &a [*a]", "creation_rules: [{path_regex: '(', age: 1}]", "destination_rules: []", "creation_rules:", "---\n---\n", "{", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		e := sops.ForRepository(repository(map[string]string{".sops.yaml": string(content)}))
		out, err := e.Encrypt(secretPath, []byte(secret))
		if err != nil {
			assert.Nil(t, out)
			assert.NotContains(t, err.Error(), canary)
			return
		}
		assertEncrypted(t, out)
		var plainLines []string
		for line := range strings.Lines(string(out)) {
			if strings.TrimSpace(line) == "sops:" {
				break
			}
			plainLines = append(plainLines, line)
		}
		assert.Equal(t, 2, strings.Count(strings.Join(plainLines, ""), "ENC[AES256_GCM,"), "both values, and nothing else")
		recipients, err := e.Recipients(secretPath)
		if err != nil {
			return // the made-up Secret has other keys
		}
		library, rule, err := libraryRecipients(t, string(content), secretPath)
		if err != nil {
			return // it also decodes what is of no use here, such as destination_rules
		}
		require.NotNil(t, rule)
		assert.Equal(t, library, recipients)
	})
}

// Whatever is to be encrypted, no call panics, does not return or repeats it.
func FuzzDocuments(f *testing.F) {
	e, err := sops.ForRecipients([]string{seedRecipient})
	require.NoError(f, err)
	encrypted, err := e.Encrypt(secretPath, []byte(secret))
	require.NoError(f, err)
	for _, seed := range []string{
		string(encrypted), secret, secret + "sops: {mac: a}\n", "a: &a [*a]\n---\na: &a [*a]\n", "sops: {age: [{recipient: a, enc: b}], mac: c, lastmodified: \"2026-01-01T00:00:00Z\"}\n",
		"sops: {key_groups: [{age: []}], shamir_threshold: -1, mac: c, lastmodified: \"2026-01-01T00:00:00Z\"}\n", "? [a]\n: b\n", "", "# a\n", "!!binary x: y\n",
		"apiVersion: v1\nkind: Secret\nstringData: {a: \"\\0\", ? b : |+\n  x\n\n}\n", "apiVersion: v1\nkind: Secret\nmetadata: [2001-01-01, 1.0, ~, true, !x y] # z\nstringData: {a: \"\\u2028\"}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		isEncrypted := sops.Encrypted(data)
		out, err := e.Encrypt(secretPath, data)
		if err != nil {
			assert.Nil(t, out)
			return
		}
		assert.False(t, isEncrypted)
		assert.True(t, sops.Encrypted(out))
		_, err = decrypt.Document(out, []byte(seedIdentity))
		require.NoError(t, err)
	})
}
