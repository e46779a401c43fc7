package render

import (
	"context"
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/test/dataset"
)

// root of the repository, from this package's folder.
const root = "../.."

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// eachExample runs a subtest for each example.
func eachExample(t *testing.T, test func(*testing.T, Example)) {
	t.Helper()
	for _, scenario := range Scenarios() {
		t.Run(scenario.Name, func(t *testing.T) {
			example, err := Load(root, scenario)
			require.NoError(t, err)
			test(t, example)
		})
	}
}

// rendered renders an example in this process.
func rendered(t *testing.T, e Example) []*unstructured.Unstructured {
	t.Helper()
	f := function.New(logging.NewNopLogger())
	f.Rendering = true
	objects, err := Render(context.Background(), f, e)
	require.NoError(t, err)
	return objects
}

func goldenFile(e Example) string {
	return filepath.Join(root, "examples", e.Name, RenderedFile)
}

func readGolden(t *testing.T, e Example) string {
	t.Helper()
	data, err := os.ReadFile(goldenFile(e))
	require.NoError(t, err)
	return string(data)
}

func TestRender(t *testing.T) {
	eachExample(t, func(t *testing.T, e Example) {
		got, err := Golden(rendered(t, e))
		require.NoError(t, err)
		if *update {
			require.NoError(t, os.WriteFile(goldenFile(e), got, 0o644))
		}
		assert.Equal(t, readGolden(t, e), string(got), "if this is as it should be, run: go test ./test/render -update")
	})
}

func TestRenderIsDeterministic(t *testing.T) {
	eachExample(t, func(t *testing.T, e Example) {
		first := rendered(t, e)
		for range 5 {
			require.Equal(t, first, rendered(t, e))
		}
	})
}

// TestInputsAreGenerated fails when a scenario or the function changed and
// nobody ran the generator.
func TestInputsAreGenerated(t *testing.T) {
	eachExample(t, func(t *testing.T, e Example) {
		files, err := Inputs(root, e.Scenario)
		require.NoError(t, err)
		for _, name := range []string{XRFile, ObservedFile, RequiredFile} {
			onDisk, err := os.ReadFile(filepath.Join(root, "examples", e.Name, name))
			if files[name] == nil {
				require.ErrorIs(t, err, os.ErrNotExist, name)
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, string(files[name]), string(onDisk), "run: go generate ./test/render")
		}
	})
}

// TestMeaning keeps an -update from changing what an example is about.
func TestMeaning(t *testing.T) {
	type meaning struct {
		ready, preflight, completed, warning string
		jobs, volumes, secrets               int
		done                                 bool
	}
	const copies = 19 // of 13 + 5 Secrets, and the objects
	const passed, snapshot, none = v1alpha1.ReasonPassed, v1alpha1.ReasonTakingSnapshot, v1alpha1.ReasonNoWarnings
	refused := func(reason string) meaning {
		return meaning{"False", reason, v1alpha1.ReasonNotStarted, none, 0, 0, 0, false}
	}
	missing := refused(v1alpha1.ReasonSecretMissing)
	missing.warning = v1alpha1.ReasonOptionalMissing
	want := map[string]meaning{
		"first-backup":               {"True", passed, snapshot, v1alpha1.ReasonReclaimPolicyDelete, 0, 1, copies, false},
		"first-backup-namespaced":    {"True", passed, snapshot, v1alpha1.ReasonReclaimPolicyDelete, 0, 1, copies, false},
		"existing-persistent-volume": {"True", passed, snapshot, none, 0, 1, copies, false},
		"existing-claim":             {"True", passed, snapshot, none, 0, 0, copies, false},
		"running":                    {"True", passed, v1alpha1.ReasonRunning, none, 1, 1, copies, false},
		"encrypted":                  {"True", passed, v1alpha1.ReasonRunning, none, 1, 1, copies, false},
		"databases":                  {"True", passed, v1alpha1.ReasonRunning, none, 1, 1, copies, false},
		"completed":                  {"True", passed, v1alpha1.ReasonCompleted, none, 0, 1, copies, true},
		"triggered":                  {"True", passed, v1alpha1.ReasonCompleted, none, 0, 1, copies, true},
		"scheduled":                  {"True", passed, v1alpha1.ReasonNotStarted, none, 0, 1, 0, false},
		"scheduled-namespaced":       {"True", passed, snapshot, none, 0, 1, copies, false},
		"thinned-out":                {"True", passed, v1alpha1.ReasonCompleted, none, 0, 1, copies, true},
		"offsite":                    {"True", passed, v1alpha1.ReasonCompleted, none, 1, 1, copies, true},
		"damaged":                    {"True", passed, v1alpha1.ReasonCompleted, none, 0, 1, copies, true},
		"internal-databases-refused": refused(v1alpha1.ReasonInternalDatabases),
		"files-in-s3":                {"True", passed, v1alpha1.ReasonRunning, none, 1, 1, copies + 1, false},
		"missing-secret":             missing,
		"two-apimanagers":            refused(v1alpha1.ReasonSeveralAPIManagers),
	}
	eachExample(t, func(t *testing.T, e Example) {
		objects := rendered(t, e)
		done, _, _ := unstructured.NestedBool(objects[0].Object, "status", "completed")
		got := meaning{
			ready:     condition(objects[0], "Ready")["status"],
			preflight: condition(objects[0], v1alpha1.ConditionPreflightPassed)["reason"],
			completed: condition(objects[0], v1alpha1.ConditionBackupCompleted)["reason"],
			warning:   condition(objects[0], v1alpha1.ConditionWarning)["reason"],
			jobs:      count(objects, "Job"),
			volumes:   count(objects, "PersistentVolumeClaim"),
			secrets:   count(objects, "Secret"),
			done:      done,
		}
		assert.Equal(t, want[e.Name], got)
	})
}

