package threescale_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/threescale"
)

// TestSecrets compares with the names in the list of the operator's backup
// (pkg/backup/apimanager_backup.go:23-37).
func TestSecrets(t *testing.T) {
	secrets := threescale.Secrets(nil)
	assert.Equal(t, strings.Fields(`backend-internal-api backend-listener backend-redis system-app system-database
		system-events-hook system-master-apicast system-memcache system-recaptcha system-redis system-seed system-smtp zync`),
		names(secrets))
	assert.Equal(t, []string{"system-memcache", "system-recaptcha"}, optional(secrets))
	for _, secret := range secrets {
		assert.Equal(t, "Secret", secret.Kind)
	}
	for _, name := range threescale.DatabaseSecrets(nil) {
		assert.Contains(t, names(secrets), name)
	}
}

func TestDatabaseSecrets(t *testing.T) {
	three := []string{"backend-redis", "system-database", "system-redis"}
	four := []string{"backend-redis", "system-database", "system-redis", "zync"}
	cases := map[string]struct {
		reason, spec string
		want         []string
	}{
		"Internal":     {"a Zync database of the installation goes with it, and its address holds anywhere", `{"externalComponents": {"system": {"database": true}}}`, three},
		"External":     {"its address leads to the original's database", `{"externalComponents": {"zync": {"database": true}}}`, four},
		"False":        {"false is internal", `{"externalComponents": {"zync": {"database": false}}}`, three},
		"Legacy":       {"the old field makes only the other three external", `{"highAvailability": {"enabled": true}}`, three},
		"LegacyZync":   {"and Zync's on top", `{"highAvailability": {"enabled": true, "externalZyncDatabaseEnabled": true}}`, four},
		"LegacyOff":    {"switched off it says nothing of Zync's", `{"highAvailability": {"enabled": false, "externalZyncDatabaseEnabled": true}}`, three},
		"Precedence":   {"the new field counts alone", `{"externalComponents": {}, "highAvailability": {"enabled": true, "externalZyncDatabaseEnabled": true}}`, three},
		"NoAPIManager": {"nothing is known", `null`, three},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, threescale.DatabaseSecrets(decode(t, []byte(`{"spec": `+tc.spec+`}`))), tc.reason)
		})
	}
}

func TestIsSensitive(t *testing.T) {
	cases := map[string]struct {
		reason, kind, name string
		want               bool
	}{
		"Secret":            {"each is", "Secret", "backend-listener", true},
		"System":            {"it may hold the client_secret of service discovery", "ConfigMap", "system", true},
		"SystemEnvironment": {"it holds settings", "ConfigMap", "system-environment", false},
		"APIManager":        {"a name alone says nothing", "APIManager", "system", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, threescale.IsSensitive(tc.kind, tc.name), tc.reason)
		})
	}
}

func TestSecretsZync(t *testing.T) {
	cases := map[string]struct {
		reason, apiManager string
		required           bool
	}{
		"Unset":    {"zync runs by default", `{"spec": {}}`, true},
		"Enabled":  {"zync runs", `{"spec": {"zync": {"enabled": true}}}`, true},
		"Disabled": {"the operator deletes the Secret of a zync that is switched off", `{"spec": {"zync": {"enabled": false}}}`, false},
		"Odd":      {"only a false switches zync off", `{"spec": {"zync": {"enabled": "false"}}}`, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			secrets := threescale.Secrets(decode(t, []byte(tc.apiManager)))
			assert.Equal(t, !tc.required, slices.Contains(optional(secrets), "zync"), tc.reason)
		})
	}
}

func TestConfigMaps(t *testing.T) {
	configMaps := threescale.ConfigMaps()
	assert.Equal(t, []string{"apicast-environment", "system", "system-environment"}, names(configMaps))
	assert.Equal(t, []string{"apicast-environment", "system"}, optional(configMaps))
	for _, configMap := range configMaps {
		assert.Equal(t, "ConfigMap", configMap.Kind)
	}
}

func TestListsAreFresh(t *testing.T) {
	threescale.Secrets(nil)[0].Name = "changed"
	threescale.ConfigMaps()[0].Name = "changed"
	threescale.DatabaseSecrets(nil)[0] = "changed"
	assert.NotContains(t, names(threescale.Secrets(nil)), "changed")
	assert.NotContains(t, names(threescale.ConfigMaps()), "changed")
	assert.NotContains(t, threescale.DatabaseSecrets(nil), "changed")
}

func names(objects []threescale.Member) []string {
	var out []string
	for _, object := range objects {
		out = append(out, object.Name)
	}
	return out
}

func optional(objects []threescale.Member) []string {
	return names(slices.DeleteFunc(slices.Clone(objects), func(o threescale.Member) bool { return o.Required }))
}

func selectorText(t *testing.T, selector *metav1.LabelSelector) string {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	require.NoError(t, err)
	return parsed.String()
}
