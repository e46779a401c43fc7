package controller

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/threescale"
)

// TestClassOfFileStorage: Flux could never apply another class to a claim that
// is there.
func TestClassOfFileStorage(t *testing.T) {
	claim := func(class *string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: class}}
	}
	for name, tc := range map[string]struct {
		reason   string
		asked    string
		existing *corev1.PersistentVolumeClaim
		want     *string
	}{
		"Anew":            {"it is what the restore asks for", "fast", nil, new("fast")},
		"AsItWas":         {"nothing else is asked for", "", nil, new("files")},
		"Existing":        {"the field is immutable", "fast", claim(new("files")), new("files")},
		"ExistingNoClass": {"an empty one is no class at all", "fast", claim(new("")), new("")},
	} {
		t.Run(name, func(t *testing.T) {
			r := someRestore()
			r.Spec.Target.StorageClass = tc.asked
			inspection := &job.Inspection{Source: job.Source{FileStorage: &job.Claim{StorageClass: new("files"), Size: "1Gi"}}}
			w := &work{restore: r, observed: restore.Observed{FileStorage: tc.existing, Inspection: inspection}}
			storage, err := w.storage([]json.RawMessage{[]byte(`{"kind":"Secret"}`), []byte(`{"kind":"APIManager"}`)}, []overlay.Key{{Kind: "Secret"}, {Kind: threescale.APIManagerKind}})
			require.NoError(t, err)
			require.NotNil(t, storage)
			assert.Equal(t, tc.want, storage.Class, tc.reason)
		})
	}
}
