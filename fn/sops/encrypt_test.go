package sops_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sigsyaml "sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/decrypt"
)

func TestEncryptKeepsEverything(t *testing.T) {
	random := make([]byte, 1<<20)
	_, err := rand.Read(random)
	require.NoError(t, err)
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	cases := map[string]struct {
		reason   string
		metadata map[string]any
		fields   map[string]any
	}{
		"empty":       {"SOPS leaves an empty text as it is", nil, map[string]any{"data": map[string]any{"A": "", "B": "eA=="}}},
		"none":        {"a Secret may hold nothing", nil, map[string]any{}},
		"no keys":     {"nor need its mapping", nil, map[string]any{"data": map[string]any{}}},
		"binary":      {"every byte in base64", nil, map[string]any{"data": map[string]any{"key": base64.StdEncoding.EncodeToString(everyByte)}}},
		"large":       {"the largest Secret there is", nil, map[string]any{"data": map[string]any{"key": base64.StdEncoding.EncodeToString(random)}}},
		"plain":       {"stringData is a value too", nil, map[string]any{"stringData": map[string]any{"URL": "redis://:p@ss:6379/1 # no comment\nsecond line\n"}}},
		"both":        {"data and stringData in one", nil, map[string]any{"data": map[string]any{"a": "eA=="}, "stringData": map[string]any{"b": "x"}}},
		"key names":   {"keys that other YAML versions take for booleans, numbers, times or nothing", nil, map[string]any{"data": map[string]any{"yes": "eA==", "null": "eA==", "1": "eA==", "0x1": "eA==", "1.5": "eA==", "2001-01-01": "eA==", "~": "eA==", "on": "eA==", "tls.crt": "eA==", "sops": "eA==", "mac": "eA==", "a:b": "eA=="}}},
		"unicode":     {"texts of other scripts, in keys and values", nil, map[string]any{"stringData": map[string]any{"kľúč": "значение", "鍵": "🔑", "e\u0301": "\u00e9"}}},
		"like values": {"texts that other YAML versions take for something else", nil, map[string]any{"stringData": map[string]any{"a": "yes", "b": "1e3", "c": "null", "d": "~", "e": "2001-01-01", "f": "0777", "h": "=", "i": " ", "j": "\t", "k": "---\n", "l": "&a *a", "m": "!!binary eA==", "n": "\u2028\u0085\ufeff"}}},
		"like SOPS":   {"a value that looks encrypted is encrypted nevertheless", nil, map[string]any{"stringData": map[string]any{"a": "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]"}}},
		"metadata":    {"what is not a value stays as it is, and readable", map[string]any{"annotations": map[string]any{"a": "multi\nline\n", "b": "yes", "kustomize.toolkit.fluxcd.io/prune": "disabled"}, "labels": map[string]any{"x": "1"}}, map[string]any{"data": map[string]any{"type": "eA==", "kind": "eA==", "name": "eA=="}, "immutable": true}},
	}
	alice, bob := newParty(t), newParty(t)
	e := forRecipients(t, alice, bob)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			metadata := map[string]any{"name": "system-seed"}
			maps.Copy(metadata, c.metadata)
			object := map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata}
			maps.Copy(object, c.fields)
			plain, err := sigsyaml.Marshal(object)
			require.NoError(t, err)

			out, err := e.Encrypt(secretPath, plain)
			require.NoError(t, err, c.reason)
			assert.True(t, sops.Encrypted(out))
			assert.False(t, sops.Encrypted(plain))
			for _, who := range []party{alice, bob} {
				back, err := decrypt.Document(out, who.identity)
				require.NoError(t, err)
				requireSame(t, string(plain), string(back))
			}
			var read map[string]any
			require.NoError(t, sigsyaml.UnmarshalStrict(out, &read))
			for _, field := range []string{"apiVersion", "kind", "type", "metadata", "immutable"} {
				assert.Equal(t, object[field], read[field])
			}
		})
	}
}