// TestNothingIsLost holds the function to what it must never do: let the volume
// with the backups go with its claim, or reach into another namespace. What it
// drops is in TestDeletions.
func TestNothingIsLost(t *testing.T) {
	eachExample(t, func(t *testing.T, e Example) {
		for _, object := range rendered(t, e)[1:] {
			if name := object.GetAnnotations()[annotationResourceName]; name != "" {
				assert.Equal(t, "3scale", object.GetNamespace(), name)
			}
			if object.GetKind() == "PersistentVolumeClaim" {
				assert.Contains(t, ownerKinds(object), "Namespace", "it goes with the backup")
			}
		}
	})
}

// TestGoldenHoldsNoSecret looks for the made-up values in all forms, and for
// every value of the example's Secrets that is long enough to be found.
func TestGoldenHoldsNoSecret(t *testing.T) {
	eachExample(t, func(t *testing.T, e Example) {
		golden := readGolden(t, e)
		for _, form := range dataset.MarkerForms() {
			assert.NotContains(t, golden, form)
		}
		for _, object := range e.Required {
			if object.GetKind() != "Secret" {
				continue
			}
			data, _, err := unstructured.NestedStringMap(object.Object, "data")
			require.NoError(t, err)
			for key, value := range data {
				plain, err := base64.StdEncoding.DecodeString(value)
				require.NoError(t, err)
				if len(plain) >= 16 {
					assert.NotContains(t, golden, value, "%s of %s", key, object.GetName())
					assert.NotContains(t, golden, string(plain), "%s of %s", key, object.GetName())
				}
			}
		}
	})
}

// TestClaims reads each claim as the API server would store it: no field that
// it does not know.
func TestClaims(t *testing.T) {
	eachExample(t, func(t *testing.T, e Example) {
		data, err := os.ReadFile(filepath.Join(root, "examples", e.Name, ClaimFile))
		require.NoError(t, err)
		object, err := parseObject(data)
		require.NoError(t, err)
		var claim v1alpha1.ThreeScaleBackup
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &claim, true))
		assert.Equal(t, v1alpha1.KindBackup, claim.Kind)
		assert.Equal(t, v1alpha1.GroupVersion.String(), claim.APIVersion)
		assert.Equal(t, "3scale", claim.Namespace)
		assert.True(t, strings.HasPrefix(string(data), "# "), "a claim begins with what it shows")
	})
}

func TestREADME(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "examples", "README.md"))
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(root, "examples"))
	require.NoError(t, err)
	folders := 0
	for _, entry := range entries {
		if entry.IsDir() && entry.Name() != "restore" { // proven by test/examples
			folders++
		}
	}
	assert.Len(t, Scenarios(), folders, "each other folder of examples/ is a scenario")
	for _, scenario := range Scenarios() {
		assert.Contains(t, string(readme), "| ["+scenario.Name+"]("+scenario.Name+"/claim.yaml) |")
	}
}

func condition(xr *unstructured.Unstructured, conditionType string) map[string]string {
	list, _, _ := unstructured.NestedSlice(xr.Object, "status", "conditions")
	for _, entry := range list {
		fields := map[string]string{}
		for key, value := range entry.(map[string]any) {
			fields[key], _ = value.(string) // but for the observedGeneration
		}
		if fields["type"] == conditionType {
			return fields
		}
	}
	return nil
}

func count(objects []*unstructured.Unstructured, kind string) int {
	n := 0
	for _, object := range objects {
		if object.GetKind() == kind {
			n++
		}
	}
	return n
}

func ownerKinds(object *unstructured.Unstructured) []string {
	var kinds []string
	for _, owner := range object.GetOwnerReferences() {
		kinds = append(kinds, owner.Kind)
	}
	return kinds
}
