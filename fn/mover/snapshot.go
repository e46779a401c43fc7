package mover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
)

// snapshot is what a Job mounts at job.ObjectsPath.
type snapshot struct {
	Description job.Description
	Objects     []archive.ObjectFile
}

// readSnapshot reads the folder that package job describes. Secrets are put together from their metadata and their
// values.
func readSnapshot(dir string) (*snapshot, error) {
	s := &snapshot{}
	data, err := os.ReadFile(filepath.Join(dir, job.DescriptionFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read snapshot %q: %w", dir, err)
	}
	if err := json.Unmarshal(data, &s.Description); err != nil {
		return nil, fmt.Errorf("cannot read snapshot %q: %s: %w", dir, job.DescriptionFile, err)
	}
	if err := s.addFile(dir, job.APIManagerFile); err != nil {
		return nil, err
	}
	configMaps, err := names(filepath.Join(dir, job.ConfigMapsDir))
	if err != nil {
		return nil, err
	}
	for _, name := range configMaps {
		if err := s.addFile(dir, path.Join(job.ConfigMapsDir, name)); err != nil {
			return nil, err
		}
	}
	secrets, err := names(filepath.Join(dir, job.SecretMetadataDir))
	if err != nil {
		return nil, err
	}
	for _, name := range secrets {
		if err := s.addSecret(dir, strings.TrimSuffix(name, ".json")); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *snapshot) addFile(dir, file string) error {
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
	if err != nil {
		return fmt.Errorf("cannot read snapshot %q: %w", dir, err)
	}
	s.Objects = append(s.Objects, archive.ObjectFile{Path: file, Data: data})
	return nil
}

func (s *snapshot) addSecret(dir, name string) error {
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(job.SecretMetadataFile(name))))
	if err != nil {
		return fmt.Errorf("cannot read snapshot %q: %w", dir, err)
	}
	meta := &unstructured.Unstructured{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&meta.Object); err != nil {
		return fmt.Errorf("cannot read the metadata of Secret %q: %w", name, err)
	}
	values, err := readSecret(filepath.Join(dir, job.SecretsDir, name), name)
	if err != nil {
		return err
	}
	data, err := threescale.EncodeJSON(threescale.SecretManifest(meta, values).Object)
	if err != nil {
		return fmt.Errorf("cannot encode Secret %q: %w", name, err)
	}
	s.Objects = append(s.Objects, archive.ObjectFile{Path: path.Join(job.SecretsDir, name+".json"), Data: data})
	return nil
}

// readSecret reads the values of a Secret by their keys, of which the kubelet makes files. One that is not there has none.
func readSecret(dir, name string) (map[string][]byte, error) {
	keys, err := names(dir)
	if err != nil {
		return nil, err
	}
	values := make(map[string][]byte, len(keys))
	for _, key := range keys {
		if values[key], err = os.ReadFile(filepath.Join(dir, key)); err != nil {
			return nil, fmt.Errorf("cannot read a value of Secret %q: %w", name, err)
		}
	}
	return values, nil
}

// names lists a folder in order; one that does not exist is empty. The kubelet keeps its own entries in a projected
// volume, which begin with two dots.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list folder %q: %w", dir, err)
	}
	var out []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "..") {
			out = append(out, entry.Name())
		}
	}
	return out, nil
}
