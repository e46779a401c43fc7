package threescale_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
)

func TestRouteHosts(t *testing.T) {
	spec := func(fields map[string]any) *unstructured.Unstructured {
		fields["wildcardDomain"] = "apps.example.com"
		return &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	}
	cases := map[string]struct {
		reason     string
		apiManager *unstructured.Unstructured
		want       []string
	}{
		"Default": {"the operator's own tenant", spec(map[string]any{}), []string{
			"backend-3scale.apps.example.com", "api-3scale-apicast-production.apps.example.com", "api-3scale-apicast-staging.apps.example.com",
			"master.apps.example.com", "3scale.apps.example.com", "3scale-admin.apps.example.com",
		}},
		"Tenant": {"all but that of master have its name", spec(map[string]any{"tenantName": "acme"}), []string{
			"backend-acme.apps.example.com", "api-acme-apicast-production.apps.example.com", "api-acme-apicast-staging.apps.example.com",
			"master.apps.example.com", "acme.apps.example.com", "acme-admin.apps.example.com",
		}},
		"WithoutZync": {"nobody makes the others", spec(map[string]any{"zync": map[string]any{"enabled": false}}), []string{"backend-3scale.apps.example.com"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, threescale.RouteHosts(tc.apiManager), tc.reason)
		})
	}
}
