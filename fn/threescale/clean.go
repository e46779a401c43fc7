package threescale

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// LabelInstance is the label by which Argo CD tracks objects when it is not
// told to track them by annotation. It is also a recommended label of
// Kubernetes that charts and users set for themselves: of an object that has it,
// the managed fields are read.
const LabelInstance = "app.kubernetes.io/instance"

// CleanForBackup returns what of a live object can be created again elsewhere, and shares
// it with the object. It leaves out the status, the metadata that the API server sets,
// finalizers, kubectl's last-applied copy (which may hold the values of a Secret), and the
// marks by which Flux, Argo CD and Crossplane recognize their objects. With such a mark,
// whoever owned the original would prune the restored object.
//
// All else is kept, such as LabelWatchedBy, the operator's annotations (which hold the
// version) and fields that are unknown here. The operator's backup removes less
// (pkg/backup/apimanager_backup.go:343-359).
func CleanForBackup(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	if object == nil {
		return out
	}
	maps.Copy(out.Object, object.Object)
	delete(out.Object, "status")
	metadata, isObject := object.Object["metadata"].(map[string]any)
	if !isObject {
		return out
	}
	metadata = maps.Clone(metadata)
	for _, field := range serverFields() {
		delete(metadata, field)
	}
	dropInstance := tracksByInstance(object)
	for _, field := range []string{"labels", "annotations"} {
		dropKeys(metadata, field, func(key string) bool {
			return isOwnershipMark(key) || dropInstance && key == LabelInstance
		})
	}
	out.Object["metadata"] = metadata
	return out
}

// CleanForRestore returns what of an object of a backup Flux can own, and shares it
// with the object. It leaves out what CleanForBackup leaves out (a volume may have been
// written by the operator, which removes less) and also the operator's stamps (see
// IsOperatorStamp), the marks of Helm and of all of Flux, and the annotations by
// which kustomize is told to drop, rename or generate an object.
func CleanForRestore(object *unstructured.Unstructured) *unstructured.Unstructured {
	cleaned := CleanForBackup(object)
	metadata, isObject := cleaned.Object["metadata"].(map[string]any)
	if !isObject {
		return cleaned
	}
	dropManagedBy := text(cleaned, "metadata", "labels", managedByLabel) == "Helm"
	for _, field := range []string{"labels", "annotations"} {
		dropKeys(metadata, field, func(key string) bool {
			return IsOperatorStamp(key) || isDeploymentMark(key) || dropManagedBy && key == managedByLabel
		})
	}
	return cleaned
}

// managedByLabel is the label by which Helm knows its own objects; other tools set
// it too.
const managedByLabel = "app.kubernetes.io/managed-by"

// isDeploymentMark reports whether a label or annotation is for, or of, a tool that
// builds or applies manifests.
func isDeploymentMark(key string) bool {
	group, _, grouped := strings.Cut(key, "/")
	domains := []string{"config.k8s.io", "config.kubernetes.io", "fluxcd.io", "helm.sh"}
	return grouped && slices.ContainsFunc(domains, func(domain string) bool {
		return group == domain || strings.HasSuffix(group, "."+domain)
	})
}

// IsOperatorStamp reports whether a label or annotation of an APIManager is one
// that the operator writes there for itself: its versions, the resourceVersion
// of the requirements it found met, the UIDs of the Secrets it watches. A
// backup keeps them. A restore must drop them: they do not hold on another
// cluster, and whoever keeps applying them works against the operator.
func IsOperatorStamp(key string) bool {
	group, name, _ := strings.Cut(key, "/")
	return group == APIManagerGroup && strings.Contains(name, "version") || strings.HasPrefix(key, LabelSecretUIDPrefix)
}

// serverFields returns the fields of metadata that are not the user's to write,
// or that tie an object to its namespace, owners and life.
func serverFields() []string {
	return []string{
		"clusterName", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
		"generation", "managedFields", "namespace", "ownerReferences", "resourceVersion", "selfLink", "uid",
	}
}

// isOwnershipMark reports whether a label or annotation says which tool applied the
// object. The groups are dropped as a whole: everything else in them (sync waves, prune
// and apply policies) tells that tool what to do with the original.
func isOwnershipMark(key string) bool {
	group, _, _ := strings.Cut(key, "/")
	groups := []string{"argocd.argoproj.io", "crossplane.io", "helm.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"}
	return key == "kubectl.kubernetes.io/last-applied-configuration" || slices.Contains(groups, group)
}

// tracksByInstance reports whether app.kubernetes.io/instance is Argo CD's. It
// is when Argo CD left another mark on the object, or when the managed fields
// name Argo CD as the one who wrote that label. Otherwise the label belongs to
// the user or to a chart and stays: selectors may depend on it.
func tracksByInstance(object *unstructured.Unstructured) bool {
	for _, field := range []string{"labels", "annotations"} {
		value, _ := lookup(object, "metadata", field)
		values, _ := value.(map[string]any)
		for key := range values {
			if strings.HasPrefix(key, "argocd.argoproj.io/") {
				return true
			}
		}
	}
	for _, entry := range items(object, "metadata", "managedFields") {
		owns, _, _ := unstructured.NestedFieldNoCopy(entry, "fieldsV1", "f:metadata", "f:labels", "f:"+LabelInstance)
		manager, _ := entry["manager"].(string)
		if owns != nil && strings.HasPrefix(manager, "argocd") {
			return true
		}
	}
	return false
}

// dropKeys removes keys from a copy of the map in a field of metadata, and the field
// when nothing is left in it.
func dropKeys(metadata map[string]any, field string, drop func(key string) bool) {
	values, isObject := metadata[field].(map[string]any)
	if !isObject {
		return
	}
	values = maps.Clone(values)
	maps.DeleteFunc(values, func(key string, _ any) bool { return drop(key) })
	if metadata[field] = values; len(values) == 0 {
		delete(metadata, field)
	}
}

// deepCopy copies an object; the copy of nil or of an empty object can be written to.
func deepCopy(object *unstructured.Unstructured) *unstructured.Unstructured {
	if object == nil || object.Object == nil {
		return &unstructured.Unstructured{Object: map[string]any{}}
	}
	return object.DeepCopy()
}

// SecretMeta returns a Secret as CleanForBackup does, but without its values:
// fit to be kept where no value may be. It keeps the type and immutable.
func SecretMeta(secret *unstructured.Unstructured) *unstructured.Unstructured {
	meta := CleanForBackup(secret)
	delete(meta.Object, "data")
	delete(meta.Object, "stringData")
	return meta
}

// SecretManifest returns the Secret that has the metadata of meta and the
// values of data, which it writes as base64. It is the inverse of SecretMeta:
// what meta holds besides values is kept, values in it are dropped, and a meta
// without apiVersion and kind is one of a v1 Secret. A Secret without values
// has no field data, as the API server writes it.
func SecretManifest(meta *unstructured.Unstructured, data map[string][]byte) *unstructured.Unstructured {
	secret := deepCopy(meta)
	delete(secret.Object, "stringData")
	delete(secret.Object, "data")
	for field, value := range map[string]string{"apiVersion": "v1", "kind": KindSecret} {
		if _, set := secret.Object[field]; !set {
			secret.Object[field] = value
		}
	}
	if len(data) == 0 {
		return secret
	}
	encoded := make(map[string]any, len(data))
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(value)
	}
	secret.Object["data"] = encoded
	return secret
}