// TestEncryptConfigMap: a ConfigMap that holds secrets is encrypted as a Secret is, the texts that YAML folds included.
func TestEncryptConfigMap(t *testing.T) {
	alice := newParty(t)
	const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: system}\n"
	usual := sops.ForRepository(repository(map[string]string{".sops.yaml": rulesFor(alice)}))
	wide := sops.ForRepository(repository(map[string]string{".sops.yaml": "creation_rules: [{age: " + alice.recipient + ", encrypted_regex: ^(data|stringData|binaryData)$}]"}))
	const files = head + "data:\n  rolling_updates.yml: |\n    # a comment of the file\n    production: {}\n  service_discovery.yml: |\n    production:\n      client_secret: " + canary + "\n"
	const binary = head + "binaryData: {x: " + canary + "}\n"
	cases := map[string]struct {
		reason    string
		encrypter *sops.Encrypter
		manifest  string
		refused   string
	}{
		"Recipients":       {"our own rule", forRecipients(t, alice), files, ""},
		"Rules":            {"the rule that Flux recommends matches data", usual, files, ""},
		"BinaryRecipients": {"our own rule matches binaryData too", forRecipients(t, alice), binary, ""},
		"BinaryRules":      {"the repository may ask for it", wide, binary, ""},
		"BinaryUsual":      {"the rule that Flux recommends would commit it in plaintext", usual, binary, "would leave binaryData.x in plaintext"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := c.encrypter.Encrypt("base/dr/configmap-system.yaml", []byte(c.manifest))
			if c.refused != "" {
				require.ErrorIs(t, err, sops.ErrScope, c.reason)
				require.ErrorContains(t, err, c.refused)
				require.ErrorContains(t, err, "binaryData)$")
				assert.NotContains(t, err.Error(), canary)
				assert.Empty(t, out)
				return
			}
			require.NoError(t, err, c.reason)
			assert.NotContains(t, string(out), canary)
			assert.True(t, sops.Encrypted(out))
			assert.False(t, sops.Encrypted([]byte(c.manifest)))
			back, err := decrypt.Document(out, alice.identity)
			require.NoError(t, err)
			requireSame(t, c.manifest, string(back))
		})
	}
}

func TestEncryptIsRandom(t *testing.T) {
	e := forRecipients(t, newParty(t))
	first, err := e.Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	second, err := e.Encrypt(secretPath, []byte(secret))
	require.NoError(t, err)
	assert.NotEqual(t, string(first), string(second))
	lines := strings.Split(string(first), "\n")
	assert.NotEqual(t, strings.TrimPrefix(lines[7], "    ADMIN_PASSWORD: "), strings.TrimPrefix(lines[8], "    DATABASE_URL: "), "equal values must not look equal")
}

func TestEncryptAtTheSameTime(t *testing.T) {
	alice := newParty(t)
	e := forRecipients(t, alice)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			out, err := e.Encrypt(secretPath, []byte(secret))
			if assert.NoError(t, err) {
				_, err = decrypt.Document(out, alice.identity)
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
}

func TestEncryptRefusesManifest(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
	cases := map[string]struct {
		reason   string
		manifest string
		message  string
	}{
		"empty":            {"there is nothing to commit", "", "it is empty"},
		"text":             {"the parser would quote it", canary, "it is not a mapping"},
		"malformed":        {"the parser would quote it", head + "data: {a: " + canary, "malformed YAML (line"},
		"unknown anchor":   {"the parser would quote its name", head + "data: {a: *" + canary + "}", "malformed YAML"},
		"not UTF-8":        {"binary belongs into base64", head + "data: {a: \"\xff" + canary + "\"}", "malformed YAML"},
		"malformed second": {"also after the first document", secret + "---\n{" + canary, "malformed YAML"},
		"two documents":    {"a file holds one object", secret + "---\n" + secret, "more than one YAML document"},
		"empty second":     {"SOPS would encrypt an empty document as well", secret + "---\n", "more than one YAML document"},
		"other kind":       {"nothing else has values that are checked", strings.Replace(secret, "Secret", "Pod", 1), "neither a Secret nor a ConfigMap"},
		"other version":    {"nor another group's Secret", strings.Replace(secret, "v1", "example.org/v1", 1), "neither a Secret nor a ConfigMap"},
		"list":             {"kustomize would take it apart", "apiVersion: v1\nkind: SecretList\nitems: [{data: {a: " + canary + "}}]\n", "neither a Secret nor a ConfigMap"},
		"encrypted":        {"SOPS' own metadata would be in it twice", secret + "sops: {mac: a}\n", "SOPS document already"},
		"number":           {"Kubernetes takes texts only", head + "data: {a: 1234567}", "data.a is not a text"},
		"null":             {"SOPS would leave it as it is", head + "data: {a: null}", "data.a is not a text"},
		"nested":           {"a value is a text", head + "data: {a: {b: " + canary + "}}", "data.a is not a text"},
		"list of values":   {"a value is a text", head + "stringData: {a: [" + canary + "]}", "stringData.a is not a text"},
		"binary tag":       {"SOPS would decode it", head + "data: {a: !!binary " + canary + "}", "data.a is not a text"},
		"data is text":     {"data is a mapping", head + "data: " + canary, "its data is not a mapping"},
		"data is null":     {"data is a mapping", head + "data:", "its data is not a mapping"},
		"key twice":        {"one of the values would be lost", head + "data: {a: x, a: " + canary + "}", "a key twice"},
		"number as key":    {"SOPS cannot encrypt below it", head + "data: {1: " + canary + "}", "a key that is not a text (line 4)"},
		"mapping as key":   {"nor below a mapping", head + "data: {? {a: b} : " + canary + "}", "a key that is not a text (line 4)"},
		"alias":            {"it would carry a value out of data", head + "data: {a: &x " + canary + "}\nimmutable: *x\n", "YAML alias (line 4)"},
		"alias of itself":  {"SOPS' reader would not return", head + "data: &x {a: *x}\n", "YAML alias (line 4)"},
		"merge":            {"SOPS takes << for a key", head + "data: {<<: {a: " + canary + "}}", "a key that is not a text"},
		"comment in data":  {"SOPS may move it out of data", head + "data:\n  a: eA== # " + canary + "\n", "a comment at a"},
		"comment above":    {"SOPS may move it out of data", head + "data:\n  # " + canary + "\n  a: eA==\n", "a comment at a"},
		"comment below":    {"SOPS may move it out of data", head + "data:\n  a: eA==\n  # " + canary + "\n", "a comment at a"},
		"last applied":     {"kubectl keeps the values there", head + "data: {a: eA==}\n" + strings.Replace(head, "{name: a}", `{annotations: {kubectl.kubernetes.io/last-applied-configuration: "`+canary+`"}}`, 1), "a key twice"},
		"annotation":       {"kubectl keeps the values there", "apiVersion: v1\nkind: Secret\nmetadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: " + canary + "}}\n", "remove it"},
	}
	e := forRecipients(t, newParty(t))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := e.Encrypt(secretPath, []byte(c.manifest))
			require.ErrorContains(t, err, fmt.Sprintf("cannot encrypt %q: it", secretPath), c.reason)
			assert.ErrorContains(t, err, c.message)
			assert.NotContains(t, fmt.Sprintf("%+v", err), canary)
			if len(out) > 0 { // an assertion would print it
				t.Error("something came out of it")
			}
		})
	}
}

