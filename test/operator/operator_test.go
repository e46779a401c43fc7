package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
)

func TestHops(t *testing.T) {
	cases := map[string]struct {
		reason   string
		from, to string
		want     bool
	}{
		"New":        {"an installation without the annotation is a new one", "", "2.16.0", false},
		"Same":       {"nothing is upgraded", "2.16.0", "2.16.1", false},
		"Next":       {"one minor version is an upgrade", "2.15.3", "2.16.0", false},
		"Hop":        {"two are refused", "2.14.0", "2.16.0", true},
		"Older":      {"an older operator does not look", "2.16.0", "2.14.0", false},
		"Unreadable": {"what cannot be read is not refused", "master", "2.16.0", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, hops(tc.from, tc.to), tc.reason)
		})
	}
}

func TestSecretRefs(t *testing.T) {
	spec := map[string]any{
		"wildcardDomain":   "apps.example.com",
		"imagePullSecrets": []any{map[string]any{"name": "pull"}},
		"apicast": map[string]any{
			"productionSpec": map[string]any{
				"customPolicies":            []any{map[string]any{"name": "policy", "secretRef": map[string]any{"name": "policy-secret"}}},
				"httpsCertificateSecretRef": map[string]any{"name": "certificate"},
			},
			"stagingSpec": map[string]any{"customPolicies": []any{map[string]any{"secretRef": map[string]any{"name": "policy-secret"}}}},
		},
	}
	assert.Equal(t, []string{"certificate", "policy-secret"}, secretRefs(spec))
	assert.Empty(t, secretRefs(nil))
}

func TestSetCondition(t *testing.T) {
	status := map[string]any{}
	setCondition(status, "Available", corev1.ConditionFalse, "Waiting", "for a Secret")
	condition, found := findCondition(status, "Available")
	assert.True(t, found)
	assert.Equal(t, "for a Secret", condition["message"])

	condition["lastTransitionTime"] = "before"
	setCondition(status, "Available", corev1.ConditionFalse, "", "for another")
	assert.Equal(t, map[string]any{"type": "Available", "status": "False", "message": "for another", "lastTransitionTime": "before"}, condition)

	setCondition(status, "Available", corev1.ConditionTrue, "", "")
	assert.NotEqual(t, "before", condition["lastTransitionTime"])
	assert.NotContains(t, condition, "message")
	assert.Len(t, status["conditions"], 1)
	assert.False(t, hasCondition(status, "Preflights"))
}
