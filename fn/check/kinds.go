package check

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// Where others' kinds come from.
const (
	installFlux     = "install Flux (flux install), with source-controller and kustomize-controller; its CRDs must serve v1"
	installOperator = "install the operator of 3scale, or apply its CRD apimanagers.apps.3scale.net"
	installRestore  = "kubectl apply --server-side -k manifests/crd"
)

func crossplaneXRD(version string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apiextensions.crossplane.io", Version: version, Kind: "CompositeResourceDefinition"}
}

func fluxGitRepository() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository"}
}

func fluxKustomization() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"}
}

func restoreKind() schema.GroupVersionKind {
	return v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore)
}

// Kinds are those that Observed.Served tells of.
func Kinds() []schema.GroupVersionKind {
	return append(Watched(), crossplaneXRD("v1"), crossplaneXRD("v2"))
}

// Watched are the kinds of others, and our own, that the controller watches: it
// cannot start without them.
func Watched() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{restoreKind(), fluxGitRepository(), fluxKustomization(), threescale.APIManagerGVK()}
}

// install says how to get a kind.
func install(kind schema.GroupVersionKind) string {
	switch kind {
	case restoreKind():
		return installRestore
	case threescale.APIManagerGVK():
		return installOperator
	default:
		return installFlux
	}
}

func named(kind schema.GroupVersionKind) string {
	return fmt.Sprintf("%s (%s)", kind.Kind, kind.GroupVersion())
}

// kinds checks that what others define is there.
func kinds(o Observed) []Finding {
	findings := []Finding{served(o, "3scale", threescale.APIManagerGVK(), Failed,
		"Crossplane waits for the kind instead of calling the function, so that a ThreeScaleBackup shows nothing")}
	// Backups do without Flux.
	state, why := Warning, "only restores need it"
	if o.Controller.Deployment.Value != nil {
		state, why = Failed, "the controller of restores does not start without it"
	}
	for _, kind := range []schema.GroupVersionKind{fluxGitRepository(), fluxKustomization()} {
		findings = append(findings, served(o, "Flux", kind, state, why))
	}
	return findings
}

// served checks one kind, whose absence is of the given state.
func served(o Observed, a area, kind schema.GroupVersionKind, absent State, why string) Finding {
	found := o.Served[kind]
	switch {
	case found.Err != nil:
		return a.unread(kind.Kind, found.Err)
	case found.Value:
		return a.ok(kind.Kind, "%s is served", named(kind))
	}
	message := named(kind) + " is not served"
	if why != "" {
		message += ": " + why
	}
	return Finding{Area: string(a), Check: kind.Kind, State: absent, Message: message, Do: install(kind)}
}
