// Command generate turns the CRDs that controller-gen makes of the Go types
// into the XRDs of both flavours, the CRD of ThreeScaleRestore, that of the
// function's input, and the reference of the API; and the comments of the
// reasons, and what is known of the mover's failures, into the reference's tables.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

const (
	group  = "backup.threescale.dev"
	api    = "fn/api/v1alpha1"
	header = "# Generated from the types in fn/api/v1alpha1 by `make generate`. Do not edit.\n"
)

func main() {
	crds := flag.String("crds", "", "folder with the CRDs of controller-gen")
	failures := flag.String("failures", "", "file with what test/tools/failures prints")
	root := flag.String("root", ".", "root of the repository")
	flag.Parse()
	if err := run(*crds, *failures, *root); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(crds, failures, root string) error {
	backup, err := load(filepath.Join(crds, group+"_threescalebackups.yaml"))
	if err != nil {
		return err
	}
	input, err := load(filepath.Join(crds, group+"_inputs.yaml"))
	if err != nil {
		return err
	}
	restore, err := load(filepath.Join(crds, group+"_threescalerestores.yaml"))
	if err != nil {
		return err
	}
	for _, crd := range []map[string]any{backup, input, restore} {
		dropItemDescriptions(schemaOf(crd), "")
		narrow(schemaOf(crd))
	}
	reference := filepath.Join(root, api, "README.md")
	if err := writeReference(reference, backup, restore, input); err != nil {
		return err
	}
	if err := writeReasons(reference, filepath.Join(root, api), failures); err != nil {
		return err
	}
	for path, object := range map[string]map[string]any{
		"manifests/claim/xrd.yaml":      claimXRD(backup),
		"manifests/namespaced/xrd.yaml": namespacedXRD(backup),
		"package/input/input.yaml":      input,
		"manifests/crd/restore.yaml":    withoutSubstitution(restore),
	} {
		if err := save(filepath.Join(root, path), object); err != nil {
			return err
		}
	}
	return nil
}

func load(path string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read CRD %q: %w", path, err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return nil, fmt.Errorf("cannot read CRD %q: %w", path, err)
	}
	return crd, nil
}

func save(path string, object map[string]any) error {
	data, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	if err := os.WriteFile(path, bytes.Join([][]byte{[]byte(header), data}, nil), 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}

// withoutSubstitution keeps a Flux Kustomization from replacing $ in a CRD's
// patterns.
func withoutSubstitution(crd map[string]any) map[string]any {
	metadata := crd["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
	}
	annotations["kustomize.toolkit.fluxcd.io/substitute"] = "disabled"
	metadata["annotations"] = annotations
	return crd
}

// claimXRD is of the v1 API, the only one with claims. Its scope is the default.
func claimXRD(crd map[string]any) map[string]any {
	return xrd("apiextensions.crossplane.io/v1", "xthreescalebackups", map[string]any{
		"group":                 group,
		"names":                 map[string]any{"kind": "XThreeScaleBackup", "plural": "xthreescalebackups"},
		"claimNames":            map[string]any{"kind": "ThreeScaleBackup", "plural": "threescalebackups"},
		"defaultCompositionRef": map[string]any{"name": "threescalebackup-claim"},
		"versions":              versions(crd),
	})
}

func namespacedXRD(crd map[string]any) map[string]any {
	return xrd("apiextensions.crossplane.io/v2", "threescalebackups", map[string]any{
		"group":                 group,
		"scope":                 "Namespaced",
		"names":                 map[string]any{"kind": "ThreeScaleBackup", "plural": "threescalebackups"},
		"defaultCompositionRef": map[string]any{"name": "threescalebackup-namespaced"},
		"versions":              versions(crd),
	})
}

func xrd(apiVersion, plural string, spec map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": apiVersion,
		"kind":       "CompositeResourceDefinition",
		"metadata":   map[string]any{"name": plural + "." + group},
		"spec":       spec,
	}
}

func versionOf(crd map[string]any) map[string]any {
	return crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
}

func schemaOf(crd map[string]any) map[string]any {
	return versionOf(crd)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
}

// versions takes the schemas of spec and status. Crossplane adds its own
// fields to both; the conditions are its own.
func versions(crd map[string]any) []any {
	version, schema := versionOf(crd), schemaOf(crd)
	properties := schema["properties"].(map[string]any)
	delete(properties["status"].(map[string]any)["properties"].(map[string]any), "conditions")
	return []any{map[string]any{
		"name":                     version["name"],
		"served":                   true,
		"referenceable":            true,
		"additionalPrinterColumns": version["additionalPrinterColumns"],
		"schema": map[string]any{"openAPIV3Schema": map[string]any{
			"description": schema["description"],
			"type":        "object",
			"required":    []any{"spec"},
			"properties": map[string]any{
				"spec":   properties["spec"],
				"status": withoutRequired(properties["status"].(map[string]any)),
			},
		}},
	}}
}

// withoutRequired lets Crossplane write a status before the function does.
func withoutRequired(schema map[string]any) map[string]any {
	delete(schema, "required")
	return schema
}
