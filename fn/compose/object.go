package compose

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/specs"
)

// Each object is read once, field by field: the converter of apimachinery would
// take a Job's whole template through reflection, at each call. What does not have
// its type counts as absent.

func (o Object) text(path ...string) string {
	s, _, _ := unstructured.NestedString(o, path...)
	return s
}

func (o Object) object(path ...string) Object {
	m, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	child, _ := m.(map[string]any)
	return child
}

// objects returns the entries of a list that are objects themselves.
func (o Object) objects(path ...string) []Object {
	list, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	entries, _ := list.([]any)
	var out []Object
	for _, entry := range entries {
		if child, ok := entry.(map[string]any); ok {
			out = append(out, child)
		}
	}
	return out
}

// texts are the values of a map that are texts.
func (o Object) texts() map[string]string {
	if len(o) == 0 {
		return nil
	}
	out := make(map[string]string, len(o))
	for key, value := range o {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

func (o Object) name() string            { return o.text("metadata", "name") }
func (o Object) uid() types.UID          { return types.UID(o.text("metadata", "uid")) }
func (o Object) label(key string) string { return o.text("metadata", "labels", key) }
func (o Object) annotation(key string) string {
	return o.text("metadata", "annotations", key)
}

func (o Object) time(path ...string) metav1.Time {
	t, err := time.Parse(time.RFC3339, o.text(path...))
	if err != nil {
		return metav1.Time{}
	}
	return metav1.Time{Time: t.UTC()}
}

func (o Object) meta() metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:              o.name(),
		Namespace:         o.text("metadata", "namespace"),
		UID:               o.uid(),
		CreationTimestamp: o.time("metadata", "creationTimestamp"),
		Labels:            o.object("metadata", "labels").texts(),
		Annotations:       o.object("metadata", "annotations").texts(),
	}
	if o.text("metadata", "deletionTimestamp") != "" {
		meta.DeletionTimestamp = new(o.time("metadata", "deletionTimestamp"))
	}
	for _, owner := range o.objects("metadata", "ownerReferences") {
		controller, _ := owner["controller"].(bool)
		meta.OwnerReferences = append(meta.OwnerReferences, metav1.OwnerReference{
			Kind: owner.text("kind"), Name: owner.text("name"), UID: types.UID(owner.text("uid")), Controller: &controller,
		})
	}
	return meta
}

func (o Object) accessModes() []corev1.PersistentVolumeAccessMode {
	list, _, _ := unstructured.NestedStringSlice(o, "spec", "accessModes")
	var modes []corev1.PersistentVolumeAccessMode
	for _, mode := range list {
		modes = append(modes, corev1.PersistentVolumeAccessMode(mode))
	}
	return modes
}

// storage reads a list of resources of which only storage counts.
func (o Object) storage(path ...string) corev1.ResourceList {
	q, err := resource.ParseQuantity(o.object(path...).text("storage"))
	if err != nil {
		return nil
	}
	return corev1.ResourceList{corev1.ResourceStorage: q}
}

// pvcOf reads a PersistentVolumeClaim; nil of none.
func pvcOf(o Object) *corev1.PersistentVolumeClaim {
	if o == nil {
		return nil
	}
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: o.meta()}
	pvc.Spec.AccessModes = o.accessModes()
	pvc.Spec.Resources.Requests = o.storage("spec", "resources", "requests")
	pvc.Spec.VolumeName = o.text("spec", "volumeName")
	if class, ok := o.object("spec")["storageClassName"].(string); ok {
		pvc.Spec.StorageClassName = &class
	}
	pvc.Status.Phase = corev1.PersistentVolumeClaimPhase(o.text("status", "phase"))
	pvc.Status.Capacity = o.storage("status", "capacity")
	return pvc
}

// pvOf reads a PersistentVolume; nil of none.
func pvOf(o Object) *corev1.PersistentVolume {
	if o == nil {
		return nil
	}
	pv := &corev1.PersistentVolume{ObjectMeta: o.meta()}
	pv.Spec.AccessModes = o.accessModes()
	pv.Spec.Capacity = o.storage("spec", "capacity")
	pv.Spec.StorageClassName = o.text("spec", "storageClassName")
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimPolicy(o.text("spec", "persistentVolumeReclaimPolicy"))
	if ref := o.object("spec", "claimRef"); ref != nil {
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: ref.text("namespace"), Name: ref.text("name"), UID: types.UID(ref.text("uid"))}
	}
	pv.Status.Phase = corev1.PersistentVolumePhase(o.text("status", "phase"))
	return pv
}

