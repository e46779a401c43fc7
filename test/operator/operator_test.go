package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	setSum(status, "RoutesReady", []string{"a.example.com", "b.example.com"}, "RoutesNotReady", "missing: ")
	condition, found := findCondition(status, "RoutesReady")
	assert.True(t, found)
	assert.Equal(t, "missing: a.example.com, b.example.com", condition["message"])

	condition["lastTransitionTime"] = "before"
	setCondition(status, "RoutesReady", false, "", "for another")
	assert.Equal(t, map[string]any{"type": "RoutesReady", "status": "False", "message": "for another", "lastTransitionTime": "before"}, condition)

	setSum(status, "RoutesReady", nil, "RoutesNotReady", "missing: ")
	assert.NotEqual(t, "before", condition["lastTransitionTime"])
	assert.NotContains(t, condition, "message")
	assert.Len(t, status["conditions"], 1)
	_, found = findCondition(status, "Preflights")
	assert.False(t, found)
}

func TestHosts(t *testing.T) {
	apiManager := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"wildcardDomain": "example.com", "tenantName": "t"}}}
	assert.Len(t, hosts(apiManager), 6)
	assert.Len(t, deploymentNames(apiManager), 11)
	apiManager.Object["spec"].(map[string]any)["zync"] = map[string]any{"enabled": false}
	assert.Equal(t, []string{"backend-t.example.com"}, hosts(apiManager), "without Zync the others are the user's")
	assert.NotContains(t, deploymentNames(apiManager), "zync-que")
}
