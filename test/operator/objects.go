package operator

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const fileStorage = "system-storage"

// reconcileObjects makes what is missing, owns what there is, and stops at the
// first that fails, as the operator does.
func (s *Operator) reconcileObjects(ctx context.Context, apiManager *unstructured.Unstructured) error {
	domain, _, _ := unstructured.NestedString(apiManager.Object, "spec", "wildcardDomain")
	objects := []client.Object{
		&corev1.ServiceAccount{ObjectMeta: s.meta("amp", "system", "")},
		&corev1.ConfigMap{ObjectMeta: s.meta("apicast-environment", "apicast", ""), Data: map[string]string{"APICAST_MANAGEMENT_API": "status"}},
		&corev1.ConfigMap{ObjectMeta: s.meta("system-environment", "system", ""), Data: map[string]string{
			"RAILS_ENV": "production", "THREESCALE_SUPERDOMAIN": domain,
		}},
		// getSystemZyncConfData and its like: only that they are there matters.
		&corev1.ConfigMap{ObjectMeta: s.meta("system", "system", ""), Data: map[string]string{
			"zync.yml":              "production:\n  endpoint: 'http://zync:8080'\n",
			"rolling_updates.yml":   "production: {}\n",
			"service_discovery.yml": "production:\n  enabled: false\n",
		}},
		s.backendRoute(apiManager),
	}
	if !usesBucket(apiManager) {
		objects = append(objects, s.fileStorage(apiManager))
	}
	for _, name := range deploymentNames(apiManager) {
		objects = append(objects, s.deployment(name))
	}
	for _, object := range objects {
		if err := s.own(ctx, apiManager, object); err != nil {
			return err
		}
	}
	return nil
}

// own creates an object, or makes the APIManager the controller owner of the one
// that is there (APIManagerMutator), and changes nothing else of it.
func (s *Operator) own(ctx context.Context, apiManager *unstructured.Unstructured, desired client.Object) error {
	existing, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("cannot copy %T %q", desired, desired.GetName())
	}
	err := s.client.Get(ctx, client.ObjectKeyFromObject(desired), existing)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("cannot get %T %q: %w", desired, desired.GetName(), err)
	}
	object := existing
	if err != nil {
		object = desired
	}
	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("cannot copy %T %q", object, object.GetName())
	}
	if err := controllerutil.SetControllerReference(apiManager, object, s.client.Scheme()); err != nil {
		return fmt.Errorf("cannot own %T %q: %w", object, object.GetName(), err)
	}
	if err == nil {
		return s.patch(ctx, before, object)
	}
	if err := s.client.Create(ctx, object); err != nil {
		return fmt.Errorf("cannot create %T %q: %w", object, object.GetName(), err)
	}
	return nil
}

// backendRoute is the one Route that is the operator's own (component/backend.go,
// ListenerRoute).
func (s *Operator) backendRoute(apiManager *unstructured.Unstructured) *unstructured.Unstructured {
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(routeKind())
	route.SetNamespace(s.options.Namespace)
	route.SetName("backend")
	route.SetLabels(s.meta("backend", "backend", "listener").Labels)
	route.Object["spec"] = map[string]any{
		"host": hosts(apiManager)[0],
		"port": map[string]any{"targetPort": "http"},
		"to":   map[string]any{"kind": "Service", "name": "backend-listener"},
		"tls":  map[string]any{"termination": "edge", "insecureEdgeTerminationPolicy": "Allow"},
	}
	return route
}

// fileStorage is the PVC that the operator makes where there is none.
func (s *Operator) fileStorage(apiManager *unstructured.Unstructured) *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{
		ObjectMeta: s.meta(fileStorage, "system", "app"),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("100Mi")}},
		},
	}
	path := []string{"spec", "system", "fileStorage", "persistentVolumeClaim"}
	if class, found, _ := unstructured.NestedString(apiManager.Object, append(path, "storageClassName")...); found {
		pvc.Spec.StorageClassName = &class
	}
	pvc.Spec.VolumeName, _, _ = unstructured.NestedString(apiManager.Object, append(path, "volumeName")...)
	return pvc
}

func usesBucket(apiManager *unstructured.Unstructured) bool {
	_, found, _ := unstructured.NestedMap(apiManager.Object, "spec", "system", "fileStorage", "simpleStorageService")
	return found
}

// meta is that of an object of a component.
func (s *Operator) meta(name, component, element string) metav1.ObjectMeta {
	labels := map[string]string{"app": "3scale-api-management", "threescale_component": component}
	if element != "" {
		labels["threescale_component_element"] = element
	}
	return metav1.ObjectMeta{Namespace: s.options.Namespace, Name: name, Labels: labels}
}

// patch writes an object if it differs from before. Like the operator's Update,
// it fails if somebody else wrote meanwhile, and the look is taken again.
func (s *Operator) patch(ctx context.Context, before, object client.Object) error {
	if unchanged(before, object) {
		return nil
	}
	if err := s.client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("cannot update %T %q: %w", object, object.GetName(), err)
	}
	return nil
}

func unchanged(before, after client.Object) bool { return equality.Semantic.DeepEqual(before, after) }

func routeKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "route.openshift.io", Version: "v1", Kind: "Route"}
}
