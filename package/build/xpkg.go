package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"sigs.k8s.io/yaml"
)

// What makes an image a Crossplane package: a layer with the stream of its
// objects, told by an annotation. A package in a file has no annotations of
// layers; there, the label of the configuration tells
// (https://github.com/crossplane/crossplane, docs of the xpkg format).
const (
	packageAnnotation = "io.crossplane.xpkg"
	packageLayer      = "base"
	packageFile       = "package.yaml"
)

// flavours of the API, each a configuration of its own.
func flavours() []string { return []string{"claim", "namespaced"} }

// configurationRepository is the name of a flavour's package.
func configurationRepository(flavour string) string {
	if flavour == "claim" {
		return configurationName
	}
	return configurationName + "-" + flavour
}

// functionPackage is the function for one architecture: its image, and the
// package's metadata and input in one layer more. Crossplane runs the package
// itself, and so do the Jobs.
func (r *release) functionPackage(architecture string) (v1.Image, error) {
	image, err := r.image(functionProgram(), architecture)
	if err != nil {
		return nil, err
	}
	objects, err := r.read("package/crossplane.yaml", "package/input/input.yaml")
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration of image %q: %w", functionName, err)
	}
	file = file.DeepCopy() // the image keeps its own labels
	added, err := packaged(objects, &file.Config)
	if err != nil {
		return nil, err
	}
	if image, err = mutate.Append(image, *added); err != nil {
		return nil, fmt.Errorf("cannot make package %q: %w", functionName, err)
	}
	return mutate.Config(image, file.Config)
}

// configuration is the package of one flavour: it depends on the function's
// repository in this registry, and has its Jobs run the very same image.
func (r *release) configuration(flavour string) (v1.Image, error) {
	objects, err := r.configurationObjects(flavour)
	if err != nil {
		return nil, err
	}
	var config v1.Config
	added, err := packaged(objects, &config)
	if err != nil {
		return nil, err
	}
	return assemble(v1.Platform{OS: "linux", Architecture: architectures()[0]}, config, *added)
}

func (r *release) configurationObjects(flavour string) ([]map[string]any, error) {
	objects, err := r.read("crossplane.yaml", "manifests/"+flavour+"/xrd.yaml", "manifests/"+flavour+"/composition.yaml")
	if err != nil {
		return nil, err
	}
	return objects, r.bind(objects, flavour)
}

// bind puts in what depends on the registry and the version.
func (r *release) bind(objects []map[string]any, flavour string) error {
	function, err := r.functionObject()
	if err != nil {
		return err
	}
	image, err := r.functionImage()
	if err != nil {
		return err
	}
	meta, composition := objects[0], objects[2]
	for _, change := range []struct {
		object map[string]any
		value  any
		path   []any
	}{
		{meta, configurationRepository(flavour), []any{"metadata", "name"}},
		{meta, r.repository(functionName), []any{"spec", "dependsOn", 0, "package"}},
		{meta, r.dependency(), []any{"spec", "dependsOn", 0, "version"}},
		{composition, function, []any{"spec", "pipeline", 0, "functionRef", "name"}},
		{composition, image, []any{"spec", "pipeline", 0, "input", "image"}},
	} {
		if err := replace(change.object, change.value, change.path...); err != nil {
			return fmt.Errorf("cannot make package %q: %w", configurationRepository(flavour), err)
		}
	}
	return nil
}

// functionImage names the function's package by tag and digest: people read the
// one, machines take the other.
func (r *release) functionImage() (string, error) {
	image, err := index(r.functionPackage)
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("cannot compute digest of %q: %w", functionName, err)
	}
	return r.repository(functionName) + ":" + r.tagName() + "@" + digest.String(), nil
}

// replace sets a value that is there already: a path that has moved is a
// mistake, and not a field more.
func replace(object any, value any, path ...any) error {
	for i, step := range path {
		last := i == len(path)-1
		switch at := object.(type) {
		case map[string]any:
			key, _ := step.(string)
			if _, found := at[key]; !found {
				return fmt.Errorf("cannot replace %v: there is no %v", path, step)
			}
			if last {
				at[key] = value
			}
			object = at[key]
		case []any:
			n, isNumber := step.(int)
			if !isNumber || n >= len(at) {
				return fmt.Errorf("cannot replace %v: there is no element %v", path, step)
			}
			if last {
				at[n] = value
			}
			object = at[n]
		default:
			return fmt.Errorf("cannot replace %v: there is no %v in a value", path, step)
		}
	}
	return nil
}

// read reads objects of the repository, one a file.
func (r *release) read(paths ...string) ([]map[string]any, error) {
	var out []map[string]any
	for _, path := range paths {
		data, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(path)))
		if err != nil {
			return nil, fmt.Errorf("cannot read object of package: %w", err)
		}
		var object map[string]any
		if err := yaml.Unmarshal(data, &object); err != nil {
			return nil, fmt.Errorf("cannot read object %q of package: %w", path, err)
		}
		out = append(out, object)
	}
	return out, nil
}

// packaged is the layer of a package's objects. The configuration gets the
// label by which the layer is found.
func packaged(objects []map[string]any, config *v1.Config) (*mutate.Addendum, error) {
	var stream, data bytes.Buffer
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("cannot encode object of package: %w", err)
		}
		stream.WriteString("---\n")
		stream.Write(text)
	}
	w := tar.NewWriter(&data)
	if err := addFile(w, packageFile, 0o644, stream.Bytes()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot write layer: %w", err)
	}
	layer, err := newLayer(data.Bytes())
	if err != nil {
		return nil, fmt.Errorf("cannot make layer of package: %w", err)
	}
	digest, err := layer.Digest()
	if err != nil {
		return nil, fmt.Errorf("cannot compute digest of layer: %w", err)
	}
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	config.Labels[packageAnnotation+":"+digest.String()] = packageLayer
	return &mutate.Addendum{
		Layer:       layer,
		Annotations: map[string]string{packageAnnotation: packageLayer},
		History:     v1.History{CreatedBy: "make package", Created: v1.Time{Time: epoch()}},
	}, nil
}
