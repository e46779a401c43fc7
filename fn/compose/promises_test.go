package compose_test

import (
	"context"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/test/dataset"
)

// maxAnswer is what core's client takes of a function (gRPC's own default).
const maxAnswer = 4 << 20

// promising is the function as a process that restarts before each call. It
// checks what holds for every answer, whatever was asked.
type promising struct {
	t testing.TB
	// quick leaves out what needs a second call.
	quick bool
	last  *fnv1.RunFunctionRequest
}

// RunFunction implements simulate.Runner.
func (p *promising) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	p.t.Helper()
	p.last = proto.CloneOf(req)
	rsp, err := function.New(logging.NewNopLogger()).RunFunction(ctx, req)
	require.NoError(p.t, err)
	requireDiscreet(p.t, rsp)
	requireApplicable(p.t, rsp)
	requireReadable(p.t, rsp)
	require.Less(p.t, proto.Size(rsp), maxAnswer, "core could not receive the answer")
	if p.quick {
		return rsp, nil
	}
	require.True(p.t, proto.Equal(p.last, req), "the request was changed")
	again, err := function.New(logging.NewNopLogger()).RunFunction(ctx, p.last)
	require.NoError(p.t, err)
	require.Equal(p.t, bytesOf(p.t, rsp), bytesOf(p.t, again), "the same request must have the same answer")
	return rsp, nil
}

// bytesOf returns a message as bytes that are the same for equal messages.
func bytesOf(t testing.TB, m proto.Message) string {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(t, err)
	return string(data)
}

// requireDiscreet looks for Secrets' values where none may be: everywhere but
// in the data of a Secret's copy.
func requireDiscreet(t testing.TB, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	open := proto.CloneOf(rsp)
	for name, r := range open.GetDesired().GetResources() {
		fields := r.GetResource().GetFields()
		if fields["kind"].GetStringValue() != "Secret" {
			continue
		}
		if strings.HasPrefix(name, "objects/") {
			for key, value := range fields["data"].GetStructValue().GetFields() {
				data, err := base64.StdEncoding.DecodeString(value.GetStringValue())
				require.NoError(t, err)
				requireNoMarker(t, string(data), name+" "+key)
			}
		}
		delete(fields, "data")
	}
	requireNoMarker(t, bytesOf(t, open), "the answer")
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
		for _, field := range []string{"managedFields", "creationTimestamp", "resourceVersion", "generation", "selfLink"} {
			require.NotContains(t, v, field, where)
		}
		for key, item := range v {
			requireNoServerFields(t, item, where+"."+key)
		}
	}
}

var (
	reasonPattern = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	timestamp     = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d`)
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
	if first, _, _ := strings.Cut(message, " "); !strings.ContainsAny(first, "-.[") { // not the name of something
		assert.Equal(t, strings.ToUpper(message[:1]), message[:1], "begins in upper case: %s", message)
	}
	assert.False(t, strings.HasSuffix(message, "."), "ends without a dot: %s", message)
}
