package dataset

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
)

// Options says which installation to make. The zero value is one named
// "example" in the namespace "3scale", of version 2.16, with all databases
// external and its files in a volume, as a live cluster would return it.
type Options struct {
	// Seed decides all values and UIDs.
	Seed int64
	// Namespace is "3scale" by default.
	Namespace string
	// Name of the APIManager is "example" by default.
	Name string
	// WildcardDomain is "apps.example.com" by default.
	WildcardDomain string
	// InternalDatabases run inside the installation; a backup refuses them.
	InternalDatabases []threescale.Database
	// S3 puts the files into a bucket.
	S3 bool
	// MissingSecrets and MissingConfigMaps are left out by name.
	MissingSecrets, MissingConfigMaps []string
	// SecondAPIManager adds another APIManager to the namespace.
	SecondAPIManager bool
	// OpenShift gives the namespace the annotations of a project.
	OpenShift bool
	// StorageClass of the file storage is "files" by default, and absent without
	// server metadata, so that a cluster uses its own default.
	StorageClass string
	// AccessMode of the file storage is ReadWriteMany by default.
	AccessMode string
	// These are in the Secrets of the databases, with logins; by default they lead nowhere.
	SystemDatabaseURL, SystemRedisURL, BackendStorageURL, ZyncDatabaseURL string
	// WithoutServerMetadata leaves out what an API server or the operator adds
	// (UIDs, owners, managed fields, status, the operator's annotations), so that
	// the objects can be applied to a cluster.
	WithoutServerMetadata bool
}

// Installation returns all objects of a 3scale installation: the
// namespace, the APIManager, the 13 Secrets and 3 ConfigMaps with the operator's
// own keys, the Secrets that the APIManager refers to, a Secret and a ConfigMap
// that belong to somebody else, and the PVC of the file storage. The
// caller may change them.
func Installation(o Options) []*unstructured.Unstructured {
	o.Namespace = cmp.Or(o.Namespace, "3scale")
	o.Name = cmp.Or(o.Name, "example")
	o.WildcardDomain = cmp.Or(o.WildcardDomain, "apps.example.com")
	o.AccessMode = cmp.Or(o.AccessMode, "ReadWriteMany")
	b := builder{o}
	objects := []map[string]any{b.namespace()}
	for _, name := range b.apiManagerNames() {
		objects = append(objects, b.apiManager(name))
	}
	objects = append(objects, b.secrets()...)
	objects = append(objects, b.referencedSecrets()...)
	objects = append(objects, b.configMaps()...)
	if !o.S3 {
		objects = append(objects, b.fileStorage())
	}
	objects = slices.DeleteFunc(objects, b.isMissing)
	out := make([]*unstructured.Unstructured, len(objects))
	for i, object := range objects {
		if o.WithoutServerMetadata {
			withoutServerFields(object)
		} else {
			b.addServerFields(object)
		}
		out[i] = &unstructured.Unstructured{Object: object}
	}
	return out
}

// somebodyElses is the name of a Secret and a ConfigMap in the namespace that no
// backup of 3scale may hold.
const somebodyElses = "somebody-elses"

// builder makes objects for one set of options.
type builder struct{ Options }

func (b builder) apiManagerNames() []string {
	if b.SecondAPIManager {
		return []string{b.Name, b.Name + "-second"}
	}
	return []string{b.Name}
}

func (b builder) isMissing(object map[string]any) bool {
	name, _ := metadataOf(object)["name"].(string)
	switch object["kind"] {
	case threescale.KindSecret:
		return slices.Contains(b.MissingSecrets, name)
	case threescale.KindConfigMap:
		return slices.Contains(b.MissingConfigMaps, name)
	}
	return false
}

// isExternal reports whether the options leave a database outside.
func (b builder) isExternal(database threescale.Database) bool {
	return !slices.Contains(b.InternalDatabases, database)
}

// object starts an object of the installation's namespace.
func (b builder) object(apiVersion, kind, name string, labels map[string]any) map[string]any {
	metadata := map[string]any{"name": name, "namespace": b.Namespace}
	if len(labels) > 0 {
		metadata["labels"] = labels
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
}

// component returns the labels that the operator gives to the objects of a
// component (operator/system_options_provider.go:577-587).
func component(name, element string) map[string]any {
	labels := map[string]any{"app": "3scale-api-management", "threescale_component": name}
	if element != "" {
		labels["threescale_component_element"] = element
	}
	return labels
}

func (b builder) namespace() map[string]any {
	metadata := map[string]any{
		"name":   b.Namespace,
		"labels": map[string]any{"kubernetes.io/metadata.name": b.Namespace},
	}
	if b.OpenShift {
		metadata["annotations"] = map[string]any{
			"openshift.io/sa.scc.mcs":                 "s0:c26,c5",
			"openshift.io/sa.scc.supplemental-groups": "1000660000/10000",
			"openshift.io/sa.scc.uid-range":           "1000660000/10000",
		}
	}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Namespace",
		"metadata":   metadata,
		"spec":       map[string]any{"finalizers": []any{"kubernetes"}},
		"status":     map[string]any{"phase": "Active"},
	}
}

