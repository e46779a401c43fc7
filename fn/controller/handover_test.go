package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
)

// TestHandedOverOnce: a report is as long as its author likes, and what it lists may be
// large: the same object again and again is not copied as often.
func TestHandedOverOnce(t *testing.T) {
	of := someRestore()
	of.UID = "u"
	w := &work{restore: of}
	large := job.HandoverEntry{Kind: "Secret", Name: "large", Pieces: handoverParts}
	parts := make([]map[string][]byte, handoverParts)
	objects := make([]client.Object, 0, handoverParts)
	for part := range handoverParts {
		piece := strings.Repeat("x", 100)
		switch part {
		case 0:
			piece = `{"a":"` + piece
		case handoverParts - 1:
			piece += `"}`
		}
		parts[part] = map[string][]byte{large.Key(): []byte(piece)}
		objects = append(objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: specs.HandoverName(w.step(specs.Inspecting), part), Namespace: of.Namespace, OwnerReferences: w.owners()},
			Data:       parts[part],
		})
	}
	w.tenant = reconcilingOf(t, stored, interceptor.Funcs{}, objects...).Client
	for times, want := range map[int]string{1: "", 2: v1alpha1.ReasonUnexpectedObject, 500: v1alpha1.ReasonUnexpectedObject} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			w.state = restore.State{Facts: restore.Facts{Inspection: &job.Inspection{HandoverSHA256: job.HandoverDigest(parts)}}}
			for range times {
				w.state.Inspection.Objects = append(w.state.Inspection.Objects, large)
			}
			got, err := w.treeInput(t.Context())
			if want == "" {
				require.NoError(t, err)
				assert.Len(t, got.Objects, 1)
				return
			}
			var problem *restore.Problem
			require.ErrorAs(t, err, &problem)
			assert.Equal(t, want, problem.Reason)
		})
	}
}
