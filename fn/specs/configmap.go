package specs

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// ReportName returns the name of a run's report. All attempts of a run share it.
func ReportName(r Run) string {
	r.Attempt = 1
	return r.Name() + "-report"
}

// Report returns the ConfigMap into which the mover writes. It has no data
// here: those belong to the mover. cause is recorded.Cause as JSON.
func Report(r Run, cause string) *corev1.ConfigMap {
	r.Attempt = 1
	return report(metav1.ObjectMeta{
		Name: ReportName(r), Namespace: r.Namespace, Labels: r.Labels(),
		Annotations: map[string]string{v1alpha1.AnnotationCause: cause},
	})
}

func report(meta metav1.ObjectMeta) *corev1.ConfigMap {
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta}
}
