package examples

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// Dir holds the examples, below the root of the repository.
const Dir = "examples/restore"

// Names lists the examples, the folders below Dir, in the order in which the
// page explains them.
func Names() []string {
	return []string{"lost-installation", "other-namespace", "other-cluster", "offsite", "operator-volume", "encrypted", "dry-run", "protected-branch"}
}

// Load returns the objects of an example in the order in which kubectl applies
// its folder: by file, then as they stand in it.
func Load(root, name string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(Dir), name, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("cannot list example %q: %w", name, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("cannot read example %q: it has no files", name)
	}
	slices.Sort(files)
	var objects []*unstructured.Unstructured
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read example %q: %w", name, err)
		}
		documents, err := split(data)
		if err != nil {
			return nil, fmt.Errorf("cannot read %q: %w", file, err)
		}
		for _, document := range documents {
			object := &unstructured.Unstructured{}
			if err := utilyaml.Unmarshal(document, &object.Object); err != nil {
				return nil, fmt.Errorf("cannot parse %q: %w", file, err)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// split cuts a file into its documents.
func split(data []byte) ([][]byte, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var out [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, document)
	}
}
