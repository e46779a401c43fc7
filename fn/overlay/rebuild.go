package overlay

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	jsonutil "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"threescale.dev/backup/fn/threescale"
)

const (
	annotationPrune      = "kustomize.toolkit.fluxcd.io/prune"
	annotationSubstitute = "kustomize.toolkit.fluxcd.io/substitute"
	annotationApply      = "kustomize.toolkit.fluxcd.io/ssa"
)

// rebuild returns a manifest that has, of an admitted object, only what it may
// have: no field is copied because it is there.
//
// A Secret or ConfigMap that is immutable stays so: it is what its owner
// declared, and what is restored must equal what was backed up. An object that
// is there already and differs is refused by the API server either way.
func rebuild(object *unstructured.Unstructured, key Key) (*unstructured.Unstructured, error) {
	metadata, err := rebuildMetadata(object, key)
	if err != nil {
		return nil, err
	}
	manifest := map[string]any{"apiVersion": versionOf(key.Kind), "kind": key.Kind, "metadata": metadata}
	switch key.Kind {
	case threescale.APIManagerKind:
		err = addSpec(manifest, object.Object)
	case threescale.KindSecret:
		err = addSecretData(manifest, object.Object)
	case threescale.KindConfigMap:
		err = addConfigMapData(manifest, object.Object)
	}
	if err != nil {
		return nil, &UnexpectedObjectError{key.Kind, key.Name, err.Error()}
	}
	if immutable, _ := object.Object["immutable"].(bool); immutable && key.Kind != threescale.APIManagerKind {
		manifest["immutable"] = true
	}
	if field, found := findText(manifest, nil, isUnsupported); found {
		return nil, &UnsupportedTextError{key, field}
	}
	return &unstructured.Unstructured{Object: manifest}, nil
}

// rebuildMetadata returns the name, the labels and annotations that a restored
// object may carry, and the orders to Flux: never to delete the object, and
// never to replace ${...} in it.
func rebuildMetadata(object *unstructured.Unstructured, key Key) (map[string]any, error) {
	cleaned, _ := threescale.CleanForRestore(object).Object["metadata"].(map[string]any)
	labels, okLabels := texts(cleaned["labels"])
	annotations, okAnnotations := texts(cleaned["annotations"])
	if !okLabels || !okAnnotations {
		return nil, &UnexpectedObjectError{key.Kind, key.Name, "has labels or annotations that are not texts"}
	}
	maps.Copy(annotations, fluxAnnotations(key))
	// What these say is not shown: it holds the offending value.
	invalid := slices.Concat(
		metav1validation.ValidateLabels(labels, field.NewPath("metadata", "labels")),
		apivalidation.ValidateAnnotations(annotations, field.NewPath("metadata", "annotations")),
	)
	if len(invalid) > 0 {
		return nil, &UnexpectedObjectError{key.Kind, key.Name, "has labels or annotations that the API server refuses"}
	}
	metadata := map[string]any{"name": key.Name, "annotations": values(annotations)}
	if len(labels) > 0 {
		metadata["labels"] = values(labels)
	}
	return metadata, nil
}

// fluxAnnotations returns the orders to Flux for an object. The operator
// rewrites keys of apicast-environment at each reconcile, so Flux creates that
// one and then leaves it alone.
func fluxAnnotations(key Key) map[string]string {
	annotations := map[string]string{annotationPrune: "disabled", annotationSubstitute: "disabled"}
	if key == (Key{threescale.KindConfigMap, "apicast-environment"}) {
		annotations[annotationApply] = "IfNotPresent"
	}
	return annotations
}

// addSpec copies the APIManager's spec. Numbers become int64 or float64, the
// types that decoding the tree gives.
func addSpec(manifest, object map[string]any) error {
	spec, isObject := object["spec"].(map[string]any)
	if !isObject {
		return fmt.Errorf("has no spec")
	}
	encoded, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("has a spec that is not JSON")
	}
	var copied map[string]any
	if err := jsonutil.Unmarshal(encoded, &copied); err != nil {
		return fmt.Errorf("has a spec that is not JSON")
	}
	manifest["spec"] = copied
	return nil
}

