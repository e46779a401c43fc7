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
			"spec.restoreSource: Invalid value: set one of persistentVolumeClaim, persistentVolume, backupRef and bucket",
		},
		"no source":               {"restored from where?", "restoreSource.backupRef", nil, "set one of persistentVolumeClaim, persistentVolume, backupRef and bucket"},
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
			assert.Contains(t, refusedFor(t, d, good, test.field, test.value), test.want, test.reason)
		})
	}
}

// refusedFor sets a field below spec, or removes it, and returns what the API server says then.
func refusedFor(t *testing.T, d definition, good map[string]any, field string, value any) string {
	t.Helper()
	broken := runtime.DeepCopyJSON(good)
	path := append([]string{"spec"}, strings.Split(field, ".")...)
	if value == nil {
		unstructured.RemoveNestedField(broken, path...)
	} else {
		require.NoError(t, unstructured.SetNestedField(broken, value, path...))
	}
	_, refused := d.admit(t, broken)
	return strings.Join(refused, "\n")
}

// TestBucketRefused does so with the bucket of a restore.
func TestBucketRefused(t *testing.T) {
	d := restoreDefinition(t)
	good := restoreOf(t, "offsite")
	role := map[string]any{"roleARN": "arn:aws:iam::123456789012:role/restore"}
	for name, test := range map[string]struct {
		reason string
		field  string // below spec.restoreSource
		value  any    // nil removes the field
		want   string // "" admits it
	}{
		"as it is":            {"", "run", "latest", ""},
		"everybody's":         {"a bucket may be read without a login", "bucket.secretRef", nil, ""},
		"a volume too":        {"which of them?", "backupRef", map[string]any{"name": "nightly"}, "set one of persistentVolumeClaim, persistentVolume, backupRef and bucket"},
		"no prefix":           {"a restore has no claim to take it from", "bucket.prefix", nil, "set prefix: <namespace>/<name> of the ThreeScaleBackup, unless it set another"},
		"an empty prefix":     {"likewise", "bucket.prefix", "", "spec.restoreSource.bucket.prefix: Invalid value"},
		"a way up":            {"it would be another's", "bucket.prefix", "3scale/../other", "prefix has no segments . and .."},
		"a slash at its end":  {"keys would hold two", "bucket.prefix", "3scale/nightly/", "spec.restoreSource.bucket.prefix: Invalid value"},
		"no endpoint":         {"asked where?", "bucket.endpoint", nil, "spec.restoreSource.bucket.endpoint: Required value"},
		"a URL as endpoint":   {"insecure says whether TLS is spoken", "bucket.endpoint", "https://s3.example.com", "spec.restoreSource.bucket.endpoint: Invalid value"},
		"a path in it":        {"the bucket has a field of its own", "bucket.endpoint", "s3.example.com/backups", "spec.restoreSource.bucket.endpoint: Invalid value"},
		"a login in it":       {"it would stand in Git", "bucket.endpoint", "me:secret@s3.example.com", "spec.restoreSource.bucket.endpoint: Invalid value"},
		"no name":             {"which one?", "bucket.bucketName", nil, "spec.restoreSource.bucket.bucketName: Required value"},
		"a name in capitals":  {"no object store has one", "bucket.bucketName", "Backups", "spec.restoreSource.bucket.bucketName: Invalid value"},
		"an unknown provider": {"of Flux' own, two are spoken", "bucket.provider", "gcp", `Unsupported value: "gcp": supported values: "generic", "aws"`},
		"other checksums":     {"there are two", "bucket.checksums", "MD5", `Unsupported value: "MD5": supported values: "SHA256", "None"`},
		"two logins":          {"which of them?", "bucket.webIdentity", role, "set secretRef or webIdentity, not both"},
		"a key in plain text": {"it belongs into a Secret", "bucket.secretkey", "s3cr3t", "unknown field spec.restoreSource.bucket.secretkey"},
		"a short digest":      {"it would match nothing", "manifestSHA256", "0123", "spec.restoreSource.manifestSHA256: Invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := refusedFor(t, d, good, "restoreSource."+test.field, test.value)
			if test.want == "" {
				assert.Empty(t, refused, test.reason)
				return
			}
			assert.Contains(t, refused, test.want, test.reason)
		})
	}
}
