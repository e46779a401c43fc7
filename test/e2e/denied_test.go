//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// When the API server refuses one of our objects with anything but "invalid",
// Crossplane drops the function's whole answer: neither status nor conditions
// arrive. These tests hold on to what is then seen, which the page tells.

// conditions are the conditions of an object as a user reads them.
func conditions(u *unstructured.Unstructured) string {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	var b strings.Builder
	for _, entry := range list {
		c, _ := entry.(map[string]any)
		fmt.Fprintf(&b, "\n  %v=%v %v: %v", c["type"], c["status"], c["reason"], c["message"])
	}
	return b.String()
}

// untilRefused waits until the composite tells of a refusal, and logs what the
// composite, the claim and its events then show.
func (w *tenant) untilRefused(texts ...string) {
	w.t.Helper()
	var xr *unstructured.Unstructured
	w.eventually("Crossplane to tell of the refusal", func(ctx context.Context) (err error) {
		if xr, err = w.composite(ctx, nightly); err != nil {
			return err
		}
		for _, text := range texts {
			if !strings.Contains(message(xr, "Synced"), text) {
				return fmt.Errorf("Synced is %v", condition(xr, "Synced"))
			}
		}
		return nil
	})
	w.assertCondition(xr, "Synced", "False", "ReconcileError", "cannot compose resources")
	u := w.until(nightly, "the claim to follow its composite", func(u *unstructured.Unstructured) bool {
		return condition(u, "PreflightPassed")["reason"] == condition(xr, "PreflightPassed")["reason"]
	})
	events, err := w.kubectl("get", "events", "--field-selector", "involvedObject.kind=ThreeScaleBackup", "-o", "custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message")
	require.NoError(w.t, err)
	w.t.Logf("XR:%s\nclaim:%s\nevents of the claim:\n%s", conditions(xr), conditions(u), events)
	assert.NotEqual(w.t, true, status(u, "completed"))
}

// limit makes a ResourceQuota that leaves no room for one more of a resource.
func (w *tenant) limit(hard corev1.ResourceList) *corev1.ResourceQuota {
	w.t.Helper()
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "tight", Namespace: w.namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard},
	}
	require.NoError(w.t, shared.Client().Create(w.t.Context(), quota))
	w.eventually("the quota to count", func(ctx context.Context) error {
		if err := shared.Client().Get(ctx, client.ObjectKeyFromObject(quota), quota); err != nil {
			return err
		}
		if len(quota.Status.Hard) == 0 {
			return errNotYet
		}
		return nil
	})
	return quota
}

// TestQuotaRefusesVolume: no room for one more PersistentVolumeClaim.
func TestQuotaRefusesVolume(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	quota := w.limit(corev1.ResourceList{corev1.ResourcePersistentVolumeClaims: resource.MustParse("1")})
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilRefused("exceeded quota: tight", `"volume"`)
	require.NoError(t, shared.Client().Delete(t.Context(), quota))
	done := w.untilCompleted(nightly)
	assert.Equal(t, []string{lastRun(done)}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestQuotaRefusesSecrets: no room for all copies; those that fit are of no
// use, and no Job starts from them.
func TestQuotaRefusesSecrets(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	var secrets corev1.SecretList
	require.NoError(t, shared.Client().List(t.Context(), &secrets, client.InNamespace(w.namespace)))
	quota := w.limit(corev1.ResourceList{corev1.ResourceSecrets: *resource.NewQuantity(int64(len(secrets.Items)+3), resource.DecimalSI)})
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilRefused("exceeded quota: tight", "secrets")
	jobs, err := w.jobs(t.Context())
	require.NoError(t, err)
	assert.Empty(t, jobs)
	require.NoError(t, shared.Client().Delete(t.Context(), quota))
	done := w.untilCompleted(nightly)
	assert.Equal(t, []string{lastRun(done)}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestQuotaRefusesPods: here Crossplane refuses nothing, and the Job waits; the
// condition tells where to look.
func TestQuotaRefusesPods(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	quota := w.limit(corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")})
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	running := w.untilReason(nightly, "BackupCompleted", "Running")
	w.assertCondition(running, "BackupCompleted", "False", "Running", "kubectl -n "+w.namespace+" describe job,pod")
	w.eventually("the Job's event", func(context.Context) error {
		events, err := w.kubectl("get", "events", "--field-selector", "reason=FailedCreate")
		if err == nil && !strings.Contains(events, "exceeded quota: tight") {
			err = errNotYet
		}
		return err
	})
	require.NoError(t, shared.Client().Delete(t.Context(), quota))
	done := w.untilCompleted(nightly)
	assert.Equal(t, []string{lastRun(done)}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestWebhookRefuses: a policy that refuses a copied Secret, or the Job.
func TestWebhookRefuses(t *testing.T) {
	parallel(t)
	for _, kind := range []string{"Secret", "Job"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newTenant(t)
			var lenient atomic.Bool
			w.newWebhook(func(r *admissionv1.AdmissionRequest) string {
				if !lenient.Load() && r.Kind.Kind == kind && strings.HasPrefix(r.Name, nightly) {
					return "every " + kind + " needs a cost centre"
				}
				return ""
			})
			require.NoError(t, w.apply(claim(nightly, tenGi)))
			w.untilRefused(`admission webhook "policy.example.com" denied the request: every ` + kind + ` needs a cost centre`)
			lenient.Store(true)
			done := w.untilCompleted(nightly)
			assert.Equal(t, []string{lastRun(done)}, w.verified(w.volumeDir(nightlyVolume)))
		})
	}
}
