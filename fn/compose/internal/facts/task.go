package facts

import (
	"cmp"
	"encoding/base64"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Task is a Job with its report, as far as the two exist.
type Task struct {
	ID     string
	Job    *Job
	Report *corev1.ConfigMap
}

func (t Task) report() *corev1.ConfigMap { return cmp.Or(t.Report, &corev1.ConfigMap{}) }

// Note returns an annotation of the report; "" without one.
func (t Task) Note(key string) string { return t.report().Annotations[key] }

// Data is what the report says.
func (t Task) Data() map[string]string { return t.report().Data }

// Created is when the report was made, and with it the task; nil without one.
func (t Task) Created() *metav1.Time {
	if created := &t.report().CreationTimestamp; !created.IsZero() {
		return created
	}
	return nil
}

// Run is a Task with the snapshot of its Job, else the newest.
type Run struct {
	Task
	Snapshot
}

// Snapshot is what an attempt of a run has copied.
type Snapshot struct {
	// Attempt counts the snapshots of a run, from 1.
	Attempt int
	// Objects holds all but the Secrets; nil: it does not exist.
	Objects *Secret
	// Copies are the Secrets, by the source's name.
	Copies map[string]*Secret
}

// Job is an observed Job.
type Job struct {
	metav1.ObjectMeta

	Status batchv1.JobStatus
	// PVCName is the PVC of the backup volume in the Job's pod; "" without one.
	PVCName string
	// Retains: the mover may remove runs. Its command line does not change any more.
	Retains bool
	// Kept is the Job as it is to be emitted again: its template cannot change, and
	// a task goes on as it was started, whatever the spec says now.
	Kept runtime.Object
}

// Condition returns the condition of a type; nil without one.
func (j *Job) Condition(conditionType batchv1.JobConditionType) *batchv1.JobCondition {
	if j == nil {
		return nil
	}
	i := slices.IndexFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == conditionType })
	if i < 0 {
		return nil
	}
	return &j.Status.Conditions[i]
}

func (j *Job) is(conditionType batchv1.JobConditionType) bool {
	condition := j.Condition(conditionType)
	return condition != nil && condition.Status == corev1.ConditionTrue
}

// Failed reports whether the Job has failed.
func (j *Job) Failed() bool { return j.is(batchv1.JobFailed) }

// Complete reports whether the Job has succeeded.
func (j *Job) Complete() bool { return j.is(batchv1.JobComplete) }

// IsActive reports whether there is a Job that has not ended.
func (j *Job) IsActive() bool { return j != nil && !j.Complete() && !j.Failed() }

// EndTime is when the Job ended; nil while it has not.
func (j *Job) EndTime() *metav1.Time {
	for _, conditionType := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete} {
		if condition := j.Condition(conditionType); condition != nil && !condition.LastTransitionTime.IsZero() {
			return &condition.LastTransitionTime
		}
	}
	return nil
}

// Secret is a Secret, or a copy of one. Its values are most of what a call reads, and
// are decoded only where they are needed.
type Secret struct {
	// ResourceVersion is the Secret's own; a copy has its source's.
	ResourceVersion string
	Type            corev1.SecretType
	// Encoded are the values as base64.
	Encoded map[string]any
}

// Holds reports whether the Secret has a key.
func (s *Secret) Holds(key string) bool {
	_, ok := s.Encoded[key]
	return ok
}

// Data decodes the values. The API server wrote them, so that they are valid
// base64; one that is not is left out.
func (s *Secret) Data() map[string][]byte {
	if s == nil {
		return nil
	}
	out := make(map[string][]byte, len(s.Encoded))
	for key, value := range s.Encoded {
		text, _ := value.(string)
		if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			out[key] = data
		}
	}
	return out
}

// EncodedBytes is what the values weigh as base64.
func (s *Secret) EncodedBytes() int {
	total := 0
	for _, value := range s.Encoded {
		text, _ := value.(string)
		total += len(text)
	}
	return total
}

// Again returns what specs makes of a copy that exists, with the values that the copy
// has: they are not decoded. Whoever made the copy again may have left out the rest.
func (s *Secret) Again(made *corev1.Secret) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"type": string(s.Type), "immutable": *made.Immutable}}
	if len(s.Encoded) > 0 {
		out.Object["data"] = s.Encoded
	}
	out.SetGroupVersionKind(made.GroupVersionKind())
	out.SetName(made.Name)
	out.SetNamespace(made.Namespace)
	out.SetLabels(made.Labels)
	out.SetAnnotations(made.Annotations)
	return out
}

// Named returns the Secret under its name, for specs to copy.
func (s *Secret) Named(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: s.ResourceVersion}, Type: s.Type, Data: s.Data()}
}
