package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// WriteManifests writes each object to a YAML file of its own in dir, which it
// creates if it is not there: <kind>-<name>.yaml in lower case, such as
// secret-system-app.yaml. A Namespace gets the prefix 0-, so that
// `kubectl apply -f dir` makes it first. It fails when two objects would share a
// file.
func WriteManifests(dir string, objects []*unstructured.Unstructured) error {
	if err := os.MkdirAll(dir, directoryMode); err != nil {
		return fmt.Errorf("cannot create directory %q: %w", dir, err)
	}
	written := map[string]bool{}
	for _, object := range objects {
		name := manifestName(object)
		if written[name] || !filepath.IsLocal(name) || filepath.Base(name) != name {
			return fmt.Errorf("cannot write manifest %q: the name is taken or not a file name", name)
		}
		written[name] = true
		content, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("cannot encode manifest %q: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("cannot write manifest %q: %w", name, err)
		}
	}
	return nil
}

// manifestName returns the file name of an object.
func manifestName(object *unstructured.Unstructured) string {
	file := strings.ToLower(object.GetKind()) + "-" + object.GetName() + ".yaml"
	if object.GetKind() == "Namespace" {
		return "0-" + file
	}
	return file
}
