package controller

import (
	"testing"
	"testing/fstest"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// TestCheckFiles: before a pod runs it is known whether each file that has to be
// encrypted can be, and whether Flux would see each file that is written.
func TestCheckFiles(t *testing.T) {
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	rules := func(match string) fstest.MapFS {
		return fstest.MapFS{".sops.yaml": {Data: []byte("creation_rules:\n- path_regex: " + match + "\n  encrypted_regex: ^(data|stringData)$\n  age: " + recipient + "\n")}}
	}
	cases := map[string]struct {
		reason       string
		files        fstest.MapFS
		recipients   []string
		ignore       *string
		want, within string
	}{
		"AllFiles":    {reason: "a rule for the whole path", files: rules("^apps/")},
		"Named":       {reason: "a rule may name the one ConfigMap", files: rules("(secret-[^/]*|configmap-system)[.]yaml$")},
		"Recipients":  {reason: "the restore itself says for whom, whatever the rules", files: rules("secret-"), recipients: []string{recipient}},
		"SecretsOnly": {reason: "ConfigMap system may hold a client_secret, and is never committed in plaintext", files: rules("secret-[^/]*[.]yaml$"), want: v1alpha1.ReasonNoRecipients, within: "apps/3scale/base/dr/configmap-system.yaml"},
		"NoRules":     {reason: "nobody could decrypt", files: fstest.MapFS{}, want: v1alpha1.ReasonNoRecipients, within: ".sops.yaml"},
		"Ignored":     {reason: "a Secret that Flux does not fetch is not restored", files: rules("^apps/"), ignore: new("secret-*"), want: v1alpha1.ReasonRepositoryUnusable, within: "secret-"},
		"IgnoredMap":  {reason: "nor is a ConfigMap", files: rules("^apps/"), ignore: new("configmap-*"), want: v1alpha1.ReasonRepositoryUnusable, within: "apps/3scale/base/dr/configmap-"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := &work{Reconciler: &Reconciler{}, restore: &v1alpha1.ThreeScaleRestore{}}
			w.restore.Name, w.restore.Namespace, w.restore.Spec.Path = "dr", "3scale", "./apps/3scale"
			w.observed.Repository = &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{Ignore: tc.ignore}}
			if tc.recipients != nil {
				w.restore.Spec.Encryption = &v1alpha1.Encryption{}
				w.restore.Spec.Encryption.Age.Recipients = tc.recipients
			}
			var got restore.Problem
			if problem := w.checkFiles(tc.files); problem != nil {
				got = *problem
			}
			assert.Equal(t, tc.want, got.Reason, tc.reason)
			assert.Contains(t, got.Message, tc.within, tc.reason)
			assert.Equal(t, tc.want != "", got.Terminal)
		})
	}
}