// fileStorage returns the PVC that the operator makes (component/system.go:1193-1221).
func (b builder) fileStorage() map[string]any {
	pvc := b.object("v1", "PersistentVolumeClaim", threescale.FileStoragePVCName, component("system", "app"))
	spec := map[string]any{
		"accessModes": []any{b.AccessMode},
		"resources":   map[string]any{"requests": map[string]any{"storage": "100Mi"}},
		"volumeMode":  "Filesystem",
	}
	pvc["spec"] = spec
	if class := b.storageClass(); class != "" {
		spec["storageClassName"] = class
	}
	if b.WithoutServerMetadata {
		return pvc
	}
	metadata := metadataOf(pvc)
	metadata["annotations"] = map[string]any{"pv.kubernetes.io/bind-completed": "yes"}
	metadata["finalizers"] = []any{"kubernetes.io/pvc-protection"}
	spec["volumeName"] = "pvc-" + b.uid("PersistentVolumeClaim", threescale.FileStoragePVCName)
	pvc["status"] = map[string]any{
		"phase":       "Bound",
		"accessModes": []any{b.AccessMode},
		"capacity":    map[string]any{"storage": "100Mi"},
	}
	return pvc
}

func (b builder) storageClass() string {
	if b.WithoutServerMetadata {
		return b.StorageClass
	}
	return cmp.Or(b.StorageClass, "files")
}

// configMaps returns the three ConfigMaps with the operator's keys and defaults
// (component/system.go:398-427, 1347-1406, component/apicast.go:451-469), two of
// them as a user has changed them, and one that is not part of 3scale.
func (b builder) configMaps() []map[string]any {
	system := b.object("v1", threescale.KindConfigMap, "system-environment", component("system", ""))
	data := map[string]any{
		"APICAST_REGISTRY_URL":   "http://apicast-staging:8090/policies",
		"FORCE_SSL":              "true",
		"PROVIDER_PLAN":          "enterprise",
		"RAILS_ENV":              "production",
		"RAILS_LOG_LEVEL":        "warn",
		"RAILS_LOG_TO_STDOUT":    "true",
		"SSL_CERT_DIR":           "/etc/pki/tls/certs",
		"THINKING_SPHINX_PORT":   "9306",
		"THREESCALE_SUPERDOMAIN": b.WildcardDomain,
		"THREESCALE_SANDBOX_PROXY_OPENSSL_VERIFY_MODE": "VERIFY_NONE",
	}
	if b.S3 {
		data["FILE_UPLOAD_STORAGE"] = "s3"
	}
	system["data"] = data

	apicast := b.object("v1", threescale.KindConfigMap, "apicast-environment", component("apicast", ""))
	apicast["data"] = map[string]any{
		"APICAST_MANAGEMENT_API": "status",
		"APICAST_RESPONSE_CODES": "true",
		"OPENSSL_VERIFY":         "false",
	}

	other := b.object("v1", threescale.KindConfigMap, somebodyElses, nil)
	other["data"] = map[string]any{"setting": "not part of 3scale"}
	return []map[string]any{apicast, system, b.systemConfig(), other}
}

// systemConfig returns the ConfigMap with System's configuration files, whose
// user has set up service discovery by OAuth: a client_secret in a ConfigMap.
func (b builder) systemConfig() map[string]any {
	config := b.object("v1", threescale.KindConfigMap, threescale.SystemConfig, component("system", ""))
	config["data"] = map[string]any{
		"rolling_updates.yml": "production: {}\n",
		"service_discovery.yml": fmt.Sprintf(`production:
  enabled: <%%= cluster_token_file_exists = File.exists?(cluster_token_file_path = '/var/run/secrets/kubernetes.io/serviceaccount/token') %%>
  server_scheme: 'https'
  server_host: 'kubernetes.default.svc.cluster.local'
  server_port: 443
  bearer_token: "<%%= File.read(cluster_token_file_path) if cluster_token_file_exists %%>"
  authentication_method: oauth # can be service_account|oauth
  oauth_server_type: rh_sso # can be builtin|rh_sso
  client_id: 3scale
  client_secret: %s
  timeout: 1
  open_timeout: 1
  max_retry: 5
  verify_ssl: <%%= OpenSSL::SSL::VERIFY_NONE %%> # 0
`, b.secretValue("service-discovery")),
		"zync.yml": `production:
  endpoint: 'http://zync:8080'
  authentication:
    token: "<%= ENV.fetch('ZYNC_AUTHENTICATION_TOKEN') %>"
  connect_timeout: 5
  send_timeout: 5
  receive_timeout: 10
  root_url:
`,
	}
	return config
}
