package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// TestBackupTellsWhatTheClaimTells: whatever simulate says of what is not in the backup, backup says in the same words.
func TestBackupTellsWhatTheClaimTells(t *testing.T) {
	const missing, token = "Optional Secrets and ConfigMaps are missing and not in the backup: ", "Service-account tokens are never copied: "
	without := func(kind, name string) func([]*unstructured.Unstructured) []*unstructured.Unstructured {
		return func(objects []*unstructured.Unstructured) (left []*unstructured.Unstructured) {
			for _, object := range objects {
				if object.GetKind() != kind || object.GetName() != name {
					left = append(left, object)
				}
			}
			return left
		}
	}
	asToken := func(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
		for _, object := range objects {
			if object.GetName() == "registry-pull" {
				object.Object["type"], object.Object["data"] = "kubernetes.io/service-account-token", map[string]any{"token": "eA=="}
				object.SetAnnotations(map[string]string{"kubernetes.io/service-account.name": "default"})
			}
		}
		return objects
	}
	cases := map[string]struct {
		reason string
		change func([]*unstructured.Unstructured) []*unstructured.Unstructured
		says   []string
	}{
		"Complete":  {"nothing to tell", func(objects []*unstructured.Unstructured) []*unstructured.Unstructured { return objects }, nil},
		"Secret":    {"the operator writes it again, with what it takes for right", without("Secret", "system-memcache"), []string{missing + "system-memcache"}},
		"ConfigMap": {"likewise", without("ConfigMap", threescale.SystemConfig), []string{missing + "ConfigMap system"}},
		"Named":     {"that the APIManager names it is told too", without("Secret", "registry-pull"), []string{missing + "registry-pull (named by spec.imagePullSecrets"}},
		"Token":     {"another cluster would not know it", asToken, []string{token + "registry-pull"}},
		"Both": {"all is told", func(o []*unstructured.Unstructured) []*unstructured.Unstructured {
			return asToken(without("Secret", "system-recaptcha")(o))
		}, []string{missing + "system-recaptcha", token + "registry-pull"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			objects := tc.change(dataset.Installation(dataset.Options{Seed: 1}))
			text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
			require.NoError(t, err)
			put(t, dir, "objects/all.yaml", string(text))
			put(t, dir, "claim.yaml", "apiVersion: backup.threescale.dev/v1alpha1\nkind: ThreeScaleBackup\nmetadata: {name: nightly, namespace: 3scale}\n"+
				"spec: {fileStorage: Skip, backupDestination: {persistentVolumeClaim: {resources: {requests: 1Gi}}}}\n")
			simulated := execute(t, "simulate", filepath.Join(dir, "claim.yaml"), "--objects", filepath.Join(dir, "objects"), "--directory", "nightly-backup="+filepath.Join(dir, "simulated"))
			require.Equal(t, 0, simulated.code, simulated.stderr)
			args := []string{"backup", "--objects", filepath.Join(dir, "objects"), "--skip-file-storage", "--volume"}
			done := execute(t, append(args, filepath.Join(dir, "volume"))...)
			require.Equal(t, 0, done.code, done.stderr)
			inJSON := execute(t, append(args, filepath.Join(dir, "json"), "-o", "json")...)
			require.Equal(t, 0, inJSON.code, inJSON.stderr)
			var result job.Result
			require.NoError(t, json.Unmarshal([]byte(inJSON.stdout), &result))
			for _, says := range tc.says {
				for _, told := range []string{simulated.stdout, done.stdout, strings.Join(result.Warnings, "\n")} {
					assert.Contains(t, told, says, tc.reason)
				}
			}
			if tc.says == nil {
				assert.NotContains(t, done.stdout, "warning: ")
				assert.Empty(t, result.Warnings)
			}
			stored, err := filepath.Glob(filepath.Join(dir, "volume/latest/secrets/registry-pull.json"))
			require.NoError(t, err)
			assert.Equal(t, name != "Token" && name != "Both" && name != "Named", len(stored) == 1, "what is told is so")
		})
	}
}
