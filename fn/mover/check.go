package mover

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
)

// checkedFile is the file of an object that may be restored.
type checkedFile struct {
	job.HandoverEntry
	data []byte
}

// checkObjects lets only those objects pass that a backup of 3scale holds: the APIManager, Secrets and ConfigMaps, each
// of the name that its file has. It also returns the APIManager.
func checkObjects(objects []archive.ObjectFile, m *archive.Manifest) ([]checkedFile, *unstructured.Unstructured, error) {
	if len(objects) > job.MaxObjects {
		return nil, nil, &failure{v1alpha1.ReasonUnexpectedObject, fmt.Errorf("run holds %d objects, more than the %d that a backup of 3scale can hold", len(objects), job.MaxObjects)}
	}
	var apiManager *unstructured.Unstructured
	checked := make([]checkedFile, 0, len(objects))
	for _, o := range objects {
		kind, decoded, err := checkObject(o)
		if err != nil {
			return nil, nil, &failure{v1alpha1.ReasonUnexpectedObject, fmt.Errorf("run holds an object %q that no backup of 3scale holds: %w", o.Path, err)}
		}
		name := decoded.GetName()
		if kind == threescale.APIManagerKind {
			if apiManager != nil || m != nil && m.Source.APIManager != "" && m.Source.APIManager != name {
				return nil, nil, &failure{v1alpha1.ReasonUnexpectedObject, fmt.Errorf("run holds another APIManager than that of its manifest: %q", o.Path)}
			}
			apiManager = decoded
		}
		checked = append(checked, checkedFile{job.HandoverEntry{Kind: kind, Name: name}, o.Data})
	}
	if apiManager == nil {
		return nil, nil, &failure{v1alpha1.ReasonUnexpectedObject, fmt.Errorf("run holds no APIManager")}
	}
	return checked, apiManager, nil
}

// checkObject returns the kind of an object and the decoded object. Errors hold none of its values.
func checkObject(o archive.ObjectFile) (kind string, decoded *unstructured.Unstructured, err error) {
	decoded = &unstructured.Unstructured{}
	if err := json.Unmarshal(o.Data, &decoded.Object); err != nil {
		return "", nil, fmt.Errorf("it is not a JSON object")
	}
	apiVersion := "v1"
	switch path.Dir(o.Path) {
	case job.SecretsDir:
		kind = threescale.KindSecret
	case job.ConfigMapsDir:
		kind = threescale.KindConfigMap
	default:
		kind, apiVersion = threescale.APIManagerKind, threescale.APIManagerAPIVersion
	}
	if decoded.GetKind() != kind || decoded.GetAPIVersion() != apiVersion {
		return "", nil, fmt.Errorf("it is not a %s of %s", kind, apiVersion)
	}
	name := decoded.GetName()
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "", nil, fmt.Errorf("its metadata.name is not the name of an object")
	}
	if want, ok := strings.CutSuffix(path.Base(o.Path), ".json"); !ok || kind != threescale.APIManagerKind && want != name {
		return "", nil, fmt.Errorf("its metadata.name is not that of its file")
	}
	if namespace, ok, _ := unstructured.NestedFieldNoCopy(decoded.Object, "metadata", "namespace"); ok && namespace != "" {
		return "", nil, fmt.Errorf("it names a namespace")
	}
	return kind, decoded, nil
}
