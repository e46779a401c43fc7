package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// admitSecret merges stringData into data, and checks both.
func admitSecret(object map[string]any) error {
	if err := onlyFields(object, "data", "stringData", "type", "immutable"); err != nil {
		return err
	}
	values, err := decoded(object, "data")
	if err != nil {
		return err
	}
	texts, err := textsOf(object, "stringData")
	if err != nil {
		return err
	}
	for key, text := range texts {
		values[key] = []byte(text)
	}
	if err := checkKeys(values); err != nil {
		return err
	}
	kind, isText := object["type"].(string)
	if object["type"] != nil && !isText {
		return errors.New("its type is no text")
	}
	if kind == "" {
		kind = string(corev1.SecretTypeOpaque)
	}
	if err := checkType(corev1.SecretType(kind), object, values); err != nil {
		return err
	}
	object["type"] = kind
	delete(object, "stringData")
	delete(object, "data")
	if len(values) > 0 {
		object["data"] = encoded(values)
	}
	return nil
}

// checkType checks the keys that a type of Secret has to have.
func checkType(kind corev1.SecretType, object map[string]any, values map[string][]byte) error {
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
			return fmt.Errorf("key %q of a Secret of type %s is no JSON", key, kind)
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
		metadata, _ := object["metadata"].(map[string]any)
		annotations, _ := metadata["annotations"].(map[string]any)
		if name, _ := annotations[corev1.ServiceAccountNameKey].(string); name == "" {
			return fmt.Errorf("a Secret of type %s has no annotation %s", kind, corev1.ServiceAccountNameKey)
		}
	}
	return nil
}

// admitConfigMap checks data and binaryData.
func admitConfigMap(object map[string]any) error {
	if err := onlyFields(object, "data", "binaryData", "immutable"); err != nil {
		return err
	}
	values, err := decoded(object, "binaryData")
	if err != nil {
		return err
	}
	texts, err := textsOf(object, "data")
	if err != nil {
		return err
	}
	if len(values) > 0 {
		object["binaryData"] = encoded(values)
	}
	if len(texts) > 0 {
		plain := map[string]any{}
		for key, text := range texts {
			if _, both := values[key]; both {
				return fmt.Errorf("key %q is in data and in binaryData", key)
			}
			values[key], plain[key] = []byte(text), text
		}
		object["data"] = plain
	}
	return checkKeys(values)
}

// onlyFields refuses fields that the API server does not know.
func onlyFields(object map[string]any, fields ...string) error {
	fields = append(fields, "apiVersion", "kind", "metadata")
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(fields, name) {
			return fmt.Errorf("it has a field %q, which the API server does not know", name)
		}
	}
	if _, ok := object["immutable"].(bool); !ok && object["immutable"] != nil {
		return errors.New("immutable is neither true nor false")
	}
	return nil
}

// textsOf are the texts of a field; null counts as an empty one.
func textsOf(object map[string]any, name string) (map[string]string, error) {
	entries, ok := object[name].(map[string]any)
	if !ok && object[name] != nil {
		return nil, fmt.Errorf("%s is no map of texts", name)
	}
	out := make(map[string]string, len(entries))
	for key, value := range entries {
		text, ok := value.(string)
		if !ok && value != nil {
			return nil, fmt.Errorf("%s: the value of key %q is no text: quote it", name, key)
		}
		out[key] = text
	}
	return out, nil
}

// decoded are the bytes of a field of base64.
func decoded(object map[string]any, name string) (map[string][]byte, error) {
	texts, err := textsOf(object, name)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(texts))
	for key, text := range texts {
		if out[key], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("%s: the value of key %q is no base64", name, key)
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

// checkKeys refuses keys that cannot be, and more than fits.
func checkKeys(values map[string][]byte) error {
	size := 0
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
			return fmt.Errorf("it has a key %q, which none can be called", key)
		}
		size += len(values[key])
	}
	if size > corev1.MaxSecretSize {
		return fmt.Errorf("it holds %d bytes, and the API server takes %d", size, corev1.MaxSecretSize)
	}
	return nil
}
