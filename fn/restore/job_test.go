package restore

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestCheckJob(t *testing.T) {
	for name, tc := range map[string]struct {
		why  string
		job  v1alpha1.JobSettings
		want []string
	}{
		"Nothing": {"what most restores have", v1alpha1.JobSettings{}, nil},
		"Groups": {"as manifests/README.md has it for a volume of a former namespace", v1alpha1.JobSettings{
			PodSecurityContext: &corev1.PodSecurityContext{SupplementalGroups: []int64{1000650000}},
		}, nil},
		"Root": {"the controller may make any pod", v1alpha1.JobSettings{
			PriorityClassName: "high", PodSecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64)},
		}, []string{"runAsUser=0", `Spec.job.priorityClassName asks for PriorityClass "high"`, "name a ServiceAccount that may create Jobs in spec.serviceAccountName"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed()
			o.Restore.Spec.Job = tc.job
			p := CheckJob(o.Restore, false)
			if len(tc.want) == 0 {
				assert.Nil(t, p, tc.why)
				return
			}
			require.NotNil(t, p, tc.why)
			assert.Equal(t, v1alpha1.ReasonJobRefused, p.Reason)
			assert.True(t, p.Terminal, "it is the same at the next try")
			for _, text := range tc.want {
				assert.Contains(t, p.Message, text, tc.why)
			}
		})
	}
}
