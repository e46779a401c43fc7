package compose

import (
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/specs"
)

// as returns an object in its own type; nil of nil. A field of the wrong type, which
// the API server does not store, is left out, and so are those after it.
func as[T any](o *unstructured.Unstructured) *T {
	if o == nil {
		return nil
	}
	out := new(T)
	_ = runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, out)
	return out
}

// below returns the object at a path, not a copy of it; nil without one.
func below(object map[string]any, path ...string) map[string]any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	child, _ := value.(map[string]any)
	return child
}

// secretOf returns a Secret with a resource version: its own, or that of the source
// of a copy.
func secretOf(o *unstructured.Unstructured, version string) *facts.Secret {
	kind, _ := o.Object["type"].(string)
	return &facts.Secret{ResourceVersion: version, Type: corev1.SecretType(kind), Encoded: below(o.Object, "data")}
}

// observedJob has those fields of a Job that are read: its pod has many more.
type observedJob struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Args []string `json:"args"`
				} `json:"containers"`
				Volumes []struct {
					Name                  string                                    `json:"name"`
					PersistentVolumeClaim *corev1.PersistentVolumeClaimVolumeSource `json:"persistentVolumeClaim"`
				} `json:"volumes"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
	Status batchv1.JobStatus `json:"status"`
}

// jobsOf returns the observed Jobs, by resource name.
func jobsOf(composed map[string]*unstructured.Unstructured) map[string]*facts.Job {
	out := map[string]*facts.Job{}
	for key, object := range composed {
		if object.GetKind() == "Job" {
			out[key] = jobOf(object)
		}
	}
	return out
}

func jobOf(o *unstructured.Unstructured) *facts.Job {
	observed := as[observedJob](o)
	j := &facts.Job{ObjectMeta: observed.ObjectMeta, Status: observed.Status, Kept: kept(o)}
	pod := observed.Spec.Template.Spec
	for _, container := range pod.Containers {
		j.Retains = j.Retains || slices.ContainsFunc(container.Args, func(arg string) bool { return strings.HasPrefix(arg, "--keep-") })
	}
	for _, volume := range pod.Volumes {
		if volume.Name == specs.VolumeBackup && volume.PersistentVolumeClaim != nil {
			j.PVCName = max(j.PVCName, volume.PersistentVolumeClaim.ClaimName)
		}
	}
	return j
}

// kept returns what is emitted of an object that shall stay as it is: core deletes
// what is left out. The API server's own fields, and what others added, are not ours
// to apply.
func kept(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: only(o.Object, "apiVersion", "kind", "type", "immutable", "data", "rules", "roleRef", "subjects", "automountServiceAccountToken")}
	out.SetName(o.GetName())
	out.SetNamespace(o.GetNamespace())
	out.SetLabels(own(o.GetLabels()))
	out.SetAnnotations(own(o.GetAnnotations()))
	if o.GetKind() != "Job" {
		return out
	}
	spec := only(below(o.Object, "spec"), "activeDeadlineSeconds", "backoffLimit", "podFailurePolicy")
	if observed := (unstructured.Unstructured{Object: below(o.Object, "spec", "template")}); observed.Object != nil {
		template := unstructured.Unstructured{Object: only(observed.Object, "spec")}
		template.SetLabels(own(observed.GetLabels()))
		spec["template"] = template.Object
	}
	out.Object["spec"] = spec
	return out
}

// only returns the named fields of an object.
func only(object map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		if value, ok := object[name]; ok {
			out[name] = value
		}
	}
	return out
}

// own returns those labels or annotations that we set; nil without any.
func own(all map[string]string) map[string]string {
	maps.DeleteFunc(all, func(key, _ string) bool { return !strings.HasPrefix(key, v1alpha1.Group+"/") })
	if len(all) == 0 {
		return nil
	}
	return all
}
