package render

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Files of an example.
const (
	ClaimFile    = "claim.yaml"
	XRFile       = "xr.yaml"
	ObservedFile = "observed.yaml"
	RequiredFile = "required.yaml"
	RenderedFile = "rendered.yaml"
)

const generatedHeader = "# Written by `go generate ./test/render`. Do not edit.\n"

// Inputs returns the files of an example that are made and not written by
// hand, by name. The golden file is not among them.
func Inputs(root string, s Scenario) (map[string][]byte, error) {
	st, err := newStage(root, s)
	if err != nil {
		return nil, err
	}
	if s.Before != nil {
		if err := s.Before(st); err != nil {
			return nil, err
		}
	}
	// The conditions are Crossplane's own part of the status.
	unstructured.RemoveNestedField(st.Composite.Object, "status", "conditions")
	streams := map[string][]*unstructured.Unstructured{XRFile: {st.Composite}, RequiredFile: st.required()}
	if observed := st.observed(); len(observed) > 0 {
		streams[ObservedFile] = observed
	}
	files := make(map[string][]byte, len(streams))
	for name, objects := range streams {
		if files[name], err = encodeStream(generatedHeader, objects); err != nil {
			return nil, fmt.Errorf("cannot encode %q of example %q: %w", name, s.Name, err)
		}
	}
	return files, nil
}

// encodeStream writes objects as YAML documents below a header of comments.
func encodeStream(header string, objects []*unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(header)
	for i, object := range objects {
		if i > 0 {
			out.WriteString("---\n")
		}
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("cannot encode %s %q: %w", object.GetKind(), object.GetName(), err)
		}
		out.Write(data)
	}
	return out.Bytes(), nil
}

// parseStream reads YAML documents; empty ones are left out.
func parseStream(data []byte) ([]*unstructured.Unstructured, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var out []*unstructured.Unstructured
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read document %d: %w", len(out)+1, err)
		}
		object, err := parseObject(document)
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			out = append(out, object)
		}
	}
}

func parseObject(data []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	// Of apimachinery: whole numbers become int64, as in all its objects.
	if err := utilyaml.Unmarshal(data, &object.Object); err != nil {
		return nil, fmt.Errorf("cannot parse an object: %w", err)
	}
	return object, nil
}

func readObject(path string) (*unstructured.Unstructured, error) {
	objects, err := readStream(path)
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("cannot read %q: it has %d objects, not one", path, len(objects))
	}
	return objects[0], nil
}

func readStream(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read objects: %w", err)
	}
	objects, err := parseStream(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, err)
	}
	return objects, nil
}

// compositionFile is the Composition of a scenario.
func compositionFile(root string, s Scenario) string {
	return filepath.Join(root, "manifests", s.Flavour(), "composition.yaml")
}
