package dataset

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
)

// TestInstallationIsComplete checks that a default installation can be backed up.
func TestInstallationIsComplete(t *testing.T) {
	objects := Installation(Options{})
	apiManager := find(objects, "APIManager", "example")
	require.NotNil(t, apiManager)
	for _, object := range append(threescale.Secrets(apiManager), threescale.ConfigMaps()...) {
		assert.NotNil(t, find(objects, object.Kind, object.Name), object.Name)
	}
	refs := threescale.ReferencedSecrets(apiManager)
	assert.Len(t, refs, 5)
	for _, ref := range refs {
		assert.NotNil(t, find(objects, "Secret", ref.Name), ref.Name)
	}
	assert.NotNil(t, find(objects, "PersistentVolumeClaim", threescale.FileStoragePVCName))
	assert.NotNil(t, find(objects, "Namespace", "3scale"))
	assert.Empty(t, threescale.InternalDatabases(apiManager))
	assert.Empty(t, threescale.FileStorageProblem(apiManager))
	assert.Empty(t, threescale.DeprecatedField(apiManager))
	assert.Empty(t, threescale.InvalidReferences(apiManager))
	assert.Equal(t, "2.16.0", threescale.Version(apiManager))
	assert.Equal(t, "apps.example.com", threescale.WildcardDomain(apiManager))
	assert.Equal(t, objects, Installation(Options{}), "the same seed must give the same objects")
}

func TestInstallationOptions(t *testing.T) {
	t.Run("InternalDatabases", func(t *testing.T) {
		objects := Installation(Options{InternalDatabases: []threescale.Database{threescale.SystemRedis}})
		messages := threescale.InternalDatabases(find(objects, "APIManager", "example"))
		require.Len(t, messages, 1)
		assert.Contains(t, messages[0], "spec.externalComponents.system.redis")
	})
	t.Run("S3", func(t *testing.T) {
		objects := Installation(Options{S3: true})
		assert.True(t, threescale.UsesS3(find(objects, "APIManager", "example")))
		assert.Nil(t, find(objects, "PersistentVolumeClaim", threescale.FileStoragePVCName))
		assert.NotNil(t, find(objects, "Secret", s3Secret))
	})
	t.Run("Missing", func(t *testing.T) {
		objects := Installation(Options{MissingSecrets: []string{"zync", "system-environment"}, MissingConfigMaps: []string{"apicast-environment"}})
		assert.Nil(t, find(objects, "Secret", "zync"))
		assert.Nil(t, find(objects, "ConfigMap", "apicast-environment"))
		assert.NotNil(t, find(objects, "ConfigMap", "system-environment"))
	})
	t.Run("Names", func(t *testing.T) {
		objects := Installation(Options{Namespace: "other", Name: "one", WildcardDomain: "one.example.com", SecondAPIManager: true, OpenShift: true})
		assert.NotNil(t, find(objects, "APIManager", "one"))
		assert.NotNil(t, find(objects, "APIManager", "one-second"))
		assert.Contains(t, find(objects, "Namespace", "other").GetAnnotations(), "openshift.io/sa.scc.uid-range")
		for _, object := range objects {
			if object.GetKind() != "Namespace" {
				assert.Equal(t, "other", object.GetNamespace())
			}
		}
	})
	t.Run("Seed", func(t *testing.T) {
		one, two := Installation(Options{Seed: 1}), Installation(Options{Seed: 2})
		assert.NotEqual(t, find(one, "Secret", "zync"), find(two, "Secret", "zync"))
	})
}

func TestInstallationServerMetadata(t *testing.T) {
	for _, object := range Installation(Options{}) {
		for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields"} {
			assert.Contains(t, metadataOf(object.Object), field)
		}
		if object.GetKind() == "Secret" {
			assert.Empty(t, object.GetOwnerReferences(), "the operator owns no Secret")
		}
	}
	for _, object := range Installation(Options{WithoutServerMetadata: true}) {
		cleaned := threescale.CleanForBackup(object)
		cleaned.SetNamespace(object.GetNamespace())
		assert.Equal(t, object, cleaned, "nothing of a server may be left")
	}
}

