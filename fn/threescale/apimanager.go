package threescale

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
)

const (
	// APIManagerGroup is the API group of the custom resource that installs 3scale.
	APIManagerGroup = "apps.3scale.net"
	// APIManagerVersion is the only version of that group that was ever served.
	APIManagerVersion = "v1alpha1"
	// APIManagerAPIVersion is the apiVersion of an APIManager manifest.
	APIManagerAPIVersion = APIManagerGroup + "/" + APIManagerVersion
	// APIManagerKind is the kind of the custom resource that installs 3scale.
	APIManagerKind = "APIManager"
	// FileStoragePVCName is the name of the PersistentVolumeClaim that holds
	// the System FileStorage. The operator gives no other name, also when the
	// APIManager sets a volumeName (component/system.go:112, 1193-1221).
	FileStoragePVCName = "system-storage"

	// ApicastEnvironment is the ConfigMap whose three keys the operator writes from the
	// APIManager at each reconcile.
	ApicastEnvironment = "apicast-environment"
)

const (
	// AnnotationVersion holds the 3scale version that the operator installed
	// (apimanager_types.go:38).
	AnnotationVersion = "apps.3scale.net/apimanager-threescale-version"
	// AnnotationOperatorVersion holds the version of the operator itself.
	AnnotationOperatorVersion = "apps.3scale.net/threescale-operator-version"
	// AnnotationRequirementsConfirmed holds the resourceVersion of the ConfigMap
	// whose requirements the operator found met; it means nothing on another cluster.
	AnnotationRequirementsConfirmed = "apps.3scale.net/apimanager-confirmed-requirements-version"
	// LabelWatchedBy marks a Secret whose changes the operator rolls out
	// (main.go:164). Without it a custom policy is never reloaded again.
	LabelWatchedBy = "apimanager.apps.3scale.net/watched-by"
	// LabelSecretUIDPrefix starts the labels by which the operator notes, on the
	// APIManager, the UIDs of the Secrets it watches (operator/apimanager_utils.go:12).
	LabelSecretUIDPrefix = "secret.apimanager.apps.3scale.net/"
)

// APIManagerGVK returns the group, version and kind of an APIManager.
func APIManagerGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: APIManagerGroup, Version: APIManagerVersion, Kind: APIManagerKind}
}

// Version returns the 3scale version of an installation, such as "2.16.0", as
// the operator noted it on the APIManager. It is empty when the operator has
// not seen the APIManager yet.
func Version(apiManager *unstructured.Unstructured) string {
	return text(apiManager, "metadata", "annotations", AnnotationVersion)
}

// WildcardDomain returns the domain below which all routes of the installation
// lie, empty when the APIManager names none.
func WildcardDomain(apiManager *unstructured.Unstructured) string {
	return text(apiManager, "spec", "wildcardDomain")
}

// lookup returns the value below a path of field names, and whether it is there.
// A path that leads through something other than an object leads nowhere.
func lookup(object *unstructured.Unstructured, path ...string) (any, bool) {
	if object == nil {
		return nil, false
	}
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	return value, found && err == nil && value != nil
}

// text returns the string below a path, empty when there is none.
func text(object *unstructured.Unstructured, path ...string) string {
	value, _ := lookup(object, path...)
	s, _ := value.(string)
	return s
}

// flag returns the boolean below a path, and whether there is one.
func flag(object *unstructured.Unstructured, path ...string) (value, found bool) {
	v, _ := lookup(object, path...)
	value, found = v.(bool)
	return value, found
}

// FileStoragePodSelector returns the labels by which the pods that mount the
// file storage are found, system-app and system-sidekiq (component/system.go:547
// and 940; the hook Jobs of system-app mount it too, but end). A Job that needs
// the same node, because the volume is ReadWriteOnce, takes it as the selector
// of a required pod affinity over kubernetes.io/hostname.
//
// The label that the operator puts last, so that no user label replaces it, is
// `deployment` since 3scale 2.15 (operator/system_options_provider.go:601, 623)
// and was `deploymentConfig` up to 2.14 (v0.11.0: 549, 571). The version is the
// one that Version returns; an unknown one counts as a new one.
func FileStoragePodSelector(threescaleVersion string) *metav1.LabelSelector {
	key := "deployment"
	if precedes(threescaleVersion, 2, 15) {
		key = "deploymentConfig"
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key:      key,
		Operator: metav1.LabelSelectorOpIn,
		Values:   []string{"system-app", "system-sidekiq"},
	}}}
}

// precedes reports whether a 3scale version is lower than major.minor. A
// version that cannot be read is not lower than any.
func precedes(threescaleVersion string, major, minor uint) bool {
	v, err := version.ParseGeneric(threescaleVersion)
	return err == nil && v.LessThan(version.MajorMinor(major, minor))
}

// Sidekiq is the name of the Deployment (of the DeploymentConfig, up to 3scale
// 2.14) that runs System's background jobs, and of its main container
// (component/system.go: SystemSidekiqName).
const Sidekiq = "system-sidekiq"

// defaultTenant is the tenantName of an APIManager that names none
// (apimanager_types.go: defaultTenantName).
const defaultTenant = "3scale"

// RouteHosts returns the hosts whose Routes have to be admitted before the
// operator calls an installation available: that of Backend, which the operator
// makes, and, unless zync is off, the five that Zync makes
// (controllers/apps/apimanager_status_reconciler.go: apimanagerExpectedRouteHosts;
// v0.11.0: defaultRoutesReady).
func RouteHosts(apiManager *unstructured.Unstructured) []string {
	tenant := text(apiManager, "spec", "tenantName")
	if tenant == "" {
		tenant = defaultTenant
	}
	names := []string{"backend-" + tenant}
	if ZyncIsEnabled(apiManager) {
		names = append(names, "api-"+tenant+"-apicast-production", "api-"+tenant+"-apicast-staging", "master", tenant, tenant+"-admin")
	}
	hosts := make([]string, len(names))
	for i, name := range names {
		hosts[i] = name + "." + WildcardDomain(apiManager)
	}
	return hosts
}