func TestEncryptRefusesPath(t *testing.T) {
	for _, path := range []string{"", ".", "..", "../a.yaml", "/a.yaml", "a/../b.yaml", "a//b.yaml", "a/"} {
		for _, e := range []*sops.Encrypter{forRecipients(t, newParty(t)), sops.ForRepository(repository(nil))} {
			_, err := e.Encrypt(path, []byte(secret))
			require.ErrorContains(t, err, "relative to the repository's root", path)
			_, err = e.Recipients(path)
			require.Error(t, err, path)
		}
	}
}

// A label named data is encrypted by the usual rule, and then kustomize and the API server would see other labels.
func TestEncryptRefusesToEncryptMetadata(t *testing.T) {
	e := forRecipients(t, newParty(t))
	_, err := e.Encrypt(secretPath, []byte(strings.Replace(secret, "app:", "data:", 1)))
	require.ErrorIs(t, err, sops.ErrScope)
	assert.ErrorContains(t, err, "metadata")
}

func TestEncrypted(t *testing.T) {
	alice := newParty(t)
	out, err := forRecipients(t, alice).Encrypt(secretPath, []byte(secret+"stringData: {empty: \"\"}\n"))
	require.NoError(t, err)
	cases := map[string]struct {
		reason string
		data   string
		want   bool
	}{
		"encrypted":     {"as SOPS wrote it", string(out), true},
		"plaintext":     {"no SOPS document at all", secret, false},
		"only metadata": {"a key sops alone encrypts nothing", secret + "sops: {mac: a}\n", false},
		"value added":   {"one plaintext value is one too many", strings.Replace(string(out), "\ndata:\n", "\ndata:\n    ADDED: "+canary+"\n", 1), false},
		"stringData":    {"in stringData too", strings.Replace(string(out), `empty: ""`, "empty: x", 1), false},
		"binaryData":    {"in a ConfigMap's binaryData too", string(out) + "binaryData: {a: " + canary + "}\n", false},
		"nested":        {"a mapping may hide values", strings.Replace(string(out), `empty: ""`, "empty: {a: x}", 1), false},
		"no mac":        {"SOPS itself would not decrypt it", strings.Replace(string(out), "    mac: ", "    mack: ", 1), false},
		"documents":     {"the second one may be plaintext", string(out) + "---\n" + secret, false},
		"alias of self": {"must return", "a: &a [*a]\n---\na: &a [*a]\n", false},
		"empty":         {"nothing", "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, sops.Encrypted([]byte(c.data)), c.reason)
		})
	}
}
