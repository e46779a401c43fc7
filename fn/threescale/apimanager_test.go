package threescale_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/threescale"
)

func TestVersionAndDomain(t *testing.T) {
	apiManager := decode(t, []byte(`{
		"metadata": {"annotations": {"apps.3scale.net/apimanager-threescale-version": "2.16.0"}},
		"spec": {"wildcardDomain": "apps.example.com"}}`))
	assert.Equal(t, "2.16.0", threescale.Version(apiManager))
	assert.Equal(t, "apps.example.com", threescale.WildcardDomain(apiManager))

	for name, broken := range map[string]string{
		"Empty":      `{}`,
		"Null":       `{"metadata": null, "spec": null}`,
		"WrongTypes": `{"metadata": {"annotations": ["x"]}, "spec": "x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, threescale.Version(decode(t, []byte(broken))))
			assert.Empty(t, threescale.WildcardDomain(decode(t, []byte(broken))))
		})
	}
	assert.Empty(t, threescale.Version(nil))
	assert.Equal(t, "apps.3scale.net/v1alpha1, Kind=APIManager", threescale.APIManagerGVK().String())
}

func TestFileStoragePodSelector(t *testing.T) {
	cases := map[string]struct {
		reason, version, want string
	}{
		"Deployments":       {"2.15 moved to Deployments", "2.15.0", "deployment in (system-app,system-sidekiq)"},
		"Newer":             {"and later versions stayed", "2.16.1", "deployment in (system-app,system-sidekiq)"},
		"NextMajor":         {"a higher major is newer, whatever its minor", "3.0.0", "deployment in (system-app,system-sidekiq)"},
		"DeploymentConfigs": {"2.14 had DeploymentConfigs", "2.14.2", "deploymentConfig in (system-app,system-sidekiq)"},
		"Unknown":           {"an installation without the annotation is a new one", "", "deployment in (system-app,system-sidekiq)"},
		"Odd":               {"what cannot be read counts as new", "master", "deployment in (system-app,system-sidekiq)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, selectorText(t, threescale.FileStoragePodSelector(tc.version)), tc.reason)
		})
	}
}

func TestNotIncluded(t *testing.T) {
	assert.Equal(t, []string{"databases", "capability resources", "changes to Routes"}, threescale.NotIncluded())
	assert.Equal(t, []string{"backend-redis", "system-redis", "zync-database", "capability resources", "changes to Routes"},
		threescale.NotIncluded(threescale.SystemDatabase), "each that is missing is named")
	assert.Equal(t, []string{"queues of backend-redis", "capability resources", "changes to Routes"},
		threescale.NotIncluded(threescale.Databases()...), "Backend's queues are in no dump")
}
