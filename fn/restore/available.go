package restore

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
func routesMissing(apiManager *unstructured.Unstructured) bool {
	conditions := v1alpha1.ConditionsOf(apiManager)
	if ready := meta.FindStatusCondition(conditions, "RoutesReady"); ready != nil {
		return ready.Status == metav1.ConditionFalse
	}
	return meta.FindStatusCondition(conditions, "Available") != nil && len(notReady(apiManager)) == 0 // before 3scale 2.16
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
func isAvailable(apiManager *unstructured.Unstructured) bool {
	return meta.IsStatusConditionTrue(v1alpha1.ConditionsOf(apiManager), "Available")
}

// operatorSays quotes why the operator does not call the installation available: the conditions that
// Available is made of. An operator before 3scale 2.16 has no such conditions: then it names the
// Deployments that are not ready, or else the Routes that Available waits for
// (controllers/apps/apimanager_status_reconciler.go).
func operatorSays(apiManager *unstructured.Unstructured) string {
	if apiManager == nil {
		return "; it does not exist"
	}
	if status, _ := apiManager.Object["status"].(map[string]any); len(status) == 0 {
		return "; no operator has reconciled it yet; if this lasts, check that the 3scale operator runs and watches this namespace"
	}
	conditions := v1alpha1.ConditionsOf(apiManager)
	var said []string
	parts := []string{"DeploymentsAvailable", "RoutesReady", "SecretsAvailable"}
	if meta.IsStatusConditionFalse(conditions, "Preflights") {
		parts = []string{"Preflights"} // nothing else is reconciled
	}
	for _, part := range parts {
		if condition := meta.FindStatusCondition(conditions, part); condition != nil && condition.Status == metav1.ConditionFalse {
			said = append(said, fmt.Sprintf("%s is false: %s", part, cmp.Or(condition.Message, condition.Reason, "without a reason")))
		}
	}
	switch {
	case len(said) > 0:
		return "; the operator says: " + strings.Join(said, "; ")
	case len(notReady(apiManager)) > 0:
		return "; the operator says that these are not ready: " + strings.Join(notReady(apiManager), ", ")
	case meta.FindStatusCondition(conditions, "Available") == nil:
		return "; its operator sets no condition Available, as those of 3scale 2.10 and earlier never do: check the pods yourself; without spec.kustomizationRef, a restore ends with the commit"
	}
	return "; all Deployments are ready, so the operator waits for its Routes to be admitted: " + strings.Join(threescale.RouteHosts(apiManager), ", ")
}

// notReady lists the Deployments that the operator does not call ready.
func notReady(apiManager *unstructured.Unstructured) []string {
	return append(deployments(apiManager, "starting"), deployments(apiManager, "stopped")...)
}

// deployments is one of the operator's lists of Deployments or DeploymentConfigs.
func deployments(apiManager *unstructured.Unstructured, list string) []string {
	if apiManager == nil {
		return nil
	}
	names, _, _ := unstructured.NestedStringSlice(apiManager.Object, "status", "deployments", list)
	return names
}
