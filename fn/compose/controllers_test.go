package compose_test

import (
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// This file plays the API server's defaults and the controllers of volumes, so
// that objects are observed as a cluster shows them and not as they were sent.

// control lets the controllers do what they do after a reconcile.
func (w *world) control() {
	w.t.Helper()
	waiting := true
	for _, o := range w.Composed() {
		if o.GetKind() == "Job" {
			w.jobs[o.GetUID()] = o.GetName()
			w.defaultJob(o.DeepCopy())
			waiting = false
		}
	}
	if waiting {
		return // the volume's class waits for its first pod
	}
	if pvc := w.composedVolume(); pvc != nil {
		w.bind(pvc)
	}
}

// composedVolume returns the composed PersistentVolumeClaim, or nil.
func (w *world) composedVolume() *unstructured.Unstructured {
	return w.Composed()["volume"]
}

// defaultJob fills in what the API server does.
func (w *world) defaultJob(o *unstructured.Unstructured) {
	w.t.Helper()
	if _, done, _ := unstructured.NestedMap(o.Object, "spec", "selector"); done {
		return
	}
	uid := string(o.GetUID())
	labels, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
	for _, key := range []string{"batch.kubernetes.io/controller-uid", "controller-uid"} {
		labels[key] = uid
	}
	for _, key := range []string{"batch.kubernetes.io/job-name", "job-name"} {
		labels[key] = o.GetName()
	}
	require.NoError(w.t, unstructured.SetNestedStringMap(o.Object, labels, "spec", "template", "metadata", "labels"))
	spec := o.Object["spec"].(map[string]any)
	fill(spec, map[string]any{
		"completionMode": "NonIndexed", "completions": int64(1), "manualSelector": false, "parallelism": int64(1),
		"podReplacementPolicy": "Failed", "suspend": false,
		"selector": map[string]any{"matchLabels": map[string]any{"batch.kubernetes.io/controller-uid": uid}},
	})
	template := spec["template"].(map[string]any)
	template["metadata"].(map[string]any)["creationTimestamp"] = nil
	pod := template["spec"].(map[string]any)
	fill(pod, map[string]any{
		"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": int64(30),
		"serviceAccount": pod["serviceAccountName"],
	})
	container := pod["containers"].([]any)[0].(map[string]any)
	fill(container, map[string]any{"resources": map[string]any{}, "terminationMessagePath": "/dev/termination-log"})
	o.Object["status"] = map[string]any{"ready": int64(0), "terminating": int64(0), "uncountedTerminatedPods": map[string]any{}}
	w.Put(o)
}

func fill(object, defaults map[string]any) {
	for key, value := range defaults {
		if _, set := object[key]; !set {
			object[key] = value
		}
	}
}

// bind binds a PVC to a volume, made for it unless it names one.
func (w *world) bind(pvc *unstructured.Unstructured) {
	w.t.Helper()
	pvc = pvc.DeepCopy()
	if phase, _, _ := unstructured.NestedString(pvc.Object, "status", "phase"); phase != "Pending" {
		return
	}
	spec := pvc.Object["spec"].(map[string]any)
	fill(spec, map[string]any{"volumeMode": "Filesystem", "storageClassName": "standard", "volumeName": "pvc-" + string(pvc.GetUID())})
	name := spec["volumeName"].(string)
	volume := w.Get("PersistentVolume", "", name)
	if volume == nil {
		volume = w.newVolume(name, spec)
	}
	volume = volume.DeepCopy()
	require.NoError(w.t, unstructured.SetNestedStringMap(volume.Object, map[string]string{
		"namespace": pvc.GetNamespace(), "name": pvc.GetName(), "uid": string(pvc.GetUID()),
	}, "spec", "claimRef"))
	require.NoError(w.t, unstructured.SetNestedField(volume.Object, "Bound", "status", "phase"))
	w.Put(volume)
	capacity, _, _ := unstructured.NestedMap(volume.Object, "spec", "capacity")
	pvc.Object["status"] = map[string]any{"phase": "Bound", "capacity": capacity, "accessModes": spec["accessModes"]}
	w.Put(pvc)
}

// newVolume is what a provisioner makes for a PVC.
func (w *world) newVolume(name string, pvc map[string]any) *unstructured.Unstructured {
	w.t.Helper()
	class, _ := pvc["storageClassName"].(string)
	policy := "Delete"
	if object := w.Get("StorageClass", "", class); object != nil {
		policy, _, _ = unstructured.NestedString(object.Object, "reclaimPolicy")
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolume",
		"metadata": map[string]any{"name": name, "uid": "uid-of-" + name},
		"spec": map[string]any{
			"capacity":                      runtime.DeepCopyJSON(pvc["resources"].(map[string]any)["requests"].(map[string]any)),
			"accessModes":                   pvc["accessModes"],
			"persistentVolumeReclaimPolicy": policy,
			"storageClassName":              class,
		},
	}}
}
