package monitoring_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// composite is what the file needs of a claim's composite.
type composite struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ClaimRef struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"claimRef"`
	} `json:"spec"`
	Status v1alpha1.ThreeScaleBackupStatus `json:"status"`
}

// field returns the type of a struct's field by its name in JSON, or nil.
func field(in reflect.Type, name string) reflect.Type {
	for f := range in.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name {
			return f.Type
		}
		if strings.Contains(options, "inline") {
			if found := field(f.Type, name); found != nil {
				return found
			}
		}
	}
	return nil
}

// typeAt follows a path from a type. Lists are entered, as kube-state-metrics does.
func typeAt(t *testing.T, from reflect.Type, path []string, why string) reflect.Type {
	t.Helper()
	for _, name := range path {
		for from.Kind() == reflect.Pointer || from.Kind() == reflect.Slice {
			from = from.Elem()
		}
		require.Equal(t, reflect.Struct, from.Kind(), "%s: before %s", why, name)
		next := field(from, name)
		require.NotNil(t, next, "%s: %s has no field %s", why, from, name)
		from = next
	}
	return from
}

// TestPathsAreFields: kube-state-metrics says nothing of a path that is not
// there, so that a typing error would be a metric that is never seen.
func TestPathsAreFields(t *testing.T) {
	types := map[string]reflect.Type{
		v1alpha1.KindBackup:          reflect.TypeFor[v1alpha1.ThreeScaleBackup](),
		v1alpha1.KindCompositeBackup: reflect.TypeFor[composite](),
		"ThreeScaleRestore":          reflect.TypeFor[v1alpha1.ThreeScaleRestore](),
	}
	for _, resource := range load(t).Config.Spec.Resources {
		of := types[resource.GroupVersionKind.Kind]
		require.NotNil(t, of, resource.GroupVersionKind.Kind)
		for _, path := range resource.LabelsFromPath {
			typeAt(t, of, path, resource.GroupVersionKind.Kind)
		}
		for _, metric := range resource.Metrics {
			why := resource.MetricNamePrefix + "_" + metric.Name
			assert.NotEmpty(t, metric.Help, why)
			for _, path := range metric.LabelsFromPath {
				typeAt(t, of, path, why)
			}
			values := metric.Each.Values()
			require.NotNil(t, values, "%s: its type is %q", why, metric.Each.Type)
			at := typeAt(t, of, values.Path, why)
			for _, path := range values.LabelsFromPath {
				typeAt(t, at, path, why)
			}
			typeAt(t, at, values.ValueFrom, why)
			if metric.Each.Type == "Gauge" && len(values.ValueFrom) == 0 {
				assertNumber(t, at, why)
			}
			assert.Equal(t, strings.HasSuffix(metric.Name, "_timestamp_seconds"), isTime(at), "%s: seconds are times", why)
			assert.Equal(t, strings.HasSuffix(metric.Name, "info"), metric.Each.Type == "Info", "%s: only what has no value of its own is info", why)
		}
	}
}

func isTime(of reflect.Type) bool {
	return of == reflect.TypeFor[metav1.Time]() || of == reflect.TypeFor[*metav1.Time]()
}

// assertNumber: a gauge is of one value. Of an object, kube-state-metrics would
// look into each field.
func assertNumber(t *testing.T, of reflect.Type, why string) {
	t.Helper()
	if !isTime(of) {
		assert.Contains(t, []reflect.Kind{reflect.Int32, reflect.Int64, reflect.Bool}, of.Kind(), "%s: %s is no number", why, of)
	}
}

// TestStates: the states of a verification are those of the type.
func TestStates(t *testing.T) {
	for _, resource := range load(t).Config.Spec.Resources {
		for _, metric := range resource.Metrics {
			if metric.Each.StateSet != nil {
				assert.Equal(t, []string{string(v1alpha1.RunRunning), string(v1alpha1.RunCompleted), string(v1alpha1.RunFailed)}, metric.Each.StateSet.List)
			}
		}
	}
}
