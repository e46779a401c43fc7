package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Example is an example as it is on disk.
type Example struct {
	Scenario

	XR       *unstructured.Unstructured
	Observed []*unstructured.Unstructured
	Required []*unstructured.Unstructured

	// step and input of the Composition's only step.
	step  string
	input map[string]any
}

// Load reads an example.
func Load(root string, s Scenario) (Example, error) {
	e := Example{Scenario: s}
	dir := filepath.Join(root, "examples", s.Name)
	var err error
	if e.XR, err = readObject(filepath.Join(dir, XRFile)); err != nil {
		return e, err
	}
	if e.Required, err = readStream(filepath.Join(dir, RequiredFile)); err != nil {
		return e, err
	}
	if e.Observed, err = readStream(filepath.Join(dir, ObservedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, err
	}
	e.step, e.input, err = pipelineStep(root, s)
	return e, err
}

// pipelineStep reads the only step of a Composition.
func pipelineStep(root string, s Scenario) (string, map[string]any, error) {
	path := compositionFile(root, s)
	composition, err := readObject(path)
	if err != nil {
		return "", nil, err
	}
	pipeline, _, err := unstructured.NestedSlice(composition.Object, "spec", "pipeline")
	if err != nil || len(pipeline) != 1 {
		return "", nil, fmt.Errorf("cannot read Composition %q: it has %d steps, not one: %w", path, len(pipeline), err)
	}
	step, _ := pipeline[0].(map[string]any)
	name, _ := step["step"].(string)
	input, _ := step["input"].(map[string]any)
	return name, input, nil
}

func inputImage(root string, s Scenario) (string, error) {
	_, input, err := pipelineStep(root, s)
	image, _ := input["image"].(string)
	return image, err
}
