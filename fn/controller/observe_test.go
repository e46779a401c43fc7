package controller

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestLooksAreFew: a look asks the API server only for the Jobs that there can be by then, and for
// leftovers once they are to go: all restores share what the controller may ask.
func TestLooksAreFew(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		edit   func(*v1alpha1.ThreeScaleRestore)
		want   []string
	}{
		"Begun":     {"nothing comes before the plan but the Job that reads", func(r *v1alpha1.ThreeScaleRestore) { r.Status.Plan = nil }, []string{"dr-inspect-01234567"}},
		"Planned":   {"the plan may fill the file storage", func(r *v1alpha1.ThreeScaleRestore) { r.Spec.Databases.Policy = "" }, []string{"dr-inspect-01234567", "dr-refill-01234567"}},
		"Databases": {"the plan may load databases", nil, []string{"dr-inspect-01234567", "dr-refill-01234567", "dr-load-01234567"}},
		"DryRun": {"it ends here, and cleans up", func(r *v1alpha1.ThreeScaleRestore) {
			r.Spec.Databases.Policy, r.Spec.DryRun = "", true
		}, []string{"dr-inspect-01234567", "dr-refill-01234567", "Secret", "Role"}},
		"Pushed": {"a Plan is none of what must be known then", func(r *v1alpha1.ThreeScaleRestore) {
			r.Status.Plan, r.Status.LastPushCommit = nil, "0011"
		}, []string{"dr-inspect-01234567", "dr-refill-01234567", "dr-load-01234567", "dr-resync-01234567", "Secret", "Role"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := loads()
			if tc.edit != nil {
				tc.edit(w.restore)
			}
			var asked []string
			w.tenant = interceptor.NewClient(w.tenant.(client.WithWatch), interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
					asked = append(asked, key.Name)
					return c.Get(ctx, key, into, opts...)
				},
				List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
					asked = append(asked, list.(*metav1.PartialObjectMetadataList).Kind)
					return nil
				},
			})
			require.NoError(t, w.observePods(t.Context()))
			assert.Equal(t, tc.want, asked, tc.reason)
		})
	}
}
