package commit

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/threescale"
)

// TestCheck: before a pod runs it is known whether each file that has to be
// encrypted can be, and whether Flux would see each file that is written.
func TestCheck(t *testing.T) {
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	rules := func(match string) fstest.MapFS {
		return fstest.MapFS{".sops.yaml": {Data: []byte("creation_rules:\n- path_regex: " + match + "\n  encrypted_regex: ^(data|stringData)$\n  age: " + recipient + "\n")}}
	}
	with := func(files fstest.MapFS, name, data string) fstest.MapFS {
		files[name] = &fstest.MapFile{Data: []byte(data)}
		return files
	}
	cases := map[string]struct {
		reason     string
		files      fstest.MapFS
		recipients []string
		ignore     *string
		want       Kind
		within     string
	}{
		"AllFiles":      {reason: "a rule for the whole path", files: rules("^apps/")},
		"Named":         {reason: "a rule may name the one ConfigMap", files: rules("(secret-[^/]*|configmap-system)[.]yaml$")},
		"Recipients":    {reason: "the restore itself says for whom, whatever the rules", files: rules("secret-"), recipients: []string{recipient}},
		"SecretsOnly":   {reason: "ConfigMap system may hold a client_secret, and is never committed in plaintext", files: rules("secret-[^/]*[.]yaml$"), want: NoRecipients, within: "apps/3scale/base/dr/configmap-system.yaml"},
		"NoRules":       {reason: "nobody could decrypt", files: fstest.MapFS{}, want: NoRecipients, within: ".sops.yaml"},
		"Ignored":       {reason: "a Secret that Flux does not fetch is not restored", files: rules("^apps/"), ignore: new("secret-*"), want: FileIgnored, within: "secret-"},
		"IgnoredByFile": {reason: "whoever may write to the repository may say so", files: with(rules("^apps/"), ".sourceignore", "secret-*.yaml"), want: FileIgnored, within: "secret-zync.yaml"},
		"IgnoredBeside": {reason: "spec.ignore is added to what .sourceignore says", files: with(rules("^apps/"), "apps/.sourceignore", "apimanager.yaml"), ignore: new("/clusters"), want: FileIgnored, within: "base/dr/apimanager.yaml"},
		"IgnoredFolder": {reason: "what Flux builds would not be there", files: with(rules("^apps/"), ".sourceignore", "/apps/3scale/overlays/"), want: FileIgnored, within: "overlays/dr/kustomization.yaml"},
		"Beside":        {reason: "a file that is never fetched hides nothing", files: with(rules("^apps/"), "other/.sourceignore", "*"), want: "", within: ""},
		"IgnoredMap":    {reason: "nor is a ConfigMap", files: rules("^apps/"), ignore: new("configmap-*"), want: FileIgnored, within: "apps/3scale/base/dr/configmap-"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			place := &Place{Root: "apps/3scale", Name: "dr", Namespace: "3scale", Ignore: tc.ignore, Recipients: tc.recipients,
				Plain:     []overlay.Key{{Kind: threescale.APIManagerKind}, {Kind: "ConfigMap", Name: "system-environment"}},
				Sensitive: []overlay.Key{{Kind: "Secret", Name: "zync"}, {Kind: "ConfigMap", Name: "system"}}}
			var got Failure
			if failure := place.check(tc.files); failure != nil {
				got = *failure
			}
			assert.Equal(t, tc.want, got.Kind, tc.reason)
			assert.Contains(t, got.Message, tc.within, tc.reason)
		})
	}
}
