package operator

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// deploymentStatus is the field deployments of the status, and which Deployments
// are not available (deploymentsAvailableCondition). Those without replicas count
// as ready: where they have pods, they are.
func (s *Operator) deploymentStatus(ctx context.Context, apiManager *unstructured.Unstructured) (map[string]any, []string, error) {
	var ready, starting []any
	var notAvailable []string
	for _, name := range deploymentNames(apiManager) {
		deployment := &appsv1.Deployment{}
		err := s.client.Get(ctx, types.NamespacedName{Namespace: s.options.Namespace, Name: name}, deployment)
		if apierrors.IsNotFound(err) {
			notAvailable = append(notAvailable, name)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("cannot get Deployment %q: %w", name, err)
		}
		if isAvailable(deployment) {
			ready = append(ready, name)
			continue
		}
		starting, notAvailable = append(starting, name), append(notAvailable, name)
	}
	lists := map[string]any{}
	for key, names := range map[string][]any{"ready": ready, "starting": starting} {
		if len(names) > 0 {
			lists[key] = names
		}
	}
	return lists, notAvailable, nil
}

func isAvailable(deployment *appsv1.Deployment) bool {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentAvailable && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// routesNotReady are the hosts that no admitted Route has (routesReadyCondition).
func (s *Operator) routesNotReady(ctx context.Context, apiManager *unstructured.Unstructured) ([]string, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(routeKind().GroupVersion().WithKind("RouteList"))
	if err := s.client.List(ctx, list, client.InNamespace(s.options.Namespace)); err != nil {
		return nil, fmt.Errorf("cannot list Routes: %w", err)
	}
	admitted := map[string]bool{}
	for i := range list.Items {
		host, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "host")
		admitted[host] = admitted[host] || isAdmitted(&list.Items[i])
	}
	var notReady []string
	for _, host := range hosts(apiManager) {
		if !admitted[host] {
			notReady = append(notReady, host)
		}
	}
	return notReady, nil
}

// hosts are those that are waited for (apimanagerExpectedRouteHosts).
func hosts(apiManager *unstructured.Unstructured) []string {
	domain, _, _ := unstructured.NestedString(apiManager.Object, "spec", "wildcardDomain")
	tenant, _, _ := unstructured.NestedString(apiManager.Object, "spec", "tenantName")
	names := []string{"backend-" + tenant}
	if zyncEnabled(apiManager) {
		names = append(names, "api-"+tenant+"-apicast-production", "api-"+tenant+"-apicast-staging", "master", tenant, tenant+"-admin")
	}
	for i := range names {
		names[i] += "." + domain
	}
	return names
}

func isAdmitted(route *unstructured.Unstructured) bool {
	ingresses, _, _ := unstructured.NestedSlice(route.Object, "status", "ingress")
	for _, entry := range ingresses {
		ingress, _ := entry.(map[string]any)
		if condition, found := findCondition(ingress, "Admitted"); !found || condition["status"] != "True" {
			return false
		}
	}
	return len(ingresses) > 0
}

// missingSecrets are those that the APIManager refers to (watchedSecretsExist).
func (s *Operator) missingSecrets(ctx context.Context, apiManager *unstructured.Unstructured) ([]string, error) {
	var missing []string
	for _, name := range secretRefs(apiManager.Object["spec"]) {
		err := s.client.Get(ctx, types.NamespacedName{Namespace: s.options.Namespace, Name: name}, &corev1.Secret{})
		if apierrors.IsNotFound(err) {
			missing = append(missing, name)
		} else if err != nil {
			return nil, fmt.Errorf("cannot get Secret %q: %w", name, err)
		}
	}
	return missing, nil
}
