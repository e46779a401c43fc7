package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"threescale.dev/backup/fn/threescale"
)

// known is a kind that a backup reads.
type known struct {
	apiVersion string
	namespaced bool
	// admit checks the fields beside metadata, and changes them as the API server would.
	admit func(object *unstructured.Unstructured) error
}

func knownKinds() map[string]known {
	return map[string]known{
		threescale.KindSecret:     {"v1", true, admitSecret},
		threescale.KindConfigMap:  {"v1", true, admitConfigMap},
		threescale.APIManagerKind: {threescale.APIManagerAPIVersion, true, func(*unstructured.Unstructured) error { return nil }}, // its schema depends on the version of the operator
		"PersistentVolumeClaim":   {"v1", true, admitTyped[corev1.PersistentVolumeClaim]},
		"PersistentVolume":        {"v1", false, admitTyped[corev1.PersistentVolume]},
		"Namespace":               {"v1", false, admitTyped[corev1.Namespace]},
		"StorageClass":            {"storage.k8s.io/v1", false, admitTyped[storagev1.StorageClass]},
	}
}

// admit refuses what the API server would refuse, and changes the object as the API
// server would. Objects of other kinds need only a name.
func admit(object *unstructured.Unstructured) error {
	kind, apiVersion := object.GetKind(), object.GetAPIVersion()
	switch {
	case object.Object["sops"] != nil:
		return errors.New("it is encrypted by SOPS: give the output of `sops decrypt`")
	case strings.HasPrefix(apiVersion, "kustomize.config.k8s.io/") || kind == "" && (object.Object["resources"] != nil || object.Object["patches"] != nil):
		return errors.New("it is a kustomization: give the output of `kubectl kustomize`")
	case kind == "" || apiVersion == "":
		return errors.New("it has no kind or no apiVersion: remove files from the folder that are not Kubernetes objects")
	}
	k, isKnown := knownKinds()[kind]
	if isKnown && apiVersion != k.apiVersion {
		return fmt.Errorf("it is a %s of %q, but an installation has those of %q: correct it, or remove it from the folder", kind, apiVersion, k.apiVersion)
	}
	if err := admitMetadata(object, kind, isKnown, k.namespaced); err != nil {
		return err
	}
	if !isKnown {
		return nil
	}
	if err := k.admit(object); err != nil {
		return fmt.Errorf("%s %q: %w", kind, object.GetName(), err)
	}
	return nil
}

// admitMetadata checks metadata. No error quotes it: an annotation may hold a copy of a
// Secret.
func admitMetadata(object *unstructured.Unstructured, kind string, isKnown, namespaced bool) error {
	var meta metav1.ObjectMeta
	if err := decodeStrictly(object.Object["metadata"], &meta); err != nil {
		return fmt.Errorf("the metadata of a %s: %w", kind, err)
	}
	if meta.Name == "" && meta.GenerateName != "" {
		return fmt.Errorf("a %s has a generateName, and so another name each time: give it a name", kind)
	}
	if meta.Name == "" {
		return fmt.Errorf("a %s has no metadata.name", kind)
	}
	if !isKnown {
		return nil
	}
	name := apivalidation.NameIsDNSSubdomain
	if kind == "Namespace" {
		name = apivalidation.ValidateNamespaceName
	}
	if namespaced && meta.Namespace == "" {
		meta.Namespace = metav1.NamespaceDefault // which one the backup reads is not known here
	}
	if problems := apivalidation.ValidateObjectMeta(&meta, namespaced, name, field.NewPath("metadata")); len(problems) > 0 {
		return fmt.Errorf("%s %q: %s: %s", kind, meta.Name, problems[0].Field, problems[0].Detail)
	}
	return nil
}

// admitTyped checks that an object is of a type, with no other fields.
func admitTyped[T any](object *unstructured.Unstructured) error {
	return decodeStrictly(object.Object, new(T))
}

// decodeStrictly decodes into a type, and refuses fields that the type does not have. An
// error names fields and quotes no value.
func decodeStrictly(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return errors.New("it cannot be encoded")
	}
	unknown, err := kjson.UnmarshalStrict(text, to)
	if err != nil {
		return errors.New("a field has the wrong type, such as a number in place of a string")
	}
	if len(unknown) > 0 {
		return fmt.Errorf("it has a field that the API server does not know: %w", unknown[0])
	}
	return nil
}

