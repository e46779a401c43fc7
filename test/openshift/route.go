package openshift

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// reconcileRoute writes what the router does about each Route that it serves: an
// ingress with the condition Admitted (openshift/router,
// pkg/router/controller/status.go, recordIngressCondition). A host that it does
// not admit is one that a Route of another namespace claimed before
// (HandleRoute in host_admitter.go and unique_host.go, HostAlreadyClaimed). That
// it finds by itself there, and is not played: every test may use the same domain.
func (o *OpenShift) reconcileRoute(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	route := newObject(routeKind())
	if err := o.client.Get(ctx, request.NamespacedName, route); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	host, _, _ := unstructured.NestedString(route.Object, "spec", "host")
	admitted, reason := corev1.ConditionTrue, ""
	if o.counts(o.refused, route.GetNamespace(), host) {
		admitted, reason = corev1.ConditionFalse, "HostAlreadyClaimed"
	}
	if hasAdmitted(route, host, admitted) {
		return reconcile.Result{}, nil
	}
	condition := map[string]any{"type": "Admitted", "status": string(admitted), "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}
	if reason != "" {
		condition["reason"], condition["message"] = reason, "a route in another namespace holds "+host
	}
	before := route.DeepCopy()
	route.Object["status"] = map[string]any{"ingress": []any{map[string]any{
		"host": host, "routerName": "default", "wildcardPolicy": "None", "conditions": []any{condition},
	}}}
	if err := o.client.Status().Patch(ctx, route, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("cannot write status of Route %q: %w", route.GetName(), err)
	}
	return reconcile.Result{}, nil
}

// hasAdmitted reports whether the status says so already.
func hasAdmitted(route *unstructured.Unstructured, host string, want corev1.ConditionStatus) bool {
	ingresses, _, _ := unstructured.NestedSlice(route.Object, "status", "ingress")
	if len(ingresses) != 1 {
		return false
	}
	ingress, _ := ingresses[0].(map[string]any)
	conditions, _ := ingress["conditions"].([]any)
	if len(conditions) != 1 {
		return false
	}
	condition, _ := conditions[0].(map[string]any)
	return ingress["host"] == host && condition["status"] == string(want)
}
