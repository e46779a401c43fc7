package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/dataset"
)

// TestSimulateWithAComposition: a ThreeScaleBackup is simulated under the Composition that it will have.
func TestSimulateWithAComposition(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, dataset.WriteManifests(filepath.Join(dir, "objects"), dataset.Installation(dataset.Options{Seed: 1})))
	put(t, dir, "claim.yaml", "apiVersion: backup.threescale.dev/v1alpha1\nkind: ThreeScaleBackup\nmetadata: {name: nightly, namespace: 3scale}\n"+
		"spec: {fileStorage: Skip, job: {priorityClassName: backup}, backupDestination: {persistentVolumeClaim: {resources: {requests: 1Gi}}}}\n")
	const composition = `apiVersion: apiextensions.crossplane.io/v1
kind: Composition
metadata: {name: ours}
spec:
  pipeline:
  - {step: others, input: {apiVersion: example.org/v1, kind: Input, allow: anything}}
  - {step: backup, input: {apiVersion: backup.threescale.dev/v1alpha1, kind: Input, image: x, allow: `
	cases := map[string]struct {
		reason, composition string
		code                int
		says                string
	}{
		"None":    {"nothing is allowed by default", "", 64, "JobRefused"},
		"Allowed": {"the platform allows it", composition + "{priorityClassNames: [backup]}}}", 0, "Completed"},
		"Other":   {"the platform allows something else", composition + "{priorityClassNames: [other]}}}", 64, "JobRefused"},
		"Unknown": {"Crossplane would not say so", composition + "{priorityClasses: [backup]}}}", 64, `unknown field "allow.priorityClasses"`},
		"NoInput": {"some other manifest", head, 64, "no Composition with an input of kind Input"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			args := []string{"simulate", filepath.Join(dir, "claim.yaml"), "--objects", filepath.Join(dir, "objects"), "--directory", "nightly-backup=" + t.TempDir()}
			if tc.composition != "" {
				in := t.TempDir()
				put(t, in, "composition.yaml", tc.composition)
				args = append(args, "--composition", filepath.Join(in, "composition.yaml"))
			}
			done := execute(t, args...)
			assert.Equal(t, tc.code, done.code, tc.reason)
			assert.Contains(t, done.stdout+done.stderr, tc.says)
		})
	}
}
