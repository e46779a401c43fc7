package compose_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// jobRefusals: Crossplane makes the pods, so that nothing else keeps a claim's
// author from what he may not do himself. fn/podpolicy tests each field.
func jobRefusals() map[string]refusal {
	return map[string]refusal{
		"JobBesideOthers": {
			reason: "a required affinity to another namespace's pods tells where they run",
			spec: beside(`job: {affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname,
				labelSelector: {matchLabels: {app: secret}}, namespaces: [victim]}]}}}`),
			want: v1alpha1.ReasonJobRefused, holds: []string{
				`Spec.job.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaces names pods of namespace "victim"`,
				"ask whoever installed the Composition to allow it (input.allow.affinityNamespaces)",
			},
		},
		"JobOfPriority": {
			reason: "it evicts the pods of others", spec: beside(`job: {priorityClassName: system-cluster-critical}`),
			want: v1alpha1.ReasonJobRefused, holds: []string{`Spec.job.priorityClassName`, "input.allow.priorityClassNames"},
		},
		"JobAsRoot": {
			reason: "the namespace may enforce nothing, and its tenant may make no pods",
			spec:   beside(`job: {podSecurityContext: {runAsUser: 0, runAsNonRoot: false}}`),
			want:   v1alpha1.ReasonJobRefused, holds: []string{"restricted", "runAsUser=0", "input.allow.podSecurity"},
		},
		"JobOfNothingKnown": {
			reason: "what would help nobody is no advice", spec: beside(`job: {resources: {claims: [{name: device}]}}`),
			want: v1alpha1.ReasonJobRefused, holds: []string{"correct it, or leave it out"}, lack: []string{"input.allow"},
		},
		"AllowUnreadable": {
			reason: "to go on would allow something else than what was written", spec: beside(`job: {priorityClassName: high}`),
			arrange: func(w *world) {
				w.Allow = v1alpha1.Allow{PodSecurity: "Privileged", PriorityClassNames: []string{"high"}}
			},
			want: v1alpha1.ReasonInvalidSpec, holds: []string{"The Composition's input does not decode", "allow.podSecurity", `"Privileged"`},
		},
	}
}

func TestJobAsThePlatformAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`job: {priorityClassName: backup, tolerations: [{key: dedicated, value: backup, effect: NoSchedule}], podSecurityContext: {runAsUser: 0, runAsNonRoot: false}}`))
	w.Allow = v1alpha1.Allow{
		PodSecurity:        v1alpha1.PodSecurityBaseline,
		PriorityClassNames: []string{"backup"},
		Tolerations:        []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}},
	}
	pod := w.untilJob()
	class, _, _ := unstructured.NestedString(pod.Object, "spec", "template", "spec", "priorityClassName")
	assert.Equal(t, "backup", class)
	w.Allow = v1alpha1.Allow{}
	w.succeed()
	assert.Equal(t, true, w.status("completed"), "what started goes on as it started")
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonJobRefused, w.condition(v1alpha1.ConditionPreflightPassed)["reason"])
	w.setSpec("again", "trigger")
	w.reconcile()
	assert.Nil(t, w.theJob(), "and nothing new starts")
}

// TestNoVerificationOfRefusedSettings: its pod has the same settings as a run's.
func TestNoVerificationOfRefusedSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.setSpec("system-node-critical", "job", "priorityClassName")
	w.at("2026-11-29T05:00:10Z")
	for range 4 {
		w.reconcile()
		require.Nil(t, w.verifyJob())
	}
	unstructured.RemoveNestedField(w.Composite.Object, "spec", "job")
	w.untilVerifying()
	w.verified(job.Verification{Runs: 1})
	assert.Equal(t, v1alpha1.ReasonVerified, w.condition(v1alpha1.ConditionVerified)["reason"])
}
