package restore

import (
	"cmp"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// checkKustomization returns why the Kustomization would never apply the overlay; nil if it would.
func checkKustomization(o *State) *Problem {
	r := o.Restore
	if r.Spec.KustomizationRef == nil {
		return nil
	}
	name := qualified(r, *r.Spec.KustomizationRef)
	if o.NoCrossNamespaceRefs && crossesNamespace(r, *r.Spec.KustomizationRef) {
		return Stalled(v1alpha1.ReasonAccessDenied, "Kustomization %q is of another namespace, and the controller runs with --no-cross-namespace-refs; name one of namespace %q", name, r.Namespace)
	}
	k, overlay := o.Kustomization, overlayFolder(r)
	switch {
	case crossesNamespace(r, *r.Spec.KustomizationRef) && (k == nil || !fromRepository(o) || !appliesOverlay(r, k)):
		// A Kustomization of another namespace is described only if it applies what this restore may
		// write.
		return Failing(v1alpha1.ReasonKustomizationNotFound, "Kustomization %q does not exist, or does not apply ./%s of GitRepository %q to namespace %q; create it, or correct spec.kustomizationRef", name, overlay, repositoryName(r), r.Namespace)
	case k == nil:
		return Failing(v1alpha1.ReasonKustomizationNotFound, "Kustomization %q does not exist; create it, or correct spec.kustomizationRef", name)
	case !fromRepository(o):
		return Stalled(v1alpha1.ReasonKustomizationUnusable, "Kustomization %q applies %s and not GitRepository %q; correct its spec.sourceRef, or that of this restore", name, sourceOf(k), repositoryName(r))
	case !below(overlay, cleanPath(k.Spec.Path)):
		return Stalled(v1alpha1.ReasonKustomizationUnusable, "Kustomization %q applies path %q, which does not hold %q; set its spec.path to ./%s", name, k.Spec.Path, overlay, overlay)
	case k.Spec.Decryption == nil:
		return Stalled(v1alpha1.ReasonKustomizationUnusable, "Kustomization %q does not decrypt; set its spec.decryption to provider sops and the Secret of the age identity", name)
	case k.Spec.TargetNamespace != "" && k.Spec.TargetNamespace != r.Namespace:
		return Stalled(v1alpha1.ReasonKustomizationUnusable, "Kustomization %q applies everything to namespace %q (spec.targetNamespace), and not to %q; correct that field, or spec.kustomizationRef", name, k.Spec.TargetNamespace, r.Namespace)
	case k.Spec.Suspend:
		return Failing(v1alpha1.ReasonKustomizationUnusable, "Kustomization %q is suspended; resume it: flux resume kustomization %s -n %s", name, k.Name, k.Namespace)
	}
	return nil
}

// appliesOverlay reports whether a Kustomization applies the overlay to the restore's namespace.
func appliesOverlay(r *v1alpha1.ThreeScaleRestore, k *kustomizev1.Kustomization) bool {
	return below(overlayFolder(r), cleanPath(k.Spec.Path)) && (k.Spec.TargetNamespace == "" || k.Spec.TargetNamespace == r.Namespace)
}

func sourceOf(k *kustomizev1.Kustomization) string {
	return fmt.Sprintf("%s %q", k.Spec.SourceRef.Kind, kustomizationSource(k))
}

func kustomizationSource(k *kustomizev1.Kustomization) string {
	return cmp.Or(k.Spec.SourceRef.Namespace, k.Namespace) + "/" + k.Spec.SourceRef.Name
}

func fromRepository(o *State) bool {
	return o.Kustomization.Spec.SourceRef.Kind == sourcev1.GitRepositoryKind && kustomizationSource(o.Kustomization) == repositoryName(o.Restore)
}

// attempted reports whether Flux has tried to apply the commit or a later revision. A revision with
// another digest is later if source-controller fetched it after the push: it has handled a request
// that was made after the push, and is not working on another. The revision from before the push is
// not later, for example if the push went to a branch that is yet to be merged.
func attempted(o *State) bool {
	revision, artifact := o.Kustomization.Status.LastAttemptedRevision, o.Repository.Status.Artifact
	if strings.HasSuffix(revision, ":"+o.Restore.Status.LastPushCommit) {
		return true
	}
	return artifact != nil && revision != "" && revision == artifact.Revision && revision != o.Restore.Status.RevisionBefore &&
		requestedAfterPush(o, o.Repository.Status.LastHandledReconcileAt) &&
		meta.IsStatusConditionTrue(o.Repository.Status.Conditions, fluxmeta.ReadyCondition) &&
		meta.FindStatusCondition(o.Repository.Status.Conditions, fluxmeta.ReconcilingCondition) == nil
}

// inInventory reports whether the Kustomization has applied all of the objects.
func inInventory(k *kustomizev1.Kustomization, namespace string, objects []v1alpha1.ObjectReference) bool {
	if k.Status.Inventory == nil {
		return false
	}
	applied := make(map[string]bool, len(k.Status.Inventory.Entries))
	for _, entry := range k.Status.Inventory.Entries {
		applied[entry.ID] = true
	}
	for _, object := range objects {
		if !applied[fmt.Sprintf("%s_%s_%s_%s", namespace, object.Name, groupOf(object.Kind), object.Kind)] {
			return false
		}
	}
	return true
}

func groupOf(kind string) string {
	if kind == threescale.APIManagerKind {
		return threescale.APIManagerGroup
	}
	return ""
}
