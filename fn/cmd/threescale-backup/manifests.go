package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// readManifests reads all objects of the YAML and JSON files below dir, or of one file,
// as the API server would store them after `kubectl apply`. Lists are taken apart. It is
// an error if the API server would refuse an object, or store something else than the
// file says. No error quotes a value.
func readManifests(dir string) ([]*unstructured.Unstructured, error) {
	root, err := filepath.EvalSymlinks(dir) // WalkDir does not follow a symlink
	if err != nil {
		return nil, fmt.Errorf("cannot read manifests: %w", err)
	}
	m := manifestSet{seen: map[manifestKey]string{}}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			return nil
		}
		data, err := os.ReadFile(path) //nolint:gosec // the user's own folder
		if err != nil {
			return err
		}
		return m.read(path, data)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read manifests: %w", err)
	}
	return m.objects, nil
}

// manifestKey identifies an object.
type manifestKey struct{ group, kind, namespace, name string }

func keyOf(u *unstructured.Unstructured) manifestKey {
	return manifestKey{u.GroupVersionKind().Group, u.GetKind(), u.GetNamespace(), u.GetName()}
}

// manifestSet is what was read so far.
type manifestSet struct {
	objects []*unstructured.Unstructured
	seen    map[manifestKey]string // the file of each
}

// read adds the objects of a file.
func (m *manifestSet) read(path string, data []byte) error {
	documents, err := splitDocuments(data)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	for i, document := range documents {
		object, err := decodeDocument(document)
		if err == nil && object != nil {
			err = m.add(path, object)
		}
		if err != nil {
			return fmt.Errorf("%q, document %d: %w", path, i+1, err)
		}
	}
	return nil
}

// add adds an object, or those of a list.
func (m *manifestSet) add(path string, object *unstructured.Unstructured) error {
	if items, isList := object.Object["items"]; isList {
		return m.addItems(path, object, items)
	}
	if err := admit(object); err != nil {
		return err
	}
	key := keyOf(object)
	if other, ok := m.seen[key]; ok {
		return fmt.Errorf("%s %q is in %q already: take one of them out", key.kind, key.name, other)
	}
	m.seen[key] = path
	m.objects = append(m.objects, object)
	return nil
}

// addItems adds the objects of a list. The items of a typed list, such as a SecretList,
// need no kind.
func (m *manifestSet) addItems(path string, list *unstructured.Unstructured, items any) error {
	kind := list.GetKind()
	all, ok := items.([]any)
	if !ok || !strings.HasSuffix(kind, "List") {
		return errors.New("it has items, but its kind does not end in List")
	}
	for i, item := range all {
		fields, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("item %d of the list is not an object", i+1)
		}
		if of := strings.TrimSuffix(kind, "List"); of != "" && fields["kind"] == nil && fields["apiVersion"] == nil {
			fields["kind"], fields["apiVersion"] = of, list.Object["apiVersion"]
		}
		if err := m.add(path, &unstructured.Unstructured{Object: fields}); err != nil {
			return fmt.Errorf("item %d of the list: %w", i+1, err)
		}
	}
	return nil
}

// splitDocuments splits a stream of YAML documents, or of JSON ones.
func splitDocuments(data []byte) ([][]byte, error) {
	next := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))).Read
	malformed := errors.New("it cannot be split into documents")
	if yaml.IsJSONBuffer(data) {
		decoder := json.NewDecoder(bytes.NewReader(data))
		next = func() ([]byte, error) {
			var document json.RawMessage
			err := decoder.Decode(&document)
			return document, err
		}
		malformed = errors.New("it is malformed JSON")
	}
	var documents [][]byte
	for {
		document, err := next()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, malformed
		}
		documents = append(documents, document)
	}
}

// decodeDocument decodes one document; nil if it is empty.
func decodeDocument(document []byte) (*unstructured.Unstructured, error) {
	if _, err := sigsyaml.YAMLToJSON(document); err != nil {
		return nil, errors.New("it is malformed YAML")
	}
	text, err := sigsyaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, errors.New("a field is in it twice, of which only one would count")
	}
	var value any
	if err := utiljson.Unmarshal(text, &value); err != nil {
		return nil, errors.New("it cannot be decoded")
	}
	if value == nil {
		return nil, nil // between two separators
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return &unstructured.Unstructured{Object: fields}, nil
}
