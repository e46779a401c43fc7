package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// readManifests reads all objects of the YAML and JSON files below dir, or of
// one file. Lists are taken apart.
func readManifests(dir string) ([]map[string]any, error) {
	var objects []map[string]any
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
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
		read, err := decodeManifests(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, read...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read manifests: %w", err)
	}
	return objects, nil
}

// decodeManifests decodes a stream of YAML or JSON documents.
func decodeManifests(data []byte) ([]map[string]any, error) {
	var objects []map[string]any
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot decode document %d: %w", len(objects)+1, err)
		}
		items, isList := object["items"].([]any)
		switch {
		case len(object) == 0: // between two separators
		case isList:
			for _, item := range items {
				if child, ok := item.(map[string]any); ok {
					objects = append(objects, child)
				}
			}
		default:
			objects = append(objects, object)
		}
	}
}
