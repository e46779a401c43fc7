package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"threescale.dev/backup/fn/threescale"
)

// known is a kind that a backup looks at.
type known struct {
	apiVersion string
	namespaced bool
	// admit checks the fields beside metadata, and changes them as the API server would.
	admit func(object map[string]any) error
}

func knownKinds() map[string]known {
	return map[string]known{
		threescale.KindSecret:     {"v1", true, admitSecret},
		threescale.KindConfigMap:  {"v1", true, admitConfigMap},
		threescale.APIManagerKind: {threescale.APIManagerAPIVersion, true, func(map[string]any) error { return nil }}, // its schema is that of the operator that is installed
		"PersistentVolumeClaim":   {"v1", true, admitTyped[corev1.PersistentVolumeClaim]},
		"PersistentVolume":        {"v1", false, admitTyped[corev1.PersistentVolume]},
		"Namespace":               {"v1", false, admitTyped[corev1.Namespace]},
		"StorageClass":            {"storage.k8s.io/v1", false, admitTyped[storagev1.StorageClass]},
	}
}

// admit refuses what the API server would not store, and makes of the rest what it
// would: objects of other kinds only have to have a name.
func admit(object map[string]any) error {
	kind, _ := object["kind"].(string)
	apiVersion, _ := object["apiVersion"].(string)
	switch {
	case object["sops"] != nil:
		return errors.New("it is encrypted by SOPS: give what `sops decrypt` makes of it")
	case strings.HasPrefix(apiVersion, "kustomize.config.k8s.io/") || kind == "" && (object["resources"] != nil || object["patches"] != nil):
		return errors.New("it is a kustomization, which makes other objects of those that are there: give what `kubectl kustomize` makes of it")
	case kind == "" || apiVersion == "":
		return errors.New("it has no kind, or no apiVersion: take out of the folder what is no object of Kubernetes")
	}
	k, isKnown := knownKinds()[kind]
	if isKnown && apiVersion != k.apiVersion {
		return fmt.Errorf("it is a %s of %q, and one of an installation is of %q: correct it, or take it out of the folder", kind, apiVersion, k.apiVersion)
	}
	if err := admitMetadata(object, kind, isKnown, k.namespaced); err != nil {
		return err
	}
	if !isKnown {
		return nil
	}
	if err := k.admit(object); err != nil {
		metadata, _ := object["metadata"].(map[string]any)
		return fmt.Errorf("%s %q: %w", kind, metadata["name"], err)
	}
	return nil
}

// admitMetadata checks metadata. It is not quoted: annotations may hold a copy of a Secret.
func admitMetadata(object map[string]any, kind string, isKnown, namespaced bool) error {
	var meta metav1.ObjectMeta
	if err := decodeStrictly(object["metadata"], &meta); err != nil {
		return fmt.Errorf("the metadata of a %s: %w", kind, err)
	}
	if meta.Name == "" && meta.GenerateName != "" {
		return fmt.Errorf("a %s has a generateName, and would get another name each time: give it a name", kind)
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
		meta.Namespace = metav1.NamespaceDefault // where the backup looks is not known here
	}
	if problems := apivalidation.ValidateObjectMeta(&meta, namespaced, name, field.NewPath("metadata")); len(problems) > 0 {
		return fmt.Errorf("%s %q: %s: %s", kind, meta.Name, problems[0].Field, problems[0].Detail)
	}
	return nil
}

// admitTyped checks that an object is of a type, with no other fields.
func admitTyped[T any](object map[string]any) error {
	return decodeStrictly(object, new(T))
}

// decodeStrictly decodes what must have no other fields than a type. An error
// names fields, and tells none of what is in them.
func decodeStrictly(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return errors.New("it cannot be encoded")
	}
	unknown, err := kjson.UnmarshalStrict(text, to)
	if err != nil {
		return errors.New("a field of it is not of its type, such as a number that has to be a text")
	}
	if len(unknown) > 0 {
		return fmt.Errorf("it has a field that the API server does not know, as by a slip of the pen: %w", unknown[0])
	}
	return nil
}
