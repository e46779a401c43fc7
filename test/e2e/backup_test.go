//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/cluster"
)

// What a user does with a ThreeScaleBackup, and sees of it.

const (
	nightly = "nightly"
	// nightlyVolume is the PersistentVolumeClaim composed for it.
	nightlyVolume = "nightly-backup"

	tenGi = `{backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`
)

// claim returns the YAML of a claim with the given spec, in flow style.
func claim(name, spec string) string {
	return fmt.Sprintf("apiVersion: backup.threescale.dev/v1alpha1\nkind: ThreeScaleBackup\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

// withTrigger returns a claim of ten gibibytes with a trigger.
func withTrigger(name, trigger string) string {
	return claim(name, fmt.Sprintf(`{trigger: %q, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`, trigger))
}

// apply applies YAML as the tenant.
func (w *tenant) apply(text string) error {
	file := filepath.Join(w.t.TempDir(), "claim.yaml")
	require.NoError(w.t, os.WriteFile(file, []byte(text), 0o600))
	_, err := w.kubectl("apply", "-f", file)
	return err
}

// remove deletes a claim as the tenant, and waits until it is gone.
func (w *tenant) remove(name string) {
	w.t.Helper()
	_, err := w.kubectl("delete", "threescalebackup", name)
	require.NoError(w.t, err)
}

// get reads a claim as the tenant.
func (w *tenant) get(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.Group, Version: "v1alpha1", Kind: v1alpha1.KindBackup})
	return u, w.user.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, u)
}

// composite reads the composite of a claim, which only an administrator may.
func (w *tenant) composite(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	c, err := w.get(ctx, name)
	if err != nil {
		return nil, err
	}
	ref, _, _ := unstructured.NestedString(c.Object, "spec", "resourceRef", "name")
	if ref == "" {
		return nil, fmt.Errorf("claim %q has no composite yet", name)
	}
	return getComposite(ctx, ref)
}

func getComposite(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.Group, Version: "v1alpha1", Kind: "X" + v1alpha1.KindBackup})
	return u, shared.Client().Get(ctx, types.NamespacedName{Name: name}, u)
}

func status(u *unstructured.Unstructured, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(u.Object, append([]string{"status"}, path...)...)
	return v
}

// lastRun is the ID of the newest successful run.
func lastRun(u *unstructured.Unstructured) string {
	id, _ := status(u, "lastRun", "id").(string)
	return id
}

// runIDs are the runs of the history, newest first.
func runIDs(u *unstructured.Unstructured) []string {
	list, _ := status(u, "runs").([]any)
	ids := make([]string, 0, len(list))
	for _, entry := range list {
		id, _ := entry.(map[string]any)["id"].(string)
		ids = append(ids, id)
	}
	return ids
}

func condition(u *unstructured.Unstructured, name string) map[string]any {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, entry := range list {
		if c, ok := entry.(map[string]any); ok && c["type"] == name {
			return c
		}
	}
	return nil
}

func message(u *unstructured.Unstructured, conditionType string) string {
	text, _ := condition(u, conditionType)["message"].(string)
	return text
}

// assertCondition compares a condition's status and reason, and looks for texts
// in its message.
func (w *tenant) assertCondition(u *unstructured.Unstructured, name, status, reason string, texts ...string) {
	w.t.Helper()
	assert.Equal(w.t, status, condition(u, name)["status"], "status of condition %s", name)
	assert.Equal(w.t, reason, condition(u, name)["reason"], "reason of condition %s", name)
	for _, text := range texts {
		assert.Contains(w.t, message(u, name), text, "message of condition %s", name)
	}
}

// eventually waits until check returns nil.
func (w *tenant) eventually(what string, check func(context.Context) error) {
	w.t.Helper()
	require.NoError(w.t, cluster.Eventually(w.t.Context(), patience, what, check))
}

// until waits until check passes for the claim, and returns the claim.
func (w *tenant) until(name, what string, check func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	w.t.Helper()
	var got *unstructured.Unstructured
	w.eventually(what, func(ctx context.Context) error {
		u, err := w.get(ctx, name)
		if err != nil {
			return err
		}
		if got = u; !check(u) {
			return fmt.Errorf("status is %v", u.Object["status"])
		}
		return nil
	})
	return got
}

// untilCompleted waits until the newest finished run of the claim succeeded and
// it is not one of the runs before. Crossplane writes conditions a moment after
// the rest of the status.
func (w *tenant) untilCompleted(name string, before ...string) *unstructured.Unstructured {
	w.t.Helper()
	return w.until(name, "the backup to complete", func(u *unstructured.Unstructured) bool {
		return status(u, "completed") == true && condition(u, "BackupCompleted")["status"] == "True" &&
			!slices.Contains(before, lastRun(u)) && lastRun(u) == runIDs(u)[0]
	})
}

// untilReason waits for a condition with a reason.
func (w *tenant) untilReason(name, conditionType, reason string) *unstructured.Unstructured {
	w.t.Helper()
	return w.until(name, conditionType+" to have reason "+reason, func(u *unstructured.Unstructured) bool {
		return condition(u, conditionType)["reason"] == reason
	})
}

// hasEvent looks for an event on a claim, with a reason and a text.
func (w *tenant) hasEvent(reason, text string) func(context.Context) error {
	return func(ctx context.Context) error {
		var list corev1.EventList
		if err := w.user.List(ctx, &list, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.InvolvedObject.Kind == v1alpha1.KindBackup && event.Reason == reason && strings.Contains(event.Message, text) {
				return nil
			}
		}
		return fmt.Errorf("none of %d events is %s with %q", len(list.Items), reason, text)
	}
}

// untilWarned waits until the warnings of a claim hold a text, or no longer do.
func (w *tenant) untilWarned(name, text string, warned bool) {
	w.t.Helper()
	w.until(name, fmt.Sprintf("the warning %q to be %t", text, warned), func(u *unstructured.Unstructured) bool {
		return condition(u, v1alpha1.ConditionWarning) != nil && strings.Contains(message(u, v1alpha1.ConditionWarning), text) == warned
	})
}

// untilReconciled has core reconcile the composite of a claim, and waits until
// it has: what did not happen by then does not happen. A composite of an old
// XRD has no status for that, so Crossplane's log is asked.
func (w *tenant) untilReconciled(name, token string) {
	w.t.Helper()
	xr, err := w.composite(w.t.Context(), name)
	require.NoError(w.t, err)
	_, err = w.kubectl("annotate", "threescalebackup", name, "--overwrite", "crossplane.io/reconcile-requested-at="+token)
	require.NoError(w.t, err)
	w.eventually("the composite to be reconciled", func(context.Context) error {
		log, err := os.ReadFile(shared.Crossplane().Log())
		if err != nil {
			return err
		}
		handled := false
		for line := range strings.Lines(string(log)) {
			if !strings.Contains(line, strconv.Quote(xr.GetName())) {
				continue
			}
			handled = handled || strings.Contains(line, "Processing reconcile request") && strings.Contains(line, strconv.Quote(token))
			if handled && strings.Contains(line, "Watching kinds") {
				return nil
			}
		}
		return fmt.Errorf("request handled: %t", handled)
	})
}
