package examples_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestRefused changes one field of an example, and has the API server say what
// is wrong with it.
func TestRefused(t *testing.T) {
	d := restoreDefinition(t)
	good := restoreOf(t, "lost-installation")
	for name, test := range map[string]struct {
		reason string
		field  string // below spec
		value  any    // nil removes the field
		want   string
	}{
		"two sources": {
			"which of them?", "restoreSource.persistentVolume", map[string]any{"volumeName": "pv-1"},
			"spec.restoreSource: Invalid value: set one of persistentVolumeClaim, persistentVolume and backupRef",
		},
		"no source":               {"restored from where?", "restoreSource.backupRef", nil, "set one of persistentVolumeClaim, persistentVolume and backupRef"},
		"no restoreSource":        {"likewise", "restoreSource", nil, "spec.restoreSource: Required value"},
		"no repository":           {"committed where?", "sourceRef", nil, "spec.sourceRef: Required value"},
		"a nameless repository":   {"which one?", "sourceRef.name", "", "spec.sourceRef.name: Invalid value"},
		"another kind of source":  {"only Git can be written to", "sourceRef.kind", "Bucket", `Unsupported value: "Bucket": supported values: "GitRepository"`},
		"a path out of the tree":  {"it would be somebody else's", "path", "./apps/../..", "path is relative to the root of the repository, without .. and .git"},
		"an absolute path":        {"a repository has none", "path", "/apps", "path is relative to the root of the repository, without .. and .git"},
		"a path into .git":        {"it holds the repository's own", "path", "apps/.git/hooks", "path is relative to the root of the repository, without .. and .git"},
		"a push to nowhere":       {"options alone say nothing", "git.push", map[string]any{"options": map[string]any{"ci.skip": ""}}, "spec.git.push: Invalid value: set branch, refspec or both"},
		"a checkout of nothing":   {"it takes a branch", "git.checkout", map[string]any{"ref": map[string]any{}}, "spec.git.checkout.ref.branch: Required value"},
		"a checkout of a tag":     {"a tag does not move with a push", "git.checkout", map[string]any{"ref": map[string]any{"branch": "main", "tag": "v1"}}, "unknown field spec.git.checkout.ref.tag"},
		"an unknown key type":     {"Git signs with two", "git.commit.signingKey", map[string]any{"type": "x509", "secretRef": map[string]any{"name": "key"}}, `Unsupported value: "x509"`},
		"a number as interval":    {"seconds? minutes?", "interval", int64(10), "spec.interval: Invalid value"},
		"a wrong retry interval":  {"days are no unit of Go's", "retryInterval", "1d", "spec.retryInterval: Invalid value"},
		"a negative timeout":      {"it would be over before it began", "timeout", "-1h", "spec.timeout: Invalid value"},
		"an unknown policy":       {"files are at stake", "fileStorage", map[string]any{"existing": "Delete"}, `Unsupported value: "Delete": supported values: "Fail", "Overwrite", "Mirror", "Skip"`},
		"an unknown Secrets rule": {"databases are at stake", "databaseSecrets", "Keep", `Unsupported value: "Keep": supported values: "Restore", "Omit"`},
		"a URL as domain":         {"it becomes part of host names", "target", map[string]any{"wildcardDomain": "https://example.com"}, "spec.target.wildcardDomain: Invalid value"},
		"a domain with a star":    {"the operator puts the names before it", "target", map[string]any{"wildcardDomain": "*.example.com"}, "spec.target.wildcardDomain: Invalid value"},
		"a domain in capitals":    {"it is compared with lower case", "target", map[string]any{"wildcardDomain": "Example.com"}, "spec.target.wildcardDomain: Invalid value"},
		"no recipients":           {"an empty list must not mean plaintext", "encryption", map[string]any{"age": map[string]any{"recipients": []any{}}}, "spec.encryption.age.recipients: Invalid value"},
		"an empty encryption":     {"likewise", "encryption", map[string]any{}, "spec.encryption.age: Required value"},
		"a run with a slash":      {"it names a folder of the volume", "restoreSource.run", "../latest", "spec.restoreSource.run: Invalid value"},
		"a typing mistake":        {"it would be pruned in silence", "dryrun", true, "unknown field spec.dryrun"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := runtime.DeepCopyJSON(good)
			path := append([]string{"spec"}, strings.Split(test.field, ".")...)
			if test.value == nil {
				unstructured.RemoveNestedField(broken, path...)
			} else {
				require.NoError(t, unstructured.SetNestedField(broken, test.value, path...))
			}
			_, refused := d.admit(t, broken)
			assert.Contains(t, strings.Join(refused, "\n"), test.want, test.reason)
		})
	}
}
