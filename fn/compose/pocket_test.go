package compose_test

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/compose"
	"threescale.dev/backup/test/dataset"
)

// pocket is the smallest cluster that Compose can live in. It leaves out what a
// world does (the protocol, the API server's rules), and so takes a quarter of
// the time: for tests of years.
type pocket struct {
	t         testing.TB
	observed  compose.Observed
	installed []*unstructured.Unstructured
	serial    int
}

func newPocket(t testing.TB, spec string) *pocket {
	t.Helper()
	xr := composite(t, spec).Object
	p := &pocket{t: t, observed: compose.Observed{
		Composite: compose.Composite{
			Name: "nightly-x7k2p", UID: "11111111-2222-3333-4444-555555555555", Created: noon,
			ClaimRef: &types.NamespacedName{Namespace: namespace, Name: backup}, ClaimNamespaceLabel: namespace,
		},
		Now: noon, Image: "image:1", Composed: map[string]*unstructured.Unstructured{},
	}}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(xr["spec"].(map[string]any), &p.observed.Composite.Spec))
	p.installed = dataset.Installation(dataset.Options{Seed: 1, Namespace: namespace, Name: "example"})
	return p
}

// reconcile calls until what is required is settled, and does what is desired.
func (p *pocket) reconcile() compose.Desired {
	p.t.Helper()
	var desired compose.Desired
	for range 6 {
		desired = compose.Compose(p.observed)
		require.NoError(p.t, desired.Fatal)
		before := slices.Sorted(maps.Keys(p.observed.Required))
		p.observed.Required = map[string][]*unstructured.Unstructured{}
		for name, selector := range desired.Requirements {
			p.observed.Required[name] = p.find(selector)
		}
		if slices.Equal(before, slices.Sorted(maps.Keys(desired.Requirements))) {
			break
		}
	}
	for key := range p.observed.Composed {
		if desired.Resources[key] == nil {
			delete(p.observed.Composed, key)
		}
	}
	for key, object := range desired.Resources {
		p.apply(key, object)
	}
	p.observed.Composite.Status = *desired.Status.DeepCopy()
	return desired
}

func (p *pocket) find(s compose.Selector) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, objects := range [][]*unstructured.Unstructured{p.installed, slices.Collect(maps.Values(p.observed.Composed))} {
		for _, u := range objects {
			if u.GetKind() == s.Kind && u.GetNamespace() == s.Namespace && (s.Name == u.GetName() || s.Name == "" && s.Labels == nil) {
				found = append(found, u)
			}
		}
	}
	return found
}

// apply makes or changes an object; a Secret's copy never changes.
func (p *pocket) apply(key string, object runtime.Object) {
	p.t.Helper()
	before := p.observed.Composed[key]
	if before != nil && before.GetKind() == "Secret" {
		return
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	require.NoError(p.t, err)
	u := &unstructured.Unstructured{Object: fields}
	if before == nil {
		p.serial++
		set("uid-"+strconv.Itoa(p.serial), "metadata", "uid")(fields)
		set(p.observed.Now.UTC().Format(time.RFC3339), "metadata", "creationTimestamp")(fields)
		delete(fields, "status")
	} else {
		u.SetUID(before.GetUID())
		set(before.GetCreationTimestamp().UTC().Format(time.RFC3339), "metadata", "creationTimestamp")(fields)
		delete(fields, "status")
		for _, field := range []string{"status", "data"} {
			if value, there := before.Object[field]; there {
				fields[field] = value
			}
		}
	}
	p.observed.Composed[key] = u
}

// active are the Jobs that have not ended.
func (p *pocket) active() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, u := range p.observed.Composed {
		if u.GetKind() == "Job" && !hasEnded(u) {
			out = append(out, u)
		}
	}
	return out
}
