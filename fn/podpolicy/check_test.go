package podpolicy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTolerationsCover: an allowed toleration allows what tolerates no taint
// more than it.
func TestTolerationsCover(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		why, allowed, wanted string
		ok                   bool
	}{
		"Same":            {"the very same", `{key: a, value: b, effect: NoSchedule}`, `{key: a, operator: Equal, value: b, effect: NoSchedule}`, true},
		"OneValue":        {"one of all values", `{key: a, operator: Exists}`, `{key: a, value: b}`, true},
		"AllValues":       {"all values are more than one", `{key: a, value: b}`, `{key: a, operator: Exists}`, false},
		"OtherValue":      {"another value is another taint", `{key: a, value: b}`, `{key: a, value: c}`, false},
		"OneEffect":       {"one of all effects", `{key: a, operator: Exists}`, `{key: a, operator: Exists, effect: NoExecute}`, true},
		"AllEffects":      {"all effects are more than one", `{key: a, operator: Exists, effect: NoSchedule}`, `{key: a, operator: Exists}`, false},
		"OtherEffect":     {"NoExecute stays on a node that is drained", `{key: a, operator: Exists, effect: NoSchedule}`, `{key: a, operator: Exists, effect: NoExecute}`, false},
		"AllTaints":       {"everything is allowed", `{operator: Exists}`, `{key: a, value: b}`, true},
		"AllTaintsWanted": {"every taint is more than one", `{key: a, operator: Exists}`, `{operator: Exists}`, false},
		"Empty":           {"an entry with nothing in it allows nothing", `{}`, `{key: a, operator: Exists}`, false},
		"EffectOfAll":     {"every taint of one effect", `{operator: Exists, effect: NoSchedule}`, `{key: a, value: b, effect: NoSchedule}`, true},
		"OtherOperator":   {"an operator that is not known here compares otherwise", `{key: a, value: "5"}`, `{key: a, operator: Gt, value: "5"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := check(t, "tolerations: ["+tc.allowed+"]", "tolerations: ["+tc.wanted+"]")
			assert.Equal(t, tc.ok, len(refused) == 0, tc.why)
		})
	}
}

func TestMaximumOfResources(t *testing.T) {
	t.Parallel()
	const allow = `maxResources: {cpu: "2", nvidia.com/gpu: 1}`
	for name, tc := range map[string]struct {
		why, asked string
		want       []string
	}{
		"Within":  {"as much as is allowed", `resources: {requests: {cpu: 2000m, memory: 64Gi}, limits: {nvidia.com/gpu: 1}}`, nil},
		"Request": {"more would keep it from others", `resources: {requests: {cpu: 2001m}}`, []string{"resources.requests[cpu] asks for 2001m, more than the 2 that are allowed here"}},
		"Limit":   {"likewise", `resources: {limits: {cpu: "3", nvidia.com/gpu: 2}}`, []string{"resources.limits[cpu] asks for 3", "resources.limits[nvidia.com/gpu] asks for 2, more than the 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := check(t, allow, tc.asked)
			require.Len(t, refused, len(tc.want), tc.why)
			for i, r := range refused {
				assert.Contains(t, r.Field+" "+r.Problem, tc.want[i], tc.why)
			}
		})
	}
}

// TestAllIsToldTogether: who corrects one thing is not told of the next one then.
func TestAllIsToldTogether(t *testing.T) {
	t.Parallel()
	refused := check(t, "", `
priorityClassName: high
tolerations: [{key: a, operator: Exists}, {operator: Exists}]
podSecurityContext: {runAsUser: 0, seccompProfile: {type: Unconfined}}
affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, namespaces: [victim], namespaceSelector: {}}]}}
`)
	var told []string
	for _, r := range refused {
		told = append(told, fmt.Sprintf("%s %s (%s)", r.Field, r.Problem, r.Leave))
	}
	assert.Equal(t, []string{
		`podSecurityContext breaks Pod Security "restricted" (runAsUser=0: pod must not set runAsUser=0; seccompProfile: pod must not set securityContext.seccompProfile.type to "Unconfined") (podSecurity)`,
		`priorityClassName asks for PriorityClass "high", which is not allowed here (priorityClassNames)`,
		`tolerations[0] tolerates taint "a", which is not allowed here (tolerations)`,
		`tolerations[1] tolerates all taints, which is not allowed here (tolerations)`,
		`affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaceSelector selects pods of other namespaces, which is not allowed here (affinityNamespaces)`,
		`affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaces names pods of namespace "victim", which is not allowed here (affinityNamespaces)`,
	}, told)
}

// TestLongSettings: the scheduler, which serves all, reads each selector for each node.
func TestLongSettings(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("x", 63)
	settings := func(n int) string {
		return "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [" +
			strings.TrimSuffix(strings.Repeat(value+", ", n), ", ") + "]}]}]}}}"
	}
	assert.Empty(t, check(t, "", settings(100)), "a hundred nodes by their names")
	refused := check(t, "", settings(1000))
	require.Len(t, refused, 1)
	assert.Contains(t, refused[0].Problem, "shorten it")
	assert.Empty(t, refused[0].Leave)
}

func TestUnknownLevelIsRestricted(t *testing.T) {
	t.Parallel()
	assert.NotEmpty(t, check(t, "podSecurity: Privileged", "podSecurityContext: {runAsUser: 0}"), "what is not known allows nothing")
}
