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
	for _, name := range threescale.DatabaseSecrets() {
		assert.Contains(t, names(secrets), name)
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
	assert.Equal(t, []string{"apicast-environment", "system-environment"}, names(configMaps))
	assert.Equal(t, []string{"apicast-environment"}, optional(configMaps))
	for _, configMap := range configMaps {
		assert.Equal(t, "ConfigMap", configMap.Kind)
	}
}

func TestListsAreFresh(t *testing.T) {
	threescale.Secrets(nil)[0].Name = "changed"
	threescale.ConfigMaps()[0].Name = "changed"
	threescale.DatabaseSecrets()[0] = "changed"
	assert.NotContains(t, names(threescale.Secrets(nil)), "changed")
	assert.NotContains(t, names(threescale.ConfigMaps()), "changed")
	assert.NotContains(t, threescale.DatabaseSecrets(), "changed")
}

func names(objects []threescale.Object) []string {
	var out []string
	for _, object := range objects {
		out = append(out, object.Name)
	}
	return out
}

func optional(objects []threescale.Object) []string {
	return names(slices.DeleteFunc(slices.Clone(objects), func(o threescale.Object) bool { return o.Required }))
}

func selectorText(t *testing.T, selector *metav1.LabelSelector) string {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	require.NoError(t, err)
	return parsed.String()
}
