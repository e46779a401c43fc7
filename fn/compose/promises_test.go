package compose_test

import (
	"context"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// maxAnswer is what core's client takes of a function (gRPC's own default).
const maxAnswer = 4 << 20

// promising is the function as a process that restarts before each call. It
// checks what holds for every answer, whatever was asked.
type promising struct {
	t testing.TB
	// quick leaves out what is slow.
	quick bool
	// last is the newest request.
	last *fnv1.RunFunctionRequest
	// now is noon unless it is set.
	now time.Time
}

// RunFunction implements simulate.Runner.
func (p *promising) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	p.t.Helper()
	if !p.quick {
		p.last = proto.CloneOf(req)
	}
	rsp, err := newFunction(p.now).RunFunction(ctx, req)
	require.NoError(p.t, err)
	requireDiscreet(p.t, rsp)
	requireReadable(p.t, rsp)
	require.Less(p.t, proto.Size(rsp), maxAnswer, "core could not receive the answer")
	if p.quick {
		return rsp, nil
	}
	requireApplicable(p.t, rsp)
	require.True(p.t, proto.Equal(p.last, req), "the request was changed")
	again, err := newFunction(p.now).RunFunction(ctx, p.last)
	require.NoError(p.t, err)
	requireSame(p.t, rsp, again, "the same request must have the same answer")
	return rsp, nil
}

// newFunction is the function as it is after a restart.
func newFunction(now time.Time) *function.Function {
	if now.IsZero() {
		now = noon
	}
	f := function.New(logging.NewNopLogger())
	f.Now = func() time.Time { return now }
	return f
}

// bytesOf returns a message as bytes that are the same for equal messages.
func bytesOf(t testing.TB, m proto.Message) string {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(t, err)
	return string(data)
}

// requireSame compares two answers byte by byte.
func requireSame(t testing.TB, want, got proto.Message, why ...any) {
	t.Helper()
	if bytesOf(t, want) != bytesOf(t, got) {
		require.Fail(t, cmp.Diff(want, got, protocmp.Transform()), why...)
	}
}

// requireDiscreet looks for confidential values where none may be: everywhere but
// in the data of a Secret's copy, and where ConfigMap system lies in the objects
// Secret.
func requireDiscreet(t testing.TB, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	for resource, r := range rsp.GetDesired().GetResources() {
		fields := r.GetResource().GetFields()
		if fields["kind"].GetStringValue() != "Secret" {
			continue
		}
		values := fields["data"]
		if strings.HasPrefix(resource, "objects/") {
			for key, value := range values.GetStructValue().GetFields() {
				if key == specs.ObjectKey(job.ConfigMapFile(threescale.SystemConfig)) {
					continue
				}
				data, err := base64.StdEncoding.DecodeString(value.GetStringValue())
				require.NoError(t, err)
				requireNoMarker(t, string(data), resource+" "+key)
			}
		}
		if values != nil {
			delete(fields, "data")
			defer func() { fields["data"] = values }()
		}
	}
	text, err := proto.Marshal(rsp)
	require.NoError(t, err)
	requireNoMarker(t, string(text), "the answer")
}

func requireNoMarker(t testing.TB, text, where string) {
	t.Helper()
	for _, form := range dataset.MarkerForms() {
		if i := strings.Index(text, form); i >= 0 {
			require.Failf(t, "a Secret's value leaks", "%s: %q", where, text[max(0, i-80):i])
		}
	}
}

// requireApplicable checks what a server-side apply by core needs.
func requireApplicable(t testing.TB, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	for key, r := range rsp.GetDesired().GetResources() {
		u := unstructured.Unstructured{Object: r.GetResource().AsMap()}
		require.Equal(t, fnv1.Ready_READY_TRUE, r.GetReady(), key)
		require.NotEmpty(t, u.GetAPIVersion(), key)
		require.NotEmpty(t, u.GetKind(), key)
		require.Equal(t, namespace, u.GetNamespace(), key)
		require.Empty(t, validation.IsDNS1123Subdomain(u.GetName()), key)
		for label, value := range u.GetLabels() {
			require.Empty(t, validation.IsValidLabelValue(value), "%s: %s", key, label)
		}
		for _, owner := range u.GetOwnerReferences() {
			require.Nil(t, owner.Controller, "%s: core adds the controller", key)
		}
		require.NotContains(t, u.Object, "status", key)
		requireNoServerFields(t, u.Object, key)
	}
	status, _ := rsp.GetDesired().GetComposite().GetResource().AsMap()["status"].(map[string]any)
	require.NotContains(t, status, "conditions", "core sets them from the answer's own")
}

func requireNoServerFields(t testing.TB, value any, where string) {
	t.Helper()
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			requireNoServerFields(t, item, where)
		}
	case map[string]any:
		for key, item := range v {
			switch key {
			case "managedFields", "creationTimestamp", "resourceVersion", "generation", "selfLink":
				require.Fail(t, "the API server sets this field", "%s.%s", where, key)
			}
			requireNoServerFields(t, item, where)
		}
	}
}

var (
	reasonPattern = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	// name is a word that is written as it is: system-app, spec.trigger, claimName.
	name      = regexp.MustCompile(`[-.[A-Z]`)
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d`)
)

// requireReadable checks that conditions and events have the form that users
// know, and that both reach the claim.
func requireReadable(t testing.TB, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	for _, c := range rsp.GetConditions() {
		require.Equal(t, fnv1.Target_TARGET_COMPOSITE_AND_CLAIM, c.GetTarget(), c.GetType())
		require.Regexp(t, reasonPattern, c.GetReason())
		requireSentence(t, c.GetMessage())
		require.NotRegexp(t, timestamp, c.GetMessage(), "a message that changes by itself writes the status again and again")
	}
	for _, r := range rsp.GetResults() {
		if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			require.NotEmpty(t, rsp.GetConditions(), "a fatal answer without conditions leaves the claim's at Unknown")
			continue
		}
		require.Equal(t, fnv1.Target_TARGET_COMPOSITE_AND_CLAIM, r.GetTarget())
		require.Regexp(t, reasonPattern, r.GetReason())
		requireSentence(t, r.GetMessage())
	}
}

func requireSentence(t testing.TB, message string) {
	t.Helper()
	require.NotEmpty(t, message)
	if first, _, _ := strings.Cut(message, " "); !name.MatchString(first) {
		require.Equal(t, job.Sentence(message), message, "begins in upper case: %s", message)
	}
	require.False(t, strings.HasSuffix(message, "."), "ends without a dot: %s", message)
}
