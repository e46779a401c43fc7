package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// placeholder is the registry of the shipped manifests, which nobody can pull from.
const placeholder = "registry.example.com/"

const (
	checkComposition = "Composition"
	checkFunction    = "Function"
)

// compositions checks the Compositions of a flavour, and the functions that they call.
func compositions(o Observed, f flavour) []Finding {
	if o.Compositions.Err != nil {
		return []Finding{inBackups.unread(checkComposition, o.Compositions.Err)}
	}
	var findings []Finding
	for _, name := range slices.Sorted(maps.Keys(o.Compositions.Value)) {
		c := o.Compositions.Value[name]
		if text(c, "spec", "compositeTypeRef", "kind") != f.kind || text(c, "spec", "compositeTypeRef", "apiVersion") != v1alpha1.GroupVersion.String() {
			continue
		}
		findings = append(findings, composition(o, f, name, objects(c.Object, "spec", "pipeline"))...)
	}
	if len(findings) == 0 {
		return []Finding{inBackups.fail(checkComposition, fmt.Sprintf("there is no Composition of kind %s", f.kind), f.install())}
	}
	return findings
}

// composition checks the step of a pipeline that calls our function.
func composition(o Observed, f flavour, name string, pipeline []map[string]any) []Finding {
	for _, step := range pipeline {
		input, _ := step["input"].(map[string]any)
		if input["apiVersion"] != v1alpha1.GroupVersion.String() || input["kind"] != "Input" {
			continue
		}
		reference, _ := step["functionRef"].(map[string]any)
		called, _ := reference["name"].(string)
		found, _ := input["image"].(string)
		return []Finding{image(f, name, found), function(o, f, name, called)}
	}
	return []Finding{inBackups.fail(checkComposition, fmt.Sprintf("Composition %q has no step with an input of kind Input (%s)", name, v1alpha1.GroupVersion), f.install())}
}

// image checks the image of the Jobs' pods.
func image(f flavour, composition, found string) Finding {
	do := fmt.Sprintf("install the package %s, which has it set (manifests/README.md, Install); %s set input.image to where you host the function's image, by a kustomize patch as in manifests/README.md (Without packages)",
		f.configuration, withoutPackages)
	switch {
	case found == "":
		return inBackups.fail(checkComposition, fmt.Sprintf("Composition %q has no input.image, which the Jobs run", composition), do)
	case strings.HasPrefix(found, placeholder):
		return inBackups.fail(checkComposition, fmt.Sprintf("Composition %q has the placeholder %s as its input.image, which nobody can pull", composition, found), do)
	}
	return inBackups.ok(checkComposition, "Composition %q runs image %s", composition, found)
}

// function checks the package that a Composition calls.
func function(o Observed, f flavour, composition, called string) Finding {
	if o.Functions.Err != nil {
		return inBackups.unread(checkFunction, o.Functions.Err)
	}
	found := o.Functions.Value[called]
	if found == nil {
		installed := strings.Join(slices.Sorted(maps.Keys(o.Functions.Value)), ", ")
		if installed == "" {
			installed = "none"
		}
		return inBackups.fail(checkFunction, fmt.Sprintf("Composition %q calls Function %q, which is not installed (installed: %s)", composition, called, installed),
			fmt.Sprintf("install, or upgrade, the package %s, which brings it (manifests/README.md, Install and Upgrade); %s install the function as a Function called %q, or change the Composition's functionRef.name to the one that is installed",
				f.configuration, withoutPackages, called))
	}
	if problem := unmet(found, "Installed", "Healthy"); problem != "" {
		return inBackups.fail(checkFunction, fmt.Sprintf("Function %q does not run: %s", called, problem),
			fmt.Sprintf("look at what Crossplane says: kubectl describe function.pkg.crossplane.io %s; kubectl get functionrevisions", called))
	}
	return inBackups.ok(checkFunction, "Function %q is installed and healthy (package %s)", called, text(found, "spec", "package"))
}
