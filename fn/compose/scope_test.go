package compose_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func objectOf(o map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o}
}

// namespaced turns the composite into one of the flavour that lives in a
// namespace, whose labels and spec its author writes.
func namespaced(w *world) {
	w.Composite.SetKind("ThreeScaleBackup")
	w.Composite.SetName(backup)
	w.Composite.SetNamespace(namespace)
	w.Composite.SetLabels(map[string]string{"crossplane.io/claim-namespace": "victim", "crossplane.io/claim-name": "theirs"})
	w.setSpec(map[string]any{"namespace": "victim", "name": "theirs"}, "claimRef")
}

// TestNamespacedFlavour: a composite of a namespace belongs to it, whatever its
// labels claim: every selector and every object has that namespace.
func TestNamespacedFlavour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	namespaced(w)
	for range 3 {
		rsp := w.reconcile()
		requireOwnNamespace(t, rsp)
	}
	w.succeed() // promising looks at the namespace of each object
	assert.Equal(t, true, w.status("completed"))
	assert.Equal(t, "nightly-backup", w.status("backupPersistentVolumeClaimName"))
}

// TestSelectorsOfTheClaimFlavour likewise.
func TestSelectorsOfTheClaimFlavour(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"", destination(`claimName: backups`), destination(`volumeName: pv-1`)} {
		w := newWorld(t, spec)
		requireOwnNamespace(t, w.reconcile())
	}
}

func requireOwnNamespace(t *testing.T, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	require.NotEmpty(t, rsp.GetRequirements().GetResources())
	for name, selector := range rsp.GetRequirements().GetResources() {
		switch selector.GetKind() {
		case "Namespace":
			assert.Equal(t, namespace, selector.GetMatchName(), name)
			assert.Nil(t, selector.Namespace, name)
		case "PersistentVolume":
			assert.NotEmpty(t, selector.GetMatchName(), "one, not all of the cluster's")
			assert.Nil(t, selector.Namespace, name)
		case "StorageClass":
			assert.Nil(t, selector.Namespace, name)
		case "APIManager":
			assert.Equal(t, namespace, selector.GetNamespace(), name)
		case "Secret", "ConfigMap", "PersistentVolumeClaim":
			assert.Equal(t, namespace, selector.GetNamespace(), name)
			assert.NotEmpty(t, selector.GetMatchName(), "one by name: a selector by label would be called again and again")
		case "Job":
			assert.Equal(t, namespace, selector.GetNamespace(), name)
			assert.Equal(t, []string{v1alpha1.LabelReads}, slices.Collect(maps.Keys(selector.GetMatchLabels().GetLabels())), "those of restores: seldom any")
		default:
			assert.Fail(t, "another kind is required", selector.GetKind())
		}
	}
}

// TestRequirementsAreStable: core calls again until they are, six times at most.
func TestRequirementsAreStable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, destination(`volumeName: pv-1`))
	withVolume("", "10Gi", "ReadWriteOnce", "", "Available")(w)
	first := w.reconcile()
	again := w.reconcile()
	assert.True(t, proto.Equal(first.GetRequirements(), again.GetRequirements()), "they do not depend on what is composed")
}

// TestForeignObjectsAreIgnored: `crossplane render` does not look at the
// namespace of what it is given, and a function must not trust that core does.
func TestForeignObjectsAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.function.quick = false
	rsp := w.reconcile()
	for _, when := range []string{"FirstCall", "InFlight"} {
		t.Run(when, func(t *testing.T) {
			poisoned := proto.CloneOf(w.function.last)
			for name, resources := range poisoned.GetRequiredResources() {
				var foreign []*fnv1.Resource
				for _, own := range resources.GetItems() {
					fields := own.GetResource().AsMap()
					u := objectOf(fields)
					if u.GetNamespace() == "" {
						continue
					}
					u.SetNamespace("victim")
					u.SetUID("foreign")
					if u.GetKind() == "Secret" {
						fields["data"] = map[string]any{"password": "Zm9yZWlnbg=="}
					}
					s, err := structpb.NewStruct(fields)
					require.NoError(t, err)
					foreign = append(foreign, &fnv1.Resource{Resource: s})
				}
				poisoned.RequiredResources[name].Items = slices.Concat(foreign, resources.GetItems())
			}
			got, err := newFunction(noon).RunFunction(t.Context(), poisoned)
			require.NoError(t, err)
			requireSame(t, rsp, got)
		})
		rsp = w.reconcile()
		require.NotNil(t, w.theJob())
	}
}

// TestForeignObjectsAreNoAnswer: an object of another namespace is not found.
func TestForeignObjectsAreNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.function.quick = false
	w.reconcile()
	poisoned := proto.CloneOf(w.function.last)
	for _, resources := range poisoned.GetRequiredResources() {
		for _, r := range resources.GetItems() {
			metadata := r.GetResource().GetFields()["metadata"].GetStructValue().GetFields()
			if metadata["namespace"] != nil {
				metadata["namespace"] = structpb.NewStringValue("victim")
			}
		}
	}
	got, err := newFunction(noon).RunFunction(t.Context(), poisoned)
	require.NoError(t, err)
	assert.Equal(t, "APIManagerNotFound", got.GetConditions()[0].GetReason())
	assert.Empty(t, got.GetDesired().GetResources())
}

// TestTamperedLabels: who may edit objects in the namespace may write any label
// on a composed object. That must not harm the function, which serves all
// tenants, nor start anything.
func TestTamperedLabels(t *testing.T) {
	t.Parallel()
	labels := map[string]map[string]string{
		"LongRun":      {"backup.threescale.dev/run": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		"OddRun":       {"backup.threescale.dev/run": "X.Y_Z"},
		"OtherRun":     {"backup.threescale.dev/run": "20200101t000000z-deadbeef"},
		"HugeAttempt":  {"backup.threescale.dev/attempt": "99999999999999999999"},
		"LargeAttempt": {"backup.threescale.dev/attempt": "999999999"},
		"NoLabels":     {},
	}
	for name, change := range labels {
		for _, kind := range []string{"Secret", "ConfigMap", "Job"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := newWorld(t, "")
				w.untilJob()
				for _, o := range w.Composed() {
					if o.GetKind() != kind {
						continue
					}
					w.edit(o, func(m map[string]any) {
						u := objectOf(m)
						edited := u.GetLabels()
						if len(change) == 0 {
							edited = nil
						}
						maps.Copy(edited, change)
						u.SetLabels(edited)
					})
					break
				}
				// The answer may be fatal ("refusing to drop a Job in use"), but
				// there is one, and the Job at work is not dropped.
				_, _ = w.Reconcile(t.Context())
				assert.Len(t, w.jobs, 1)
			})
		}
	}
}

// TestTamperedHistory: who may write the status of a composite may write any
// text as an ID.
func TestTamperedHistory(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "-", "../../etc", "X", strings.Repeat("a", 300), "trigger-../../../x", "20200101t000000z-deadbeef\n"} {
		t.Run(id, func(t *testing.T) {
			w := newWorld(t, "")
			run := w.backUp()
			runs := []any{map[string]any{"id": id, "state": "Running"}, map[string]any{"id": id, "state": "Completed"}}
			set(append(runs, w.status("runs").([]any)...), "status", "runs")(w.Composite.Object)
			w.reconcile()
			assert.Equal(t, []string{run}, w.runIDs())
			assert.Len(t, w.jobs, 1)
		})
	}
}