// addSecretData copies type and values, with stringData folded into data as the
// API server does.
func addSecretData(manifest, object map[string]any) error {
	kind, isText := object["type"].(string)
	if !isText && object["type"] != nil {
		return fmt.Errorf("has a type that is not a text")
	}
	if kind == "" {
		kind = string(corev1.SecretTypeOpaque)
	}
	data, err := base64Values(object["data"])
	if err != nil {
		return err
	}
	plain, ok := texts(object["stringData"])
	if !ok {
		return fmt.Errorf("has a stringData with values that are not texts")
	}
	for key, value := range plain {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	manifest["type"] = kind
	return addValues(manifest, "data", data)
}

func addConfigMapData(manifest, object map[string]any) error {
	data, ok := texts(object["data"])
	if !ok {
		return fmt.Errorf("has data with values that are not texts")
	}
	binary, err := base64Values(object["binaryData"])
	if err != nil {
		return err
	}
	if err := addValues(manifest, "data", data); err != nil {
		return err
	}
	return addValues(manifest, "binaryData", binary)
}

// addValues adds a map of values to a manifest, unless it is empty.
func addValues(manifest map[string]any, name string, content map[string]string) error {
	for key := range content {
		if len(validation.IsConfigMapKey(key)) > 0 {
			return fmt.Errorf("has a key in %s that the API server refuses", name)
		}
	}
	if len(content) > 0 {
		manifest[name] = values(content)
	}
	return nil
}

// base64Values checks a map of base64 values and writes them in the one way
// that the API server does.
func base64Values(value any) (map[string]string, error) {
	encoded, ok := texts(value)
	if !ok {
		return nil, fmt.Errorf("has data with values that are not texts")
	}
	for key, text := range encoded {
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("has a value that is not base64")
		}
		encoded[key] = base64.StdEncoding.EncodeToString(decoded)
	}
	return encoded, nil
}

// texts returns a new map of texts, empty when there is none, and whether value
// is one.
func texts(value any) (map[string]string, bool) {
	out := map[string]string{}
	if value == nil {
		return out, true
	}
	object, isObject := value.(map[string]any)
	for key, item := range object {
		text, isText := item.(string)
		if !isText {
			return nil, false
		}
		out[key] = text
	}
	return out, isObject
}

// values turns texts into decoded JSON.
func values(texts map[string]string) map[string]any {
	out := make(map[string]any, len(texts))
	for key, text := range texts {
		out[key] = text
	}
	return out
}

// isUTF8 reports whether all texts in decoded JSON are. What is not would come
// out of an encoder as something else.
func isUTF8(value any) bool {
	_, found := findText(value, nil, func(text string) bool { return !utf8.ValidString(text) })
	return !found
}

// isUnsupported reports whether a text holds a character that YAML has only as
// an escape. Kustomize writes JSON, in which it needs none, and reads that as
// YAML, which then refuses it or, for NEL, folds it into a space.
func isUnsupported(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return 0x7f <= r && r <= 0x9f || r == 0xfffe || r == 0xffff
	})
}

// findText returns the path of the first text, in the order of keys, of which a
// condition is true, and whether there is one. Keys are texts too.
func findText(value any, at []string, is func(text string) bool) (string, bool) {
	switch v := value.(type) {
	case string:
		return strings.Join(at, "."), is(v)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if is(key) {
				return strings.Join(at, "."), true
			}
			if found, ok := findText(v[key], append(at, key), is); ok {
				return found, true
			}
		}
	case []any:
		for i, item := range v {
			if found, ok := findText(item, append(at, strconv.Itoa(i)), is); ok {
				return found, true
			}
		}
	}
	return "", false
}
