// Package simulate plays Crossplane, the API server and the kubelet for one
// ThreeScaleBackup, in memory and on directories. World applies the function's answers,
// and Node runs the composed Job's command line on the directories that stand for its
// volumes. What a real API server would refuse is an error.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose"
)

const (
	resourceNameAnnotation = "crossplane.io/composition-resource-name"
	// maxIterations is core's own limit of calls for one reconcile.
	maxIterations = 6
)

// Runner is the function.
type Runner interface {
	RunFunction(context.Context, *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error)
}

// Lookup reads objects from somewhere else; none is no error.
type Lookup func(context.Context, compose.Selector) ([]*unstructured.Unstructured, error)

// World is a cluster with one composite in it.
type World struct {
	Function Runner
	// Composite is the XR.
	Composite *unstructured.Unstructured
	// Image is the Composition's input.image.
	Image string
	// Allow is its input.allow.
	Allow v1alpha1.Allow
	// Now is the clock of the API server.
	Now func() time.Time
	// Live, if it is set, reads the objects that the world does not hold.
	Live Lookup

	objects  map[key]*unstructured.Unstructured
	composed map[string]key
	// applied is what the composite applied last: what it leaves out next
	// time, it gives up.
	applied map[key]unstructured.Unstructured
	// requirements of the last reconcile.
	requirements *fnv1.Requirements
	version      int
}

// key identifies an object; no kind here exists in two groups.
type key struct{ kind, namespace, name string }

func keyOf(u *unstructured.Unstructured) key {
	return key{u.GetKind(), u.GetNamespace(), u.GetName()}
}

// NewWorld returns a world that holds objects.
func NewWorld(function Runner, composite *unstructured.Unstructured, objects []*unstructured.Unstructured) *World {
	w := &World{
		Function:  function,
		Composite: composite,
		Image:     "threescale-backup",
		Now:       time.Now,
		objects:   map[key]*unstructured.Unstructured{},
		composed:  map[string]key{},
		applied:   map[key]unstructured.Unstructured{},
	}
	for _, object := range objects {
		w.Put(object)
	}
	return w
}

// Put stores u as it is, with a new resourceVersion if it has none.
func (w *World) Put(u *unstructured.Unstructured) {
	u = u.DeepCopy()
	if u.GetResourceVersion() == "" {
		u.SetResourceVersion(w.nextVersion())
	}
	w.objects[keyOf(u)] = u
}

// Delete removes an object, as a user would.
func (w *World) Delete(kind, namespace, name string) {
	k := key{kind, namespace, name}
	delete(w.objects, k)
	delete(w.applied, k)
}

// Get returns the object, or nil.
func (w *World) Get(kind, namespace, name string) *unstructured.Unstructured {
	return w.objects[key{kind, namespace, name}]
}

// Composed returns the composed objects that exist, by resource name.
func (w *World) Composed() map[string]*unstructured.Unstructured {
	out := map[string]*unstructured.Unstructured{}
	for name, k := range w.composed {
		if object := w.objects[k]; object != nil {
			out[name] = object
		}
	}
	return out
}

func (w *World) nextVersion() string {
	w.version++
	return fmt.Sprint(w.version)
}

// ErrFatal is returned by Reconcile after a fatal result of the function: nothing changes.
var ErrFatal = errors.New("the function answered with a fatal result")

// Reconcile does what core does for one reconcile: calls the function until it
// asks for nothing new, deletes what is not desired, applies what is, and
// writes the status. It returns the function's last answer.
func (w *World) Reconcile(ctx context.Context) (*fnv1.RunFunctionResponse, error) {
	rsp, err := w.call(ctx)
	if err != nil {
		return nil, err
	}
	w.setConditions(rsp)
	if result := fatal(rsp); result != nil {
		return rsp, fmt.Errorf("%w: %s", ErrFatal, result.GetMessage())
	}
	w.collectGarbage(rsp.GetDesired())
	if err := w.applyAll(rsp.GetDesired()); err != nil {
		return rsp, err
	}
	w.Composite.Object["status"] = rsp.GetDesired().GetComposite().GetResource().AsMap()["status"]
	w.setConditions(rsp)
	return rsp, nil
}

// Restart forgets what earlier reconciles asked for, as a restart of Crossplane does.
func (w *World) Restart() { w.requirements = nil }

