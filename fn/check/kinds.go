package check

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// Versions of Kubernetes.
const (
	oldestKubernetes = "1.29"
	testedKubernetes = "1.37"
)

// Kubernetes checks the version of an API server.
func Kubernetes(serverVersion string) Finding {
	const a, check = area("Kubernetes"), "version"
	found, err := version.ParseGeneric(serverVersion)
	if err != nil {
		return a.unread(check, fmt.Errorf("cannot read the version %q: %w", serverVersion, err))
	}
	if !found.AtLeast(version.MustParseGeneric(oldestKubernetes)) {
		return a.fail(check,
			fmt.Sprintf("Kubernetes %s is too old: the rules in our CRDs and the Jobs' podFailurePolicy need %s", serverVersion, oldestKubernetes),
			fmt.Sprintf("upgrade the cluster to Kubernetes %s or later (%s is tested)", oldestKubernetes, testedKubernetes))
	}
	return a.ok(check, "Kubernetes %s (%s or later is needed, %s is tested)", serverVersion, oldestKubernetes, testedKubernetes)
}

// How to install the kinds.
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

// Kinds returns the kinds of Observed.Served.
func Kinds() []schema.GroupVersionKind {
	return append(Watched(), crossplaneXRD("v1"), crossplaneXRD("v2"))
}

// Watched returns the kinds that the controller watches, and cannot start without.
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

// kinds checks that the API server serves the kinds of 3scale and Flux.
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

// served checks one kind; absent is the state of the finding if it is not served.
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
