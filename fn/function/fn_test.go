package function_test

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// run calls a function that was just started.
func run(t testing.TB, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	t.Helper()
	rsp, err := function.New(logging.NewNopLogger()).RunFunction(context.Background(), req)
	require.NoError(t, err, "an error would drop the conditions")
	return rsp
}

func structOf(t testing.TB, fields map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	require.NoError(t, err)
	return s
}

func fatal(rsp *fnv1.RunFunctionResponse) string {
	for _, r := range rsp.GetResults() {
		if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			return r.GetMessage()
		}
	}
	return ""
}

func condition(rsp *fnv1.RunFunctionResponse, name string) *fnv1.Condition {
	for _, c := range rsp.GetConditions() {
		if c.GetType() == name {
			return c
		}
	}
	return nil
}

// TestFatal: what cannot be answered changes nothing, and the claim shows why.
func TestFatal(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*fnv1.RunFunctionRequest)
		want   string
	}{
		"NoComposite": {
			reason: "an operation has none, and a pipeline step for one is a mistake",
			change: func(req *fnv1.RunFunctionRequest) { req.Observed = nil },
			want:   "it is no operation",
		},
		"StatusUnreadable": {
			reason: "without the history a run could be taken twice",
			change: func(req *fnv1.RunFunctionRequest) {
				req.Observed.Composite.Resource.Fields["status"] = structpb.NewStructValue(structOf(t, map[string]any{"runs": "many"}))
			},
			want: "cannot read the status",
		},
		"CreationUnreadable": {
			reason: "the first run's ID is made of it",
			change: func(req *fnv1.RunFunctionRequest) {
				req.Observed.Composite.Resource.Fields["metadata"].GetStructValue().Fields["creationTimestamp"] = structpb.NewStringValue("yesterday")
			},
			want: "metadata.creationTimestamp",
		},
		"NamespaceRefused": {
			reason: "a composite that does not prove its namespace",
			change: func(req *fnv1.RunFunctionRequest) {
				delete(req.Observed.Composite.Resource.Fields["metadata"].GetStructValue().Fields, "labels")
			},
			want: "has no namespace",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			req := newWorld(t).request()
			tc.change(req)
			rsp := run(t, req)
			assert.Contains(t, fatal(rsp), tc.want, tc.reason)
			assert.Empty(t, rsp.GetDesired().GetResources())
			require.NotNil(t, condition(rsp, "PreflightPassed"), "core sets conditions that are not returned with a fatal result to Unknown, without a message")
			require.NotNil(t, condition(rsp, "BackupCompleted"))
			for _, c := range rsp.GetConditions() {
				assert.Equal(t, fnv1.Target_TARGET_COMPOSITE_AND_CLAIM, c.GetTarget())
				assert.NotEqual(t, fnv1.Status_STATUS_CONDITION_TRUE, c.GetStatus())
				assert.NotEmpty(t, c.GetMessage())
			}
		})
	}
}

// TestPanic: one composite must not end the process that serves all tenants.
func TestPanic(t *testing.T) {
	f := function.New(logging.NewNopLogger())
	f.Now = func() time.Time { panic("s3cr3t-value") }
	req := newWorld(t).request()
	var rsp *fnv1.RunFunctionResponse
	require.NotPanics(t, func() {
		var err error
		rsp, err = f.RunFunction(t.Context(), req)
		require.NoError(t, err)
	})
	assert.Contains(t, fatal(rsp), "this is a bug")
	assert.NotContains(t, rsp.String(), "s3cr3t", "what was thrown may hold anything")
	assert.Equal(t, "InternalError", condition(rsp, "PreflightPassed").GetReason())
}

// TestClock: a Composition tells the time only while rendering.
func TestClock(t *testing.T) {
	for name, tc := range map[string]struct {
		reason    string
		rendering bool
		context   string
		asked     bool // the function's own clock
	}{
		"Served":    {"whoever writes a Composition could have runs start, or never start", false, "2030-01-01T00:00:00Z", true},
		"Rendered":  {"rendering the same gives the same", true, "2030-01-01T00:00:00Z", false},
		"NoContext": {"it is rendered as of now", true, "", true},
		"NoTime":    {"what is no time is none", true, "noon", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := function.New(logging.NewNopLogger())
			f.Rendering = tc.rendering
			asked := false
			f.Now = func() time.Time { asked = true; return time.Unix(1795348800, 0) }
			req := newWorld(t).request()
			req.Context = &structpb.Struct{Fields: map[string]*structpb.Value{"backup.threescale.dev/now": structpb.NewStringValue(tc.context)}}
			_, err := f.RunFunction(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, tc.asked, asked, tc.reason)
		})
	}
}

