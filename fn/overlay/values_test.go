package overlay

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// oddTexts are what a YAML reader or writer may take for something else.
func oddTexts() []string {
	return []string{
		"", " ", "no", "No", "NO", "n", "y", "yes", "on", "off", "true", "True", "null", "Null", "~", "0", "0123", "0o17", "0x1F", "1e3", "1E3", ".5", "5.", "1_000",
		"-1", "+1", ".inf", "-.Inf", ".nan", "NaN", "12:30:45", "2026-11-22", "2026-11-22T10:00:00Z", "=", "<<", "!!str x", "!x", "&a", "*a", "@x", "`x`", "%x", "|", ">", "-", "- x", "?", "? x", ":", "a: b",
		"a #b", "#", "{a}", "[a]", "{{ a }}", "${VAR}", "$(VAR)", "$", "'", `"`, `\`, `\n`, "---", "...", "--- x", "a\n---\nb", "a\n...\nb", "\n---\n",
		"trailing ", "trailing\t", " leading", "\tleading", "a\tb", "line\n", "two\n\n", "\nleading", "\n", "\n\n", "a\n\n\nb", "a \nb ", "a\n  b\n c", "  a\nb", "a\r\nb\r\n", "\r", "a\rb",
		"ünïcödé", "日本語", "🔐", "\u2028", "a\u2029b", "\u00a0", "\ufeff", "a\ufeffb", "\u200b", "\ufffd", "\ue000", "\U0010ffff",
		"\x00", "a\x00b", "\x01\x07\x08\x0b\x0c\x1b", strings.Repeat("x", 200), strings.Repeat("word ", 60), strings.Repeat("word ", 60) + "\nx", "a" + strings.Repeat(" ", 100) + "b",
		"ENC[AES256_GCM,data:x]", "# a comment\nkey: value\n", "{\"json\": true}\n", "tab\t\n\tindent", "x: |\n  y\n", "-----BEGIN X-----\nabc\n-----END X-----\n",
	}
}

// lostTexts are what kustomize cannot carry.
func lostTexts() []string {
	return []string{"a\u0085b", "\u0085", "a\n\u0085b", "\x7f", "\u0080", "\u009f", "\ufffe", "\uffff"}
}

// TestOddTexts: each text comes out of the tree as it went in, as a value of a
// ConfigMap, a Secret, an annotation, and a field of the APIManager, also of one
// that is patched.
func TestOddTexts(t *testing.T) {
	in := input()
	in.WildcardDomain, in.StorageClass = "1e3.example.org", "no"
	data, secrets, annotations, spec := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for i, text := range oddTexts() {
		key := fmt.Sprintf("key-%03d", i)
		data[key], annotations[key], spec[key] = text, text, text
		secrets[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	for _, key := range []string{"no", "null", "0123", "1e3", "true", "~", "12.5", "-", "y", "0x1", ".inf", "2026-11-22"} {
		spec[key] = key
		if key != "~" {
			data[key] = key
			secrets[key] = base64.StdEncoding.EncodeToString([]byte(key))
		}
	}
	spec["list"] = []any{"no", int64(1), 1.5, true, nil, map[string]any{}, []any{}, "a\u2028b"}
	spec["number"], spec["big"], spec["float"], spec["none"], spec["exponent"] = int64(0), int64(9007199254740993), 1e-7, nil, 1e21
	configMap := find(t, in.Objects, "ConfigMap", "system-environment")
	maps.Copy(data, configMap.Object["data"].(map[string]any))
	configMap.Object["data"] = data
	configMap.Object["metadata"].(map[string]any)["annotations"] = annotations
	find(t, in.Objects, "Secret", "system-app").Object["data"] = secrets
	find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)["odd"] = spec

	tree, err := Build(in)
	require.NoError(t, err)
	built := tree.Objects[Key{"ConfigMap", "system-environment"}]
	assert.Equal(t, "1e3.example.org", built.Object["data"].(map[string]any)["THREESCALE_SUPERDOMAIN"])
	data["THREESCALE_SUPERDOMAIN"] = "1e3.example.org"
	assert.Equal(t, data, built.Object["data"])
	for key, value := range annotations {
		assert.Equal(t, value, built.Object["metadata"].(map[string]any)["annotations"].(map[string]any)[key])
	}
	assert.Equal(t, secrets, tree.Objects[Key{"Secret", "system-app"}].Object["data"])
	assert.Equal(t, spec, tree.Objects[Key{"APIManager", "example"}].Object["spec"].(map[string]any)["odd"])
}

// TestStream: Flux reads what kustomize builds as one stream of YAML.
func TestStream(t *testing.T) {
	in := input()
	data := map[string]any{}
	for i, text := range oddTexts() {
		data[fmt.Sprintf("key-%03d", i)] = text
	}
	find(t, in.Objects, "ConfigMap", "apicast-environment").Object["data"] = data
	tree, err := Build(in)
	require.NoError(t, err)
	memory := filesys.MakeFsInMemory()
	for _, file := range tree.Files {
		require.NoError(t, memory.WriteFile("/"+file.Path, file.Data))
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/overlays/dr")
	require.NoError(t, err)
	stream, err := resources.AsYaml()
	require.NoError(t, err)
	read := map[Key]*unstructured.Unstructured{}
	decoder := utilyaml.NewYAMLToJSONDecoder(bytes.NewReader(stream))
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		read[keyOf(&object)] = &object
	}
	assert.Equal(t, tree.Objects, read)
}

// TestLostTexts: kustomize loses them, which is why they are refused. Secrets
// hold them as base64.
func TestLostTexts(t *testing.T) {
	for _, text := range lostTexts() {
		t.Run(fmt.Sprintf("%+q", text), func(t *testing.T) {
			for field, change := range map[string]func(in Input){
				"data.MOTD": func(in Input) {
					find(t, in.Objects, "ConfigMap", "system-environment").Object["data"].(map[string]any)["MOTD"] = text
				},
				"metadata.annotations.note": func(in Input) {
					find(t, in.Objects, "Secret", "zync").Object["metadata"].(map[string]any)["annotations"] = map[string]any{"note": text}
				},
				"spec.list.0": func(in Input) {
					find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)["list"] = []any{text}
				},
				"spec": func(in Input) {
					find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)[text] = "a key"
				},
			} {
				in := input()
				change(in)
				_, err := Build(in)
				var unsupported *UnsupportedTextError
				require.ErrorAs(t, err, &unsupported)
				assert.Equal(t, field, unsupported.Field)
				assert.NotContains(t, err.Error(), text)
			}
			in := input()
			encoded := base64.StdEncoding.EncodeToString([]byte(text))
			find(t, in.Objects, "Secret", "zync").Object["data"].(map[string]any)["x"] = encoded
			tree, err := Build(in)
			require.NoError(t, err)
			assert.Equal(t, encoded, tree.Objects[Key{"Secret", "zync"}].Object["data"].(map[string]any)["x"])
		})
	}
}