// admitSecret merges stringData into data, and checks both.
func admitSecret(object *unstructured.Unstructured) error {
	fields := object.Object
	if err := onlyFields(fields, "data", "stringData", "type", "immutable"); err != nil {
		return err
	}
	values, err := decoded(fields, "data")
	if err != nil {
		return err
	}
	texts, err := textsOf(fields, "stringData")
	if err != nil {
		return err
	}
	for key, text := range texts {
		values[key] = []byte(text)
	}
	if err := checkKeys(values); err != nil {
		return err
	}
	kind, isText := fields["type"].(string)
	if fields["type"] != nil && !isText {
		return errors.New("its type is not a string")
	}
	if kind == "" {
		kind = string(corev1.SecretTypeOpaque)
	}
	if err := checkType(corev1.SecretType(kind), object, values); err != nil {
		return err
	}
	fields["type"] = kind
	delete(fields, "stringData")
	delete(fields, "data")
	if len(values) > 0 {
		fields["data"] = encoded(values)
	}
	return nil
}

// checkType checks that a Secret has the keys that its type needs.
func checkType(kind corev1.SecretType, object *unstructured.Unstructured, values map[string][]byte) error {
	needs := func(keys ...string) error {
		for _, key := range keys {
			if _, ok := values[key]; !ok {
				return fmt.Errorf("a Secret of type %s has no key %q", kind, key)
			}
		}
		return nil
	}
	holdsJSON := func(key string) error {
		if err := needs(key); err != nil {
			return err
		}
		var login map[string]any
		if json.Unmarshal(values[key], &login) != nil {
			return fmt.Errorf("key %q of a Secret of type %s is not JSON", key, kind)
		}
		return nil
	}
	switch kind {
	case corev1.SecretTypeDockercfg:
		return holdsJSON(corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		return holdsJSON(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeTLS:
		return needs(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	case corev1.SecretTypeSSHAuth:
		return needs(corev1.SSHAuthPrivateKey)
	case corev1.SecretTypeBasicAuth:
		if needs(corev1.BasicAuthUsernameKey) != nil && needs(corev1.BasicAuthPasswordKey) != nil {
			return fmt.Errorf("a Secret of type %s has neither key %q nor key %q", kind, corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeServiceAccountToken:
		if name, _, _ := unstructured.NestedString(object.Object, "metadata", "annotations", corev1.ServiceAccountNameKey); name == "" {
			return fmt.Errorf("a Secret of type %s has no annotation %s", kind, corev1.ServiceAccountNameKey)
		}
	}
	return nil
}

// admitConfigMap checks data and binaryData.
func admitConfigMap(object *unstructured.Unstructured) error {
	fields := object.Object
	if err := onlyFields(fields, "data", "binaryData", "immutable"); err != nil {
		return err
	}
	values, err := decoded(fields, "binaryData")
	if err != nil {
		return err
	}
	texts, err := textsOf(fields, "data")
	if err != nil {
		return err
	}
	if len(values) > 0 {
		fields["binaryData"] = encoded(values)
	}
	if len(texts) > 0 {
		plain := map[string]any{}
		for key, text := range texts {
			if _, both := values[key]; both {
				return fmt.Errorf("key %q is in data and in binaryData", key)
			}
			values[key], plain[key] = []byte(text), text
		}
		fields["data"] = plain
	}
	return checkKeys(values)
}

// onlyFields refuses fields that the API server does not know.
func onlyFields(fields map[string]any, allowed ...string) error {
	allowed = append(allowed, "apiVersion", "kind", "metadata")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("it has a field %q, which the API server does not know", name)
		}
	}
	if _, ok := fields["immutable"].(bool); !ok && fields["immutable"] != nil {
		return errors.New("immutable is neither true nor false")
	}
	return nil
}

// textsOf returns the strings of a field by key; null counts as the empty string.
func textsOf(fields map[string]any, name string) (map[string]string, error) {
	entries, ok := fields[name].(map[string]any)
	if !ok && fields[name] != nil {
		return nil, fmt.Errorf("%s is not a map of strings", name)
	}
	out := make(map[string]string, len(entries))
	for key, value := range entries {
		text, ok := value.(string)
		if !ok && value != nil {
			return nil, fmt.Errorf("%s: the value of key %q is not a string: quote it", name, key)
		}
		out[key] = text
	}
	return out, nil
}

// decoded returns the bytes of a field of base64 by key.
func decoded(fields map[string]any, name string) (map[string][]byte, error) {
	texts, err := textsOf(fields, name)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(texts))
	for key, text := range texts {
		if out[key], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("%s: the value of key %q is not base64", name, key)
		}
	}
	return out, nil
}

func encoded(values map[string][]byte) map[string]any {
	out := make(map[string]any, len(values))
	for key, value := range values {
		out[key] = base64.StdEncoding.EncodeToString(value)
	}
	return out
}

// checkKeys refuses invalid keys, and more bytes than an object can hold.
func checkKeys(values map[string][]byte) error {
	size := 0
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
			return fmt.Errorf("it has an invalid key %q", key)
		}
		size += len(values[key])
	}
	if size > corev1.MaxSecretSize {
		return fmt.Errorf("it holds %d bytes, more than the %d that the API server takes", size, corev1.MaxSecretSize)
	}
	return nil
}