// TestInstallationObjects reads each core object strictly into its type, and
// writes each as a backup does.
func TestInstallationObjects(t *testing.T) {
	types := map[string]func() any{
		"Secret":                func() any { return &corev1.Secret{} },
		"ConfigMap":             func() any { return &corev1.ConfigMap{} },
		"Namespace":             func() any { return &corev1.Namespace{} },
		"PersistentVolumeClaim": func() any { return &corev1.PersistentVolumeClaim{} },
	}
	for name, options := range map[string]Options{"Live": {}, "S3": {S3: true}, "Applicable": {WithoutServerMetadata: true}} {
		t.Run(name, func(t *testing.T) {
			for _, object := range Installation(options) {
				_, err := threescale.EncodeJSON(object.Object)
				require.NoError(t, err)
				content, err := yaml.Marshal(object.Object)
				require.NoError(t, err)
				if typed, known := types[object.GetKind()]; known {
					require.NoError(t, yaml.UnmarshalStrict(content, typed()))
				}
			}
		})
	}
}

// TestSecretValues proves that a leak test can rely on the marker.
func TestSecretValues(t *testing.T) {
	for _, object := range Installation(Options{S3: true}) {
		if object.GetKind() != "Secret" {
			continue
		}
		name := object.GetName()
		var plain, encoded strings.Builder
		for _, value := range object.Object["data"].(map[string]any) {
			decoded, err := base64.StdEncoding.DecodeString(value.(string))
			require.NoError(t, err)
			plain.Write(decoded)
			encoded.WriteString(value.(string) + "\n")
		}
		if name == "backend-listener" || name == "system-memcache" {
			assert.NotContains(t, plain.String(), SecretMarker)
			continue
		}
		assert.True(t, containsAny(encoded.String(), MarkerForms()[1:]), "%s has no marker in its base64", name)
		assert.Contains(t, plain.String(), SecretMarker, name)
	}
}

// TestSensitiveConfigMap: one ConfigMap holds a confidential value, which a leak
// test knows, and no other does.
func TestSensitiveConfigMap(t *testing.T) {
	for _, object := range Installation(Options{}) {
		if object.GetKind() != "ConfigMap" {
			continue
		}
		content, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		name := object.GetName()
		assert.Equal(t, threescale.IsSensitive("ConfigMap", name), containsAny(string(content), MarkerForms()), name)
	}
	data := find(Installation(Options{}), "ConfigMap", "system").Object["data"].(map[string]any)
	for key, value := range data {
		var parsed map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(value.(string)), &parsed), key)
		assert.Contains(t, parsed, "production", "System reads its environment's part of %s", key)
	}
	assert.Len(t, data, 3)
}

func TestMarkerForms(t *testing.T) {
	forms := MarkerForms()
	require.Len(t, forms, 4)
	for offset, form := range forms[1:] {
		for _, around := range []string{"\x00\x00", "\xff\xff", "ab"} {
			encoded := base64.StdEncoding.EncodeToString([]byte(around[:offset%3] + SecretMarker + around))
			assert.Contains(t, encoded, form)
		}
	}
}

// TestZyncPassword: the operator refuses a zync Secret whose fields disagree
// (operator/zync_options_provider.go:174-193).
func TestZyncPassword(t *testing.T) {
	data := find(Installation(Options{}), "Secret", "zync").Object["data"].(map[string]any)
	value := func(key string) string {
		decoded, err := base64.StdEncoding.DecodeString(data[key].(string))
		require.NoError(t, err)
		return string(decoded)
	}
	address, err := url.Parse(value("DATABASE_URL"))
	require.NoError(t, err)
	password, _ := address.User.Password()
	assert.Equal(t, value("ZYNC_DATABASE_PASSWORD"), password)
}

func TestWriteManifests(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	objects := Installation(Options{})
	require.NoError(t, WriteManifests(dir, objects))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, len(objects))
	assert.Equal(t, "0-namespace-3scale.yaml", entries[0].Name())

	content, err := os.ReadFile(filepath.Join(dir, "secret-system-app.yaml"))
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, yaml.Unmarshal(content, &read))
	assert.Equal(t, find(objects, "Secret", "system-app").Object, read)
}

func TestWriteManifestsRefuses(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "x"}}}
	require.ErrorContains(t, WriteManifests(t.TempDir(), []*unstructured.Unstructured{object, object}), `"secret-x.yaml"`)
	object.SetName("../x")
	require.ErrorContains(t, WriteManifests(t.TempDir(), []*unstructured.Unstructured{object}), "cannot write manifest")
}

func find(objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	return nil
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
