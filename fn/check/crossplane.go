package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/manifests"
)

const (
	inCrossplane = area("Crossplane")
	inBackups    = area("Backups")

	installCrossplane = "install Crossplane 2.0 or later (2.4 is tested): https://docs.crossplane.io/latest/get-started/install"
	applyRights       = "kubectl apply -k manifests/rbac, or have Flux apply ./manifests/rbac; where Crossplane's RBAC manager is off, also bind ClusterRole threescale-backup:aggregate-to-crossplane to that ServiceAccount"

	withoutPackages = "only without packages:"
	listPackages    = "kubectl get configuration.pkg.crossplane.io lists them"
)

// crossplane checks all that a backup needs.
func crossplane(o Observed) []Finding {
	findings := []Finding{crossplaneVersion(o)}
	if known := o.Served[crossplaneXRD("v1")]; known.Err == nil && !known.Value && findings[0].State != OK {
		return findings // without it, the rest says nothing new
	}
	findings = append(findings, rights(inCrossplane, o.Crossplane, applyRights))
	xrds, installed := flavoursOf(o)
	findings = append(findings, xrds...)
	for _, f := range installed {
		findings = append(findings, fields(inBackups, "XRD "+f.xrd, schemaOf(o.XRDs.Value[f.xrd]), f.manifest, f.install()))
		findings = append(findings, compositions(o, f)...)
	}
	return findings
}

// crossplaneVersion tells Crossplane 2 from 1 by the API that only 2 serves.
func crossplaneVersion(o Observed) Finding {
	const check = "version"
	one, two := o.Served[crossplaneXRD("v1")], o.Served[crossplaneXRD("v2")]
	found := imageVersion(o.Crossplane.Deployment)
	switch {
	case two.Err != nil:
		return inCrossplane.unread(check, two.Err)
	case two.Value:
		return inCrossplane.ok(check, "Crossplane %s (2.0 or later is needed, 2.4 is tested)", cmp.Or(found, "2"))
	case one.Err != nil:
		return inCrossplane.unread(check, one.Err)
	case one.Value:
		return inCrossplane.fail(check, fmt.Sprintf("Crossplane %s is too old: it does not give the function the objects that the function asks for (apiextensions.crossplane.io/v2 is not served)", cmp.Or(found, "1")),
			"upgrade Crossplane to 2.0 or later (2.4 is tested)")
	}
	return inCrossplane.fail(check, "Crossplane is not installed: apiextensions.crossplane.io is not served", installCrossplane)
}

// imageVersion returns the version of a Deployment, by its label or the tag of its
// image; "" without either.
func imageVersion(deployment Read[*unstructured.Unstructured]) string {
	if deployment.Value == nil {
		return ""
	}
	if label := deployment.Value.GetLabels()["app.kubernetes.io/version"]; label != "" {
		return label
	}
	for _, container := range containers(deployment.Value) {
		image, _ := container["image"].(string)
		return tag(image)
	}
	return ""
}

func containers(deployment *unstructured.Unstructured) []map[string]any {
	return objects(deployment.Object, "spec", "template", "spec", "containers")
}

// tag of an image; empty without one.
func tag(image string) string {
	image, _, _ = strings.Cut(image, "@")
	_, found, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return found
}

// flavour is one of the two ways to install ThreeScaleBackup.
type flavour struct {
	kind, xrd     string
	configuration string // the package of XRD and Composition
	folder        string // the same, to apply without packages
	conditions    []string
	manifest      []byte
}

// install says how to install a flavour. To apply the folder over a package would undo
// what the package has set: the image, and the name of the Function.
func (f flavour) install() string {
	return fmt.Sprintf("install, or upgrade, the package %s (manifests/README.md, Install and Upgrade); %s kubectl apply --server-side -k %s, with your image and the name of your Function in the Composition",
		f.configuration, withoutPackages, f.folder)
}

func flavours() []flavour {
	return []flavour{
		{v1alpha1.KindCompositeBackup, "xthreescalebackups." + v1alpha1.Group, "configuration-threescale-backup", "manifests/claim", []string{"Established", "Offered"}, manifests.ClaimXRD()},
		{v1alpha1.KindBackup, BackupCRD, "configuration-threescale-backup-namespaced", "manifests/namespaced", []string{"Established"}, manifests.NamespacedXRD()},
	}
}