// TestUndecodableSpec is the user's mistake, and told as one.
func TestUndecodableSpec(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"Number":   {"apiManagerName": 5.0},
		"Quantity": {"backupDestination": map[string]any{"persistentVolumeClaim": map[string]any{"resources": map[string]any{"requests": "10Gigs"}}}},
		"Boolean":  {"suspend": "yes"},
		"Fraction": {"startingDeadlineSeconds": 1.5},
		"List":     {"job": []any{}},
		"Duration": {"job": map[string]any{"tolerations": []any{map[string]any{"tolerationSeconds": "soon"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			req := newWorld(t).request()
			fields := req.GetObserved().GetComposite().GetResource().GetFields()["spec"].GetStructValue().GetFields()
			maps.Copy(fields, structOf(t, spec).GetFields())
			rsp := run(t, req)
			assert.Empty(t, fatal(rsp))
			assert.Equal(t, "InvalidSpec", condition(rsp, "PreflightPassed").GetReason())
			for key := range spec {
				assert.Contains(t, condition(rsp, "PreflightPassed").GetMessage(), "spec."+key)
			}
		})
	}
}

// TestUndecodableAllow: nothing is allowed by what cannot be read, and it is told.
func TestUndecodableAllow(t *testing.T) {
	for name, tc := range map[string]struct{ why, allow, want string }{
		"NoObject":      {"a list is none", `[root]`, "cannot read allow: it is not an object"},
		"WrongType":     {"a name where names belong", `{priorityClassNames: high}`, "cannot read allow"},
		"UnknownLevel":  {"levels are written as Kubernetes writes them", `{podSecurity: Baseline}`, "cannot read allow.podSecurity"},
		"WrongQuantity": {"no quantity", `{maxResources: {cpu: many}}`, "cannot read allow"},
		"UnknownField":  {"a Composition may be newer than the function", `{somethingNewer: true}`, ""},
		"Nothing":       {"an empty one is none", `{}`, ""},
		"AllThereCanBe": {"each field", `{podSecurity: privileged, priorityClassNames: [high], tolerations: [{operator: Exists}], affinityNamespaces: ["*"], maxResources: {cpu: 2}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req := newWorld(t).request()
			var allow any
			require.NoError(t, yaml.Unmarshal([]byte(tc.allow), &allow))
			value, err := structpb.NewValue(allow)
			require.NoError(t, err)
			req.Input.Fields["allow"] = value
			message := condition(run(t, req), "PreflightPassed").GetMessage()
			if tc.want == "" {
				assert.NotContains(t, message, "allow", tc.why)
				return
			}
			assert.Contains(t, message, tc.want, tc.why)
		})
	}
}

// TestNullsInTheSpec: a manifest may say null where it means nothing.
func TestNullsInTheSpec(t *testing.T) {
	req := newWorld(t).request()
	fields := req.GetObserved().GetComposite().GetResource().GetFields()["spec"].GetStructValue().GetFields()
	for _, key := range []string{"apiManagerName", "trigger", "retention", "verify", "encryption", "job", "startingDeadlineSeconds", "suspend"} {
		fields[key] = structpb.NewNullValue()
	}
	rsp := run(t, req)
	assert.Empty(t, fatal(rsp))
	assert.Equal(t, "Passed", condition(rsp, "PreflightPassed").GetReason())
}

// TestPipeline: what earlier functions desire is kept, ours comes beside it.
func TestPipeline(t *testing.T) {
	req := newWorld(t).request()
	req.Desired = &fnv1.State{
		Composite: &fnv1.Resource{
			Resource: structOf(t, map[string]any{
				"spec":   map[string]any{"theirs": true},
				"status": map[string]any{"theirs": "kept", "completed": true},
			}),
			ConnectionDetails: map[string][]byte{"theirs": []byte("x")},
		},
		Resources: map[string]*fnv1.Resource{
			"theirs": {Resource: structOf(t, map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}), Ready: fnv1.Ready_READY_FALSE},
		},
	}
	req.Context = structOf(t, map[string]any{"theirs": "context"})
	theirs := proto.CloneOf(req.GetDesired().GetResources()["theirs"])
	rsp := run(t, req)
	assert.True(t, proto.Equal(theirs, rsp.GetDesired().GetResources()["theirs"]))
	assert.Greater(t, len(rsp.GetDesired().GetResources()), 10)
	assert.Equal(t, "context", rsp.GetContext().GetFields()["theirs"].GetStringValue())
	composite := rsp.GetDesired().GetComposite()
	assert.Equal(t, []byte("x"), composite.GetConnectionDetails()["theirs"])
	fields := composite.GetResource().AsMap()
	assert.Equal(t, map[string]any{"theirs": true}, fields["spec"])
	status := fields["status"].(map[string]any)
	assert.Equal(t, "kept", status["theirs"])
	assert.Equal(t, false, status["completed"], "our fields are ours")
	assert.Equal(t, fnv1.Ready_READY_TRUE, composite.GetReady())
}

// TestGathering: the first call asks for what the second one reads, and composes nothing.
func TestGathering(t *testing.T) {
	req := newWorld(t).request()
	req.RequiredResources = nil
	rsp := run(t, req)
	assert.Empty(t, rsp.GetDesired().GetResources())
	assert.Len(t, rsp.GetRequirements().GetResources(), 5+13+3, "namespace, APIManagers, two PVCs, classes; Secrets and ConfigMaps")
	assert.Equal(t, fnv1.Status_STATUS_CONDITION_UNKNOWN, condition(rsp, "PreflightPassed").GetStatus())
	for name, selector := range rsp.GetRequirements().GetResources() {
		assert.NotNil(t, selector.GetMatch(), "%s: `crossplane render` finds nothing without a match", name)
	}
	assert.NotNil(t, rsp.GetRequirements().GetResources()["storage-classes"].GetMatchLabels())
	assert.Empty(t, rsp.GetRequirements().GetResources()["storage-classes"].GetMatchLabels().GetLabels(), "no labels match all of the kind")
}

// TestCapabilities: what Crossplane says of itself decides only where it says anything.
func TestCapabilities(t *testing.T) {
	for name, tc := range map[string]struct {
		reason       string
		capabilities []fnv1.Capability
		want         string
	}{
		"None":     {reason: "2.0 and 2.1 say nothing, and hand objects over", want: "Passed"},
		"Required": {reason: "2.2 and later say so", capabilities: []fnv1.Capability{fnv1.Capability_CAPABILITY_CAPABILITIES, fnv1.Capability_CAPABILITY_REQUIRED_RESOURCES}, want: "Passed"},
		"Without":  {reason: "nothing can ever be read", capabilities: []fnv1.Capability{fnv1.Capability_CAPABILITY_CAPABILITIES}, want: "CrossplaneTooOld"},
	} {
		t.Run(name, func(t *testing.T) {
			req := newWorld(t).request()
			req.Meta.Capabilities = tc.capabilities
			rsp := run(t, req)
			assert.Equal(t, tc.want, condition(rsp, "PreflightPassed").GetReason(), tc.reason)
			assert.Equal(t, tc.want == "CrossplaneTooOld", fatal(rsp) != "")
		})
	}
}

// TestAskedInVain: Crossplane 1.20 says nothing of itself, calls again after an
// answer that requires something, hands over the context of that answer, and
// nothing else.
func TestAskedInVain(t *testing.T) {
	req := newWorld(t).request()
	required := req.GetRequiredResources()
	req.Context = structOf(t, map[string]any{"of-another-function": "kept"})
	req.RequiredResources = nil
	first := run(t, req)
	assert.Equal(t, "Gathering", condition(first, "PreflightPassed").GetReason())
	assert.Empty(t, fatal(first))
	assert.Len(t, req.GetContext().GetFields(), 1, "the request is core's")
	assert.Equal(t, "kept", first.GetContext().AsMap()["of-another-function"])

	req.Context = first.GetContext()
	again := run(t, req)
	assert.Equal(t, "CrossplaneTooOld", condition(again, "PreflightPassed").GetReason())
	assert.Contains(t, fatal(again), "upgrade it to 2.0 or later")

	req.RequiredResources = required
	answered := run(t, req)
	assert.Equal(t, "Passed", condition(answered, "PreflightPassed").GetReason())
	assert.Equal(t, map[string]any{"of-another-function": "kept"}, answered.GetContext().AsMap(), "later functions get what earlier ones gave")
}

// TestGatheringKeepsTheVolume even in an answer that core drops.
func TestGatheringKeepsTheVolume(t *testing.T) {
	w := newWorld(t)
	w.finish()
	req := w.request()
	req.RequiredResources = nil
	rsp := run(t, req)
	require.Contains(t, rsp.GetDesired().GetResources(), "volume")
	owners := rsp.GetDesired().GetResources()["volume"].GetResource().AsMap()["metadata"].(map[string]any)["ownerReferences"]
	assert.Len(t, owners, 1, "and its second owner, as it was read before")
}

// TestReady: the composite is ready when it can run, not when a run is done.
func TestReady(t *testing.T) {
	w := newWorld(t)
	req := w.request()
	assert.Equal(t, fnv1.Ready_READY_TRUE, run(t, req).GetDesired().GetComposite().GetReady())
	req.RequiredResources["secret/system-seed"] = &fnv1.Resources{}
	assert.Equal(t, fnv1.Ready_READY_FALSE, run(t, req).GetDesired().GetComposite().GetReady())
}

// TestWhoWroteALabel: the managed fields of what is required are read where they tell it.
func TestWhoWroteALabel(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, manager string
		kept            bool
	}{
		"ArgoCD": {"its label would have it prune what is restored", "argocd-controller", false},
		"Helm":   {"charts set the same label", "helm", true},
	} {
		t.Run(name, func(t *testing.T) {
			req := newWorld(t).request()
			metadata := req.GetRequiredResources()["secret/system-seed"].GetItems()[0].GetResource().GetFields()["metadata"].GetStructValue().GetFields()
			metadata["labels"] = structpb.NewStructValue(structOf(t, map[string]any{threescale.LabelInstance: "apps"}))
			fields, err := structpb.NewList([]any{map[string]any{"manager": tc.manager, "fieldsV1": map[string]any{
				"f:metadata": map[string]any{"f:labels": map[string]any{"f:" + threescale.LabelInstance: map[string]any{}}},
			}}})
			require.NoError(t, err)
			metadata["managedFields"] = structpb.NewListValue(fields)
			stored := ""
			for key, r := range run(t, req).GetDesired().GetResources() {
				if strings.HasPrefix(key, "objects/") {
					data := r.GetResource().GetFields()["data"].GetStructValue().GetFields()
					stored = data[specs.ObjectKey(job.SecretMetadataFile("system-seed"))].GetStringValue()
				}
			}
			manifest, err := base64.StdEncoding.DecodeString(stored)
			require.NoError(t, err)
			require.Contains(t, string(manifest), "system-seed")
			assert.Equal(t, tc.kept, strings.Contains(string(manifest), threescale.LabelInstance), tc.reason)
		})
	}
}

// TestDeterminism: the same request has the same answer, byte by byte, from
// this function and from another.
func TestDeterminism(t *testing.T) {
	w := newWorld(t)
	first := w.request()
	w.finish()
	for name, req := range map[string]*fnv1.RunFunctionRequest{"First": first, "Finished": w.request()} {
		t.Run(name, func(t *testing.T) {
			f := function.New(logging.NewNopLogger())
			f.Now = func() time.Time { return time.Unix(1795348800, 0) }
			options := proto.MarshalOptions{Deterministic: true}
			seen := map[string]bool{}
			for range 20 {
				rsp, err := f.RunFunction(t.Context(), proto.CloneOf(req))
				require.NoError(t, err)
				data, err := options.Marshal(rsp)
				require.NoError(t, err)
				seen[string(data)] = true
			}
			assert.Len(t, seen, 1)
		})
	}
}

// TestConcurrentRequests: core sends up to a hundred at once.
func TestConcurrentRequests(t *testing.T) {
	f := function.New(logging.NewNopLogger())
	req := newWorld(t).request()
	want := run(t, proto.CloneOf(req))
	done := make(chan *fnv1.RunFunctionResponse)
	for range 8 {
		go func() {
			rsp, _ := f.RunFunction(context.Background(), proto.CloneOf(req)) // never an error
			done <- rsp
		}()
	}
	for range 8 {
		assert.True(t, proto.Equal(want, <-done))
	}
}