// call runs the function until its requirements are stable. It begins with
// those of the reconcile before, as core does.
func (w *World) call(ctx context.Context) (*fnv1.RunFunctionResponse, error) {
	req, err := w.request()
	if err != nil {
		return nil, err
	}
	before := w.requirements
	if req.RequiredResources, err = w.resolve(ctx, before); err != nil {
		return nil, err
	}
	for range maxIterations {
		rsp, err := w.Function.RunFunction(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("cannot run the function: %w", err)
		}
		if proto.Equal(before, rsp.GetRequirements()) || fatal(rsp) != nil {
			return rsp, nil
		}
		before = rsp.GetRequirements()
		w.requirements = before
		req.Context = rsp.GetContext()
		if req.RequiredResources, err = w.resolve(ctx, before); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("cannot run the function: its requirements did not settle in %d calls", maxIterations)
}

// fatal returns the fatal result of an answer; nil without one.
func fatal(rsp *fnv1.RunFunctionResponse) *fnv1.Result {
	for _, result := range rsp.GetResults() {
		if result.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			return result
		}
	}
	return nil
}

func (w *World) request() (*fnv1.RunFunctionRequest, error) {
	composite, err := encode(w.Composite)
	if err != nil {
		return nil, err
	}
	req := &fnv1.RunFunctionRequest{
		Meta:     &fnv1.RequestMeta{Tag: "simulate"},
		Observed: &fnv1.State{Composite: composite, Resources: map[string]*fnv1.Resource{}},
	}
	if req.Input, err = w.input(); err != nil {
		return nil, fmt.Errorf("cannot encode the input: %w", err)
	}
	for name, object := range w.Composed() {
		if req.Observed.Resources[name], err = encode(object); err != nil {
			return nil, err
		}
	}
	return req, nil
}

func encode(object *unstructured.Unstructured) (*fnv1.Resource, error) {
	s, err := structpb.NewStruct(object.Object)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %s %q: %w", object.GetKind(), object.GetName(), err)
	}
	return &fnv1.Resource{Resource: s}, nil
}

// input returns the input of the function in the Composition.
func (w *World) input() (*structpb.Struct, error) {
	allow, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&w.Allow)
	if err != nil {
		return nil, err
	}
	return structpb.NewStruct(map[string]any{"image": w.Image, "allow": allow})
}

// resolve answers requirements as core does: by name, or all of a kind.
func (w *World) resolve(ctx context.Context, r *fnv1.Requirements) (map[string]*fnv1.Resources, error) {
	out := map[string]*fnv1.Resources{}
	for name, requirement := range r.GetResources() {
		selector := compose.Selector{
			APIVersion: requirement.GetApiVersion(), Kind: requirement.GetKind(),
			Namespace: requirement.GetNamespace(), Name: requirement.GetMatchName(),
			Labels: requirement.GetMatchLabels().GetLabels(),
		}
		found, err := w.find(ctx, selector)
		if err != nil {
			return nil, err
		}
		out[name] = &fnv1.Resources{}
		for _, object := range found {
			item, err := encode(object)
			if err != nil {
				return nil, err
			}
			out[name].Items = append(out[name].Items, item)
		}
	}
	return out, nil
}

// find returns the objects that match, sorted by name.
func (w *World) find(ctx context.Context, s compose.Selector) ([]*unstructured.Unstructured, error) {
	var found []*unstructured.Unstructured
	for k, object := range w.objects {
		if k.kind != s.Kind || object.GetAPIVersion() != s.APIVersion || k.namespace != s.Namespace {
			continue
		}
		if (s.Name == "" || s.Name == k.name) && labels.SelectorFromSet(s.Labels).Matches(labels.Set(object.GetLabels())) {
			found = append(found, object)
		}
	}
	if len(found) == 0 && w.Live != nil {
		var err error
		if found, err = w.Live(ctx, s); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(a.GetName(), b.GetName())
	})
	return found, nil
}

// setConditions writes the conditions of an answer onto the composite.
func (w *World) setConditions(rsp *fnv1.RunFunctionResponse) {
	var conditions []any
	for _, c := range rsp.GetConditions() {
		value := map[fnv1.Status]string{
			fnv1.Status_STATUS_CONDITION_TRUE:  "True",
			fnv1.Status_STATUS_CONDITION_FALSE: "False",
		}[c.GetStatus()]
		if value == "" {
			value = "Unknown"
		}
		conditions = append(conditions, map[string]any{
			"type": c.GetType(), "status": value, "reason": c.GetReason(), "message": c.GetMessage(),
		})
	}
	status, _ := w.Composite.Object["status"].(map[string]any)
	if status == nil {
		status = map[string]any{}
	}
	status["conditions"] = conditions
	w.Composite.Object["status"] = status
}
