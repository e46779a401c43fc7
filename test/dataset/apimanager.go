package dataset

import (
	"fmt"

	"threescale.dev/backup/fn/threescale"
)

// apiManager returns the custom resource as a production installation of 3scale
// 2.16 has it, defaults filled in by the operator (apimanager_types.go:881-1200).
func (b builder) apiManager(name string) map[string]any {
	object := b.object(threescale.APIManagerAPIVersion, threescale.APIManagerKind, name, nil)
	object["spec"] = b.apiManagerSpec()
	if b.WithoutServerMetadata {
		return object
	}
	metadata := metadataOf(object)
	metadata["generation"] = int64(7)
	metadata["labels"] = map[string]any{
		"kustomize.toolkit.fluxcd.io/name":                                     "apps",
		"kustomize.toolkit.fluxcd.io/namespace":                                "flux-system",
		threescale.LabelSecretUIDPrefix + b.uid("Secret", customPolicySecret):  "true",
		threescale.LabelSecretUIDPrefix + b.uid("Secret", certificateSecret):   "true",
		threescale.LabelSecretUIDPrefix + b.uid("Secret", customEnvSecret):     "true",
		threescale.LabelSecretUIDPrefix + b.uid("Secret", openTelemetrySecret): "true",
	}
	metadata["annotations"] = map[string]any{
		threescale.AnnotationVersion:               "2.16.0",
		threescale.AnnotationOperatorVersion:       "0.13.0",
		threescale.AnnotationRequirementsConfirmed: b.resourceVersion("ConfigMap", "threescale-operator-requirements"),
	}
	object["status"] = b.apiManagerStatus()
	return object
}

func (b builder) apiManagerSpec() map[string]any {
	return map[string]any{
		"appLabel":                    "3scale-api-management",
		"imagePullSecrets":            []any{named(pullSecret)},
		"resourceRequirementsEnabled": true,
		"tenantName":                  "3scale",
		"wildcardDomain":              b.WildcardDomain,
		"apicast":                     apicastSpec(),
		"backend": map[string]any{
			"cronSpec":     map[string]any{"replicas": int64(1)},
			"listenerSpec": map[string]any{"replicas": int64(2)},
			"workerSpec":   map[string]any{"replicas": int64(2)},
		},
		"externalComponents": map[string]any{
			"backend": map[string]any{"redis": b.isExternal(threescale.BackendRedis)},
			"system": map[string]any{
				"database": b.isExternal(threescale.SystemDatabase),
				"redis":    b.isExternal(threescale.SystemRedis),
			},
			"zync": map[string]any{"database": b.isExternal(threescale.ZyncDatabase)},
		},
		"monitoring":          map[string]any{"enabled": true},
		"podDisruptionBudget": map[string]any{"enabled": true},
		"system": map[string]any{
			"appSpec":     map[string]any{"replicas": int64(2)},
			"fileStorage": b.fileStorageSpec(),
			"searchdSpec": map[string]any{},
			"sidekiqSpec": map[string]any{"replicas": int64(1)},
		},
		"zync": map[string]any{"appSpec": map[string]any{}, "enabled": true, "queSpec": map[string]any{}},
	}
}

func apicastSpec() map[string]any {
	policy := map[string]any{"name": "example-header", "version": "0.1", "secretRef": named(customPolicySecret)}
	environment := map[string]any{"secretRef": named(customEnvSecret)}
	return map[string]any{
		"managementAPI": "status",
		"openSSLVerify": false,
		"registryURL":   "http://apicast-staging:8090/policies",
		"responseCodes": true,
		"productionSpec": map[string]any{
			"customEnvironments":        []any{environment},
			"customPolicies":            []any{policy},
			"httpsCertificateSecretRef": named(certificateSecret),
			"httpsPort":                 int64(8443),
			"logLevel":                  "warn",
			"openTelemetry": map[string]any{
				"enabled":                true,
				"tracingConfigSecretKey": "config.json",
				"tracingConfigSecretRef": named(openTelemetrySecret),
			},
			"replicas": int64(3),
		},
		"stagingSpec": map[string]any{
			"customPolicies": []any{policy},
			"logLevel":       "info",
			"replicas":       int64(1),
		},
	}
}

func (b builder) fileStorageSpec() map[string]any {
	if b.S3 {
		return map[string]any{"simpleStorageService": map[string]any{"configurationSecretRef": named(s3Secret)}}
	}
	pvc := map[string]any{"resources": map[string]any{"requests": "100Mi"}}
	if class := b.storageClass(); class != "" {
		pvc["storageClassName"] = class
	}
	return map[string]any{"persistentVolumeClaim": pvc}
}

// apiManagerStatus is that of an installation in which all runs
// (controllers/apps/apimanager_status_reconciler.go).
func (b builder) apiManagerStatus() map[string]any {
	var conditions []any
	for _, name := range []string{"Available", "DeploymentsAvailable", "Preflights", "RoutesReady", "SecretsAvailable"} {
		condition := map[string]any{"type": name, "status": "True", "lastTransitionTime": created}
		if name == "Preflights" {
			condition["reason"] = "PreflightsPass"
			condition["message"] = "All requirements for the current version are met"
		}
		conditions = append(conditions, condition)
	}
	ready := []any{
		"apicast-production", "apicast-staging", "backend-cron", "backend-listener", "backend-worker", "system-app",
		"system-memcache", "system-searchd", "system-sidekiq", "zync",
	}
	if !b.isExternal(threescale.ZyncDatabase) {
		ready = append(ready, "zync-database")
	}
	return map[string]any{
		"conditions":  conditions,
		"deployments": map[string]any{"ready": append(ready, "zync-que")},
	}
}

// named is a reference to an object of the same namespace.
func named(name string) map[string]any { return map[string]any{"name": name} }

// host returns a name below the installation's own domain.
func (b builder) host(name string) string { return fmt.Sprintf("%s.%s", name, b.WildcardDomain) }
