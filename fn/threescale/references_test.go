package threescale_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/threescale"
)

// TestReferencedSecretsAll has each kind of reference that the operator's types
// know (apimanager_types.go:160-349, 610-655, 838-871).
func TestReferencedSecretsAll(t *testing.T) {
	apiManager := decode(t, []byte(`{"spec": {
		"imagePullSecrets": [{"name": "registry-b"}, {"name": "registry-a"}],
		"apicast": {
			"productionSpec": {
				"httpsCertificateSecretRef": {"name": "tls-production"},
				"customPolicies": [
					{"name": "one", "version": "0.1", "secretRef": {"name": "policy-one"}},
					{"name": "two", "version": "0.1", "secretRef": {"name": "policy-two"}}],
				"customEnvironments": [{"secretRef": {"name": "environment"}}],
				"openTracing": {"enabled": true, "tracingConfigSecretRef": {"name": "jaeger"}},
				"openTelemetry": {"enabled": true, "tracingConfigSecretRef": {"name": "otel"}, "tracingConfigSecretKey": "x"}},
			"stagingSpec": {
				"httpsCertificateSecretRef": {"name": "tls-staging"},
				"customPolicies": [{"name": "one", "version": "0.1", "secretRef": {"name": "policy-one"}}],
				"openTracing": {"enabled": false, "tracingConfigSecretRef": {"name": "jaeger-off"}},
				"openTelemetry": {"tracingConfigSecretRef": {"name": "otel"}}}},
		"system": {"fileStorage": {
			"simpleStorageService": {"configurationSecretRef": {"name": "s3"}},
			"amazonSimpleStorageService": {"awsCredentialsSecret": {"name": "s3-old"}}}}}}`))
	assert.Equal(t, []threescale.SecretRef{
		{Name: "environment", Field: "spec.apicast.productionSpec.customEnvironments[0].secretRef", Required: true},
		{Name: "jaeger", Field: "spec.apicast.productionSpec.openTracing.tracingConfigSecretRef", Required: true},
		{Name: "jaeger-off", Field: "spec.apicast.stagingSpec.openTracing.tracingConfigSecretRef"},
		{Name: "otel", Field: "spec.apicast.productionSpec.openTelemetry.tracingConfigSecretRef", Required: true},
		{Name: "policy-one", Field: "spec.apicast.productionSpec.customPolicies[0].secretRef", Required: true},
		{Name: "policy-two", Field: "spec.apicast.productionSpec.customPolicies[1].secretRef", Required: true},
		{Name: "registry-a", Field: "spec.imagePullSecrets[1]"},
		{Name: "registry-b", Field: "spec.imagePullSecrets[0]"},
		{Name: "s3", Field: "spec.system.fileStorage.simpleStorageService.configurationSecretRef", Required: true},
		{Name: "s3-old", Field: "spec.system.fileStorage.amazonSimpleStorageService.awsCredentialsSecret"},
		{Name: "tls-production", Field: "spec.apicast.productionSpec.httpsCertificateSecretRef", Required: true},
		{Name: "tls-staging", Field: "spec.apicast.stagingSpec.httpsCertificateSecretRef", Required: true},
	}, threescale.ReferencedSecrets(apiManager))
	assert.Empty(t, threescale.InvalidReferences(apiManager))
}

func TestReferencedSecrets(t *testing.T) {
	version := func(v string) string {
		return `"metadata": {"annotations": {"apps.3scale.net/apimanager-threescale-version": "` + v + `"}}`
	}
	cases := map[string]struct {
		reason, apiManager string
		want               []threescale.SecretRef
	}{
		"None":  {"a plain installation refers to nothing", `{"spec": {"wildcardDomain": "example.com"}}`, nil},
		"Empty": {"an empty name is no reference", `{"spec": {"imagePullSecrets": [{}], "apicast": {"stagingSpec": {"httpsCertificateSecretRef": {"name": ""}}}}}`, nil},
		"Fixed": {"the 13 are backed up anyway", `{"spec": {"imagePullSecrets": [{"name": "zync"}, {"name": "system-smtp"}]}}`, nil},
		"Odd": {"wrong types must not stop a run, and indexes stay true",
			`{"spec": {"imagePullSecrets": ["x", {"name": 5}, {"name": "b"}], "apicast": [], "system": {"fileStorage": "x"}}}`,
			[]threescale.SecretRef{{Name: "b", Field: "spec.imagePullSecrets[2]"}}},
		"RequiredWins": {"a Secret that one field needs and another does not is needed",
			`{"spec": {"imagePullSecrets": [{"name": "x"}], "apicast": {"stagingSpec": {"httpsCertificateSecretRef": {"name": "x"}}}}}`,
			[]threescale.SecretRef{{Name: "x", Field: "spec.apicast.stagingSpec.httpsCertificateSecretRef", Required: true}}},
		"DefaultPullSecret": {"the operator of 2.15 used a pull secret of a fixed name", `{` + version("2.15.0") + `}`,
			[]threescale.SecretRef{{Name: "threescale-registry-auth", Field: "spec.imagePullSecrets"}}},
		"NoDefaultPullSecret":  {"the operator of 2.16 uses none", `{` + version("2.16.0") + `}`, nil},
		"OwnPullSecret":        {"the default is replaced by what is set", `{` + version("2.15.0") + `, "spec": {"imagePullSecrets": [{"name": "own"}]}}`, []threescale.SecretRef{{Name: "own", Field: "spec.imagePullSecrets[0]"}}},
		"NamesNoSecretCanHave": {"they are reported elsewhere, never asked for", `{"spec": {"imagePullSecrets": [{"name": "../other/secrets/x"}, {"name": "UPPER"}]}}`, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.ElementsMatch(t, tc.want, threescale.ReferencedSecrets(decode(t, []byte(tc.apiManager))), tc.reason)
		})
	}
	assert.Empty(t, threescale.ReferencedSecrets(nil))
}

func TestInvalidReferences(t *testing.T) {
	messages := threescale.InvalidReferences(decode(t, []byte(`{"spec": {
		"imagePullSecrets": [{"name": "good"}, {"name": "../x"}],
		"apicast": {"stagingSpec": {"customPolicies": [{"secretRef": {"name": "Bad"}}]}}}}`)))
	assert.Equal(t, []string{
		`spec.apicast.stagingSpec.customPolicies[0].secretRef names "Bad", which no Secret can be called: correct the APIManager`,
		`spec.imagePullSecrets[1] names "../x", which no Secret can be called: correct the APIManager`,
	}, messages)
}