func classOf(o Object) storagev1.StorageClass {
	policy := corev1.PersistentVolumeReclaimPolicy(o.text("reclaimPolicy"))
	expands, _ := o["allowVolumeExpansion"].(bool)
	return storagev1.StorageClass{ObjectMeta: o.meta(), ReclaimPolicy: &policy, AllowVolumeExpansion: &expands}
}

func namespaceOf(o Object) *corev1.Namespace {
	if o == nil {
		return nil
	}
	return &corev1.Namespace{ObjectMeta: o.meta()}
}

func reportOf(o Object) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: o.meta(), Data: o.object("data").texts()}
}

func roleOf(o Object) *rbacv1.Role {
	if o == nil {
		return nil
	}
	role := &rbacv1.Role{}
	for _, rule := range o.objects("rules") {
		names, _, _ := unstructured.NestedStringSlice(rule, "resourceNames")
		role.Rules = append(role.Rules, rbacv1.PolicyRule{ResourceNames: names})
	}
	return role
}

// secretOf reads a Secret of a version: its own, or that of the source of a copy.
func secretOf(o Object, resourceVersion string) *facts.Secret {
	return &facts.Secret{
		ResourceVersion: resourceVersion,
		Type:            corev1.SecretType(o.text("type")),
		Encoded:         o.object("data"),
	}
}

func jobOf(o Object) *facts.Job {
	j := &facts.Job{Kept: keptJob(o)}
	j.ObjectMeta = o.meta()
	for _, c := range o.objects("status", "conditions") {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{
			Type: batchv1.JobConditionType(c.text("type")), Status: corev1.ConditionStatus(c.text("status")),
			LastTransitionTime: c.time("lastTransitionTime"), Reason: c.text("reason"), Message: c.text("message"),
		})
	}
	pod := o.object("spec", "template", "spec")
	for _, container := range pod.objects("containers") {
		args, _, _ := unstructured.NestedStringSlice(container, "args")
		j.Retains = j.Retains || slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--keep-") })
	}
	for _, volume := range pod.objects("volumes") {
		if volume.text("name") == specs.VolumeBackup {
			j.PVCName = max(j.PVCName, volume.text("persistentVolumeClaim", "claimName"))
		}
	}
	return j
}

// keptJob emits an observed Job as it is. Of its spec only what specs.Job sets: the
// rest belongs to the API server and to controllers.
func keptJob(observed Object) *unstructured.Unstructured {
	spec := map[string]any{}
	for _, field := range [...]string{"activeDeadlineSeconds", "backoffLimit", "podFailurePolicy", "template"} {
		if value, ok := observed.object("spec")[field]; ok {
			spec[field] = value
		}
	}
	if template := observed.object("spec", "template"); template != nil {
		spec["template"] = map[string]any{
			"metadata": map[string]any{"labels": own(template.object("metadata", "labels"))},
			"spec":     map[string]any(template.object("spec")),
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1",
		"kind":       "Job",
		"metadata": map[string]any{
			"name":      observed.name(),
			"namespace": observed.text("metadata", "namespace"),
			"labels":    own(observed.object("metadata", "labels")),
		},
		"spec": spec,
	}}
}

// keptObject emits an object as it exists, less what is the server's or others':
// core would delete it if it were left out.
func keptObject(object Object) runtime.Object {
	if object.text("kind") == "Job" {
		return keptJob(object)
	}
	kept := map[string]any{"metadata": map[string]any{
		"name":        object.name(),
		"namespace":   object.text("metadata", "namespace"),
		"labels":      own(object.object("metadata", "labels")),
		"annotations": own(object.object("metadata", "annotations")),
	}}
	for _, field := range []string{"apiVersion", "kind", "type", "immutable", "data", "rules", "roleRef", "subjects", "automountServiceAccountToken"} {
		if value, ok := object[field]; ok {
			kept[field] = value
		}
	}
	return &unstructured.Unstructured{Object: kept}
}

// own are those labels or annotations that we set.
func own(all map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range all {
		if strings.HasPrefix(key, v1alpha1.Group+"/") {
			out[key] = value
		}
	}
	return out
}
