package porta

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A route is one that Zync makes for a record of System.
type route struct {
	// name is the beginning of the Route's.
	name, host string
	// service and port are where it leads to.
	service, port string
	// record is what it belongs to in Zync's database, such as Provider/2.
	record string
	labels map[string]string
}

// routes are those that Zync makes for a new installation, of the domain that is
// in the database (build_provider_routes and build_proxy_routes): one for the
// master account, two for the tenant, two for its one API. Their hosts are those
// that the operator expects (controllers/apps/apimanager_status_reconciler.go,
// defaultRoutesReady).
func (d *Database) routes() []route {
	d.mu.Lock()
	defer d.mu.Unlock()
	provider := func(id string) map[string]string {
		return map[string]string{"3scale.net/tenant_id": id, "3scale.net/provider_id": id, "zync.3scale.net/ingress": "provider"}
	}
	proxy := map[string]string{"3scale.net/tenant_id": "2", "3scale.net/service_id": "2", "zync.3scale.net/ingress": "proxy"}
	host := func(name string) string { return name + "." + d.domain }
	return []route{
		{"zync-3scale-master-", host(d.master), "system-master", "http", "Provider/1", provider("1")},
		{"zync-3scale-provider-", host(d.tenant), "system-developer", "http", "Provider/2", provider("2")},
		{"zync-3scale-provider-", host(d.tenant + "-admin"), "system-provider", "http", "Provider/2", provider("2")},
		{"zync-3scale-api-", host("api-" + d.tenant + "-apicast-production"), "apicast-production", "gateway", "Proxy/1", proxy},
		{"zync-3scale-api-", host("api-" + d.tenant + "-apicast-staging"), "apicast-staging", "gateway", "Proxy/1", proxy},
	}
}

// makeRoutes makes the Routes that are missing, and changes those that there are
// (persist_resources).
func (p *Porta) makeRoutes(ctx context.Context, namespace string, d *Database) error {
	owner, err := p.workload(ctx, namespace, zyncQue)
	if err != nil {
		return err
	}
	for _, r := range d.routes() {
		if err := p.makeRoute(ctx, r.object(owner)); err != nil {
			return err
		}
	}
	return nil
}

// makeRoute finds a Route by its labels and not by its name, as Zync does.
func (p *Porta) makeRoute(ctx context.Context, object *unstructured.Unstructured) error {
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(routeKind().GroupVersion().WithKind("RouteList"))
	selector := client.MatchingLabels{}
	for _, key := range []string{"3scale.net/created-by", "3scale.net/tenant_id", "zync.3scale.net/record", "zync.3scale.net/route-to"} {
		selector[key] = object.GetLabels()[key]
	}
	if err := p.reader.List(ctx, found, client.InNamespace(object.GetNamespace()), selector); err != nil {
		return fmt.Errorf("cannot list Routes: %w", err)
	}
	if len(found.Items) == 1 {
		patch, err := json.Marshal(map[string]any{"metadata": object.Object["metadata"], "spec": object.Object["spec"]})
		if err != nil {
			return fmt.Errorf("cannot encode Route: %w", err)
		}
		if err := p.client.Patch(ctx, &found.Items[0], client.RawPatch(types.MergePatchType, patch)); err != nil {
			return fmt.Errorf("cannot change Route %q: %w", found.Items[0].GetName(), err)
		}
		return nil
	}
	for i := range found.Items {
		if err := p.client.Delete(ctx, &found.Items[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("cannot delete Route %q: %w", found.Items[i].GetName(), err)
		}
	}
	if err := p.client.Create(ctx, object); err != nil {
		return fmt.Errorf("cannot create Route for %v: %w", object.GetAnnotations(), err)
	}
	return nil
}

// object is the Route that Zync writes (build_routes): named by the API server,
// with the labels of zync-que, which owns it. Zync looks for who owns its pod, and
// for who owns that, as far as its rights go (owner_reference_root): they end
// before the APIManager (operator, component/zync.go, QueRole).
func (r route) object(owner *unstructured.Unstructured) *unstructured.Unstructured {
	object := newObject(routeKind())
	object.SetNamespace(owner.GetNamespace())
	object.SetGenerateName(r.name)
	labels := map[string]string{}
	maps.Copy(labels, owner.GetLabels())
	maps.Copy(labels, r.labels)
	labels["3scale.net/created-by"] = "zync"
	labels["zync.3scale.net/record"] = base64.RawURLEncoding.EncodeToString([]byte("gid://zync/" + r.record))
	labels["zync.3scale.net/route-to"] = r.service
	object.SetLabels(labels)
	object.SetAnnotations(map[string]string{"zync.3scale.net/gid": "gid://zync/" + r.record, "zync.3scale.net/host": r.host})
	object.Object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{ //nolint:forcetypeassert // Set above.
		"apiVersion": owner.GetAPIVersion(), "kind": owner.GetKind(), "name": owner.GetName(), "uid": string(owner.GetUID()),
	}}
	object.Object["spec"] = map[string]any{
		"host": r.host,
		"port": map[string]any{"targetPort": r.port},
		"to":   map[string]any{"kind": "Service", "name": r.service},
		"tls":  map[string]any{"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"},
	}
	return object
}

func routeKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "route.openshift.io", Version: "v1", Kind: "Route"}
}
