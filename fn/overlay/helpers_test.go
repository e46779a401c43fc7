package overlay

import (
	"encoding/base64"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// backup returns the objects of a made-up installation as a run of ours holds
// them: all that belongs to 3scale, cleaned.
func backup(o dataset.Options) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, object := range installation(o) {
		objects = append(objects, threescale.CleanForBackup(object))
	}
	return objects
}

// operatorsBackup returns the objects as the operator's own backup leaves them
// (pkg/backup/apimanager_backup.go:343-359), with the marks of who applied them.
func operatorsBackup(o dataset.Options) []*unstructured.Unstructured {
	objects := installation(o)
	for _, object := range objects {
		delete(object.Object, "status")
		metadata := object.Object["metadata"].(map[string]any)
		for _, field := range []string{"ownerReferences", "uid", "resourceVersion", "creationTimestamp", "namespace", "generation"} {
			delete(metadata, field)
		}
		metadata["finalizers"] = []any{"example.com/wait"}
		labels, _ := metadata["labels"].(map[string]any)
		annotations, _ := metadata["annotations"].(map[string]any)
		metadata["labels"] = merged(labels, map[string]any{
			"app.kubernetes.io/instance": "argo-app", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "x-1", "team": "gateways",
			"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
		})
		metadata["annotations"] = merged(annotations, map[string]any{
			"argocd.argoproj.io/tracking-id": "argo-app:/Secret:3scale/x", "meta.helm.sh/release-name": "x",
			"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"password":"` + dataset.SecretMarker + `"}}`,
			"kustomize.toolkit.fluxcd.io/ssa":                  "Ignore", "reconcile.fluxcd.io/requestedAt": "2026-01-01T00:00:00Z",
			"internal.config.kubernetes.io/needsHashSuffix": "true", "config.kubernetes.io/local-config": "true", "contact": "a@example.com",
		})
	}
	return objects
}

func merged(a, b map[string]any) map[string]any {
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

// installation returns the objects that a backup takes.
func installation(o dataset.Options) []*unstructured.Unstructured {
	all := dataset.Installation(o)
	listed := map[Key]bool{}
	for _, object := range all {
		if object.GetKind() != threescale.APIManagerKind {
			continue
		}
		listed[keyOf(object)] = true
		for _, known := range append(threescale.Secrets(object), threescale.ConfigMaps()...) {
			listed[Key{known.Kind, known.Name}] = true
		}
		for _, ref := range threescale.ReferencedSecrets(object) {
			listed[Key{threescale.KindSecret, ref.Name}] = true
		}
	}
	var objects []*unstructured.Unstructured
	for _, object := range all {
		if listed[keyOf(object)] {
			objects = append(objects, object)
		}
	}
	return objects
}

// keys admits all objects.
func keys(objects []*unstructured.Unstructured) []Key {
	var out []Key
	for _, object := range objects {
		out = append(out, keyOf(object))
	}
	return out
}

// input is a restore in place of a whole installation.
func input() Input {
	objects := backup(dataset.Options{})
	return Input{Name: "dr", Namespace: "3scale", Objects: objects, Admitted: keys(objects), FileStorage: fileStorage()}
}

func fileStorage() *FileStorage {
	return &FileStorage{
		StorageClass: new("files"), Size: resource.MustParse("100Mi"),
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
	}
}

// find returns the object of a kind and name.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if keyOf(object) == (Key{kind, name}) {
			return object
		}
	}
	require.FailNow(t, "there is no such object", "%s %s", kind, name)
	return nil
}

// content returns a file of a tree as a golden file may hold it: one to be
// encrypted with the sizes of its values in their place.
func content(t *testing.T, file File) string {
	t.Helper()
	if !file.Secret {
		return string(file.Data)
	}
	var secret map[string]any
	require.NoError(t, yaml.Unmarshal(file.Data, &secret))
	data, _ := secret["data"].(map[string]any)
	for key, value := range data {
		plain := []byte(value.(string))
		if secret["kind"] == threescale.KindSecret {
			var err error
			plain, err = base64.StdEncoding.DecodeString(value.(string))
			require.NoError(t, err)
		}
		data[key] = fmt.Sprintf("<%d bytes>", len(plain))
	}
	shown, err := yaml.Marshal(secret)
	require.NoError(t, err)
	return string(shown)
}
