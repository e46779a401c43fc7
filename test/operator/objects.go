package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// reconcileObjects does to each object what its reconciler does, and stops at the
// first that fails, as the operator does.
func (s *Operator) reconcileObjects(ctx context.Context, apiManager *unstructured.Unstructured) error {
	for _, secret := range s.secrets(apiManager) {
		if err := s.addKeys(ctx, secret); err != nil {
			return err
		}
	}
	for _, configMap := range s.configMaps(apiManager) {
		if err := s.own(ctx, apiManager, configMap, rewrite); err != nil {
			return err
		}
	}
	if usesBucket(apiManager) {
		return nil
	}
	return s.own(ctx, apiManager, s.fileStorage(apiManager), nil)
}

// addKeys creates a Secret, or adds the keys that it lacks and changes none
// (DefaultsOnlySecretMutator). It owns no Secret.
func (s *Operator) addKeys(ctx context.Context, desired *corev1.Secret) error {
	existing := &corev1.Secret{}
	if err := s.client.Get(ctx, client.ObjectKeyFromObject(desired), existing); err != nil {
		return s.create(ctx, desired, err)
	}
	before := existing.DeepCopy()
	for key, value := range desired.Data {
		if _, found := existing.Data[key]; !found {
			if existing.Data == nil {
				existing.Data = map[string][]byte{}
			}
			existing.Data[key] = value
		}
	}
	return s.patch(ctx, before, existing)
}

// own creates an object, or makes the APIManager the controller owner of the one
// that is there (APIManagerMutator); mutate, if there is one, does the rest.
func (s *Operator) own(ctx context.Context, apiManager *unstructured.Unstructured, desired client.Object, mutate func(existing, desired client.Object)) error {
	existing, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("cannot copy %T %q", desired, desired.GetName())
	}
	if err := s.client.Get(ctx, client.ObjectKeyFromObject(desired), existing); err != nil {
		if err := controllerutil.SetControllerReference(apiManager, desired, s.client.Scheme()); err != nil {
			return fmt.Errorf("cannot own %T %q: %w", desired, desired.GetName(), err)
		}
		return s.create(ctx, desired, err)
	}
	before, ok := existing.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("cannot copy %T %q", existing, existing.GetName())
	}
	if err := controllerutil.SetControllerReference(apiManager, existing, s.client.Scheme()); err != nil {
		return fmt.Errorf("cannot own %T %q: %w", existing, existing.GetName(), err)
	}
	if mutate != nil {
		mutate(existing, desired)
	}
	return s.patch(ctx, before, existing)
}

// rewrite sets the keys of apicast-environment that follow from the APIManager
// (ApicastEnvCMMutator). Other ConfigMaps are created only.
func rewrite(existing, desired client.Object) {
	have, ok := existing.(*corev1.ConfigMap)
	want, isToo := desired.(*corev1.ConfigMap)
	if !ok || !isToo || have.Name != apicastEnvironment {
		return
	}
	if have.Data == nil {
		have.Data = map[string]string{}
	}
	maps.Copy(have.Data, want.Data)
}

// missing names what the pods of the installation would wait for.
func (s *Operator) missing(ctx context.Context, apiManager *unstructured.Unstructured) ([]string, error) {
	needed := map[string][]string{ // The user's Secrets, and the keys that are read.
		"system-database": {"URL"},
		"system-redis":    {"URL"},
		"backend-redis":   {"REDIS_STORAGE_URL", "REDIS_QUEUES_URL"},
		"zync":            {"DATABASE_URL"},
	}
	for _, name := range secretRefs(apiManager.Object["spec"]) {
		needed[name] = nil
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		secret := &corev1.Secret{}
		err := s.client.Get(ctx, client.ObjectKey{Namespace: s.options.Namespace, Name: name}, secret)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("cannot get Secret %q: %w", name, err)
		}
		if err != nil {
			missing = append(missing, "Secret "+name)
			continue
		}
		for _, key := range needed[name] {
			if len(secret.Data[key]) == 0 {
				missing = append(missing, "key "+key+" of Secret "+name)
			}
		}
	}
	return missing, nil
}

// createSidekiq creates the pod in which a restore runs rake.
func (s *Operator) createSidekiq(ctx context.Context, apiManager *unstructured.Unstructured) error {
	pod := &corev1.Pod{ObjectMeta: s.meta("system-sidekiq", "system", "sidekiq"), Spec: *s.options.Sidekiq.DeepCopy()}
	pod.Labels["deployment"] = "system-sidekiq"
	if err := controllerutil.SetControllerReference(apiManager, pod, s.client.Scheme()); err != nil {
		return fmt.Errorf("cannot own pod %q: %w", pod.Name, err)
	}
	return s.create(ctx, pod, s.client.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{}))
}

// configMaps returns those that the operator makes, with the keys that it makes
// sure of.
func (s *Operator) configMaps(apiManager *unstructured.Unstructured) []*corev1.ConfigMap {
	management, _, _ := unstructured.NestedString(apiManager.Object, "spec", "apicast", "managementAPI")
	verify, _, _ := unstructured.NestedBool(apiManager.Object, "spec", "apicast", "openSSLVerify")
	codes, _, _ := unstructured.NestedBool(apiManager.Object, "spec", "apicast", "responseCodes")
	domain, _, _ := unstructured.NestedString(apiManager.Object, "spec", "wildcardDomain")
	return []*corev1.ConfigMap{
		{ObjectMeta: s.meta(apicastEnvironment, "apicast", ""), Data: map[string]string{
			"APICAST_MANAGEMENT_API": management,
			"OPENSSL_VERIFY":         strconv.FormatBool(verify),
			"APICAST_RESPONSE_CODES": strconv.FormatBool(codes),
		}},
		{ObjectMeta: s.meta("backend-environment", "backend", ""), Data: map[string]string{"RACK_ENV": "production"}},
		{ObjectMeta: s.meta("system-environment", "system", ""), Data: map[string]string{
			"FORCE_SSL": "true", "RAILS_ENV": "production", "THREESCALE_SUPERDOMAIN": domain,
		}},
	}
}

// fileStorage is the claim that the operator makes where there is none.
func (s *Operator) fileStorage(apiManager *unstructured.Unstructured) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: s.meta("system-storage", "system", "app"),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("100Mi")}},
		},
	}
	if class, found, _ := unstructured.NestedString(apiManager.Object, "spec", "system", "fileStorage", "persistentVolumeClaim", "storageClassName"); found {
		claim.Spec.StorageClassName = &class
	}
	return claim
}

func usesBucket(apiManager *unstructured.Unstructured) bool {
	_, found, err := unstructured.NestedMap(apiManager.Object, "spec", "system", "fileStorage", "simpleStorageService")
	return found && err == nil
}

func (s *Operator) meta(name, component, element string) metav1.ObjectMeta {
	labels := map[string]string{"app": "3scale-api-management", "threescale_component": component}
	if element != "" {
		labels["threescale_component_element"] = element
	}
	return metav1.ObjectMeta{Namespace: s.options.Namespace, Name: name, Labels: labels}
}

// create creates what was looked for and not found; err is what the look-up
// said.
func (s *Operator) create(ctx context.Context, object client.Object, err error) error {
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("cannot get %T %q: %w", object, object.GetName(), err)
	}
	if err := s.client.Create(ctx, object); err != nil {
		return fmt.Errorf("cannot create %T %q: %w", object, object.GetName(), err)
	}
	return nil
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