// XRDNames are the names of the XRDs of both flavours.
func XRDNames() []string {
	var names []string
	for _, f := range flavours() {
		names = append(names, f.xrd)
	}
	return names
}

// flavoursOf checks the XRDs, and returns the flavours that are installed.
func flavoursOf(o Observed) (findings []Finding, installed []flavour) {
	const check = "XRD"
	if o.XRDs.Err != nil {
		return []Finding{inBackups.unread(check, o.XRDs.Err)}, nil
	}
	for _, f := range flavours() {
		if o.XRDs.Value[f.xrd] != nil {
			installed = append(installed, f)
		}
	}
	switch len(installed) {
	case 0:
		claims, namespaced := flavours()[0], flavours()[1]
		return []Finding{inBackups.fail(check, "no XRD of ThreeScaleBackup is installed",
			fmt.Sprintf("%s; for Crossplane 2 without claims, %s and %s instead", claims.install(), namespaced.configuration, namespaced.folder))}, nil
	case 1:
		return []Finding{established(o, installed[0])}, installed
	}
	refused := refusedFlavour(o)
	if refused == nil {
		return []Finding{inBackups.fail(check, "both flavours are installed, and Crossplane serves one of them only, since both define "+BackupCRD,
			fmt.Sprintf("keep one: kubectl describe xrd %s tells which is refused; delete the Configuration of its package (%s); %s that XRD and its Composition", strings.Join(XRDNames(), " "), listPackages, withoutPackages))}, nil
	}
	kept := flavours()[0]
	if refused.xrd == kept.xrd {
		kept = flavours()[1]
	}
	return []Finding{inBackups.fail(check,
		fmt.Sprintf("both flavours are installed: CustomResourceDefinition %s belongs to XRD %s, so Crossplane refuses XRD %s, which defines it too", BackupCRD, kept.xrd, refused.xrd),
		fmt.Sprintf("keep one; to keep the one that works, delete the Configuration of package %s (%s); %s kubectl delete xrd %s, and the Composition of %s",
			refused.configuration, listPackages, withoutPackages, refused.xrd, refused.folder)), established(o, kept)}, []flavour{kept}
}

// BackupCRD is the CustomResourceDefinition that both flavours define: of the claim, or of the composite.
const BackupCRD = "threescalebackups." + v1alpha1.Group

// refusedFlavour returns the flavour that does not own the CRD that both define, else
// the one that Crossplane has not established; nil if that cannot be seen.
func refusedFlavour(o Observed) *flavour {
	both := flavours()
	if crd := o.BackupCRD.Value; crd != nil {
		for _, owner := range crd.GetOwnerReferences() {
			for i, f := range both {
				if owner.Controller != nil && *owner.Controller && owner.Name == f.xrd {
					return &both[1-i]
				}
			}
		}
	}
	for i, f := range both {
		if unmet(o.XRDs.Value[f.xrd], f.conditions...) != "" && unmet(o.XRDs.Value[both[1-i].xrd], both[1-i].conditions...) == "" {
			return &both[i]
		}
	}
	return nil
}

// established checks that Crossplane serves a flavour.
func established(o Observed, f flavour) Finding {
	const check = "XRD"
	if problem := unmet(o.XRDs.Value[f.xrd], f.conditions...); problem != "" {
		return inBackups.fail(check, fmt.Sprintf("XRD %s is not served: %s", f.xrd, problem), "look at what Crossplane says: kubectl describe xrd "+f.xrd)
	}
	what := "namespaced, without claims"
	if len(f.conditions) > 1 {
		what = "with claims"
	}
	return inBackups.ok(check, "XRD %s is served (%s)", f.xrd, what)
}

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
		composite, _, _ := unstructured.NestedStringMap(c.Object, "spec", "compositeTypeRef")
		if composite["kind"] != f.kind || composite["apiVersion"] != v1alpha1.GroupVersion.String() {
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
	installed, _, _ := unstructured.NestedString(found.Object, "spec", "package")
	return inBackups.ok(checkFunction, "Function %q is installed and healthy (package %s)", called, installed)
}
