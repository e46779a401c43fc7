package restore

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// available waits until the operator says that the installation is available.
func available(o *State) Decision {
	if o.Restore.Spec.KustomizationRef == nil || isAvailable(o.APIManager) {
		return nil
	}
	d := inTime(o, v1alpha1.ReasonNotAvailable, wait("Waiting for APIManager %q to be available%s", APIManagerOf(o.Restore.Status.Inventory), operatorSays(o.APIManager)))
	if waits, ok := d.(Wait); ok {
		return resyncAgain(o, waits)
	}
	return d
}

// routesMissing reports whether Routes are what Available waits for.
func routesMissing(apiManager Object) bool {
	if ready := conditionOf(apiManager, "RoutesReady"); ready != nil {
		return text(ready, "status") == "False"
	}
	return conditionOf(apiManager, "Available") != nil && len(notReady(apiManager)) == 0 // before 3scale 2.16
}

// APIManagerOf returns the name of the APIManager in an inventory; "" without one.
func APIManagerOf(inventory []v1alpha1.ObjectReference) string {
	for _, object := range inventory {
		if object.Kind == threescale.APIManagerKind {
			return object.Name
		}
	}
	return ""
}

// isAvailable reports whether the operator's condition Available is true. Without the condition, the
// installation is not available.
func isAvailable(apiManager Object) bool {
	return text(conditionOf(apiManager, "Available"), "status") == "True"
}

// conditionOf returns a condition of an APIManager; nil without one.
func conditionOf(apiManager Object, kind string) Object {
	conditions, _ := child(apiManager, "status")["conditions"].([]any)
	for _, entry := range conditions {
		if condition, ok := entry.(Object); ok && condition["type"] == kind {
			return condition
		}
	}
	return nil
}

// operatorSays quotes why the operator does not call the installation available: the conditions that
// Available is made of. An operator before 3scale 2.16 has no such conditions: then it names the
// Deployments that are not ready, or else the Routes that Available waits for
// (controllers/apps/apimanager_status_reconciler.go).
func operatorSays(apiManager Object) string {
	switch {
	case apiManager == nil:
		return "; it does not exist"
	case len(child(apiManager, "status")) == 0:
		return "; no operator has reconciled it yet; if this lasts, check that the 3scale operator runs and watches this namespace"
	}
	var said []string
	parts := []string{"DeploymentsAvailable", "RoutesReady", "SecretsAvailable"}
	if text(conditionOf(apiManager, "Preflights"), "status") == "False" {
		parts = []string{"Preflights"} // nothing else is reconciled
	}
	for _, kind := range parts {
		condition := conditionOf(apiManager, kind)
		if text(condition, "status") != "False" {
			continue
		}
		said = append(said, fmt.Sprintf("%s is false: %s", kind, cmp.Or(text(condition, "message"), text(condition, "reason"), "without a reason")))
	}
	switch {
	case len(said) > 0:
		return "; the operator says: " + strings.Join(said, "; ")
	case len(notReady(apiManager)) > 0:
		return "; the operator says that these are not ready: " + strings.Join(notReady(apiManager), ", ")
	case conditionOf(apiManager, "Available") == nil:
		return "; its operator sets no condition Available, as those of 3scale 2.10 and earlier never do: check the pods yourself; without spec.kustomizationRef, a restore ends with the commit"
	}
	return "; all Deployments are ready, so the operator waits for its Routes to be admitted: " + strings.Join(threescale.RouteHosts(apiManager), ", ")
}

// notReady lists the Deployments that the operator does not call ready.
func notReady(apiManager Object) []string {
	return append(deployments(apiManager, "starting"), deployments(apiManager, "stopped")...)
}

// deployments is one of the operator's lists of Deployments or DeploymentConfigs.
func deployments(apiManager Object, list string) []string {
	names, _, _ := unstructured.NestedStringSlice(apiManager, "status", "deployments", list)
	return names
}
