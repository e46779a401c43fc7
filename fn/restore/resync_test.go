package restore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// conditionsOf gives the APIManager conditions: type, status and message of each.
func conditionsOf(of ...[3]string) func(*State) {
	return func(o *State) {
		sidekiqRuns(o)
		conditions := make([]any, 0, len(of))
		for _, c := range of {
			conditions = append(conditions, map[string]any{"type": c[0], "status": c[1], "message": c[2]})
		}
		o.APIManager.Object["status"].(map[string]any)["conditions"] = conditions
	}
}

func deploymentsOf(lists map[string]any) func(*State) {
	return func(o *State) {
		sidekiqRuns(o)
		o.APIManager.Object["status"].(map[string]any)["deployments"] = lists
	}
}

func TestResyncIsLeftOut(t *testing.T) {
	no := false
	cases := map[string]struct {
		reason string
		edit   func(*State)
		step   string
	}{
		"ByDefault":    {"five of the six Routes are Zync's, and nothing else has it make them", func(*State) {}, "Resync"},
		"Refused":      {"somebody else makes the Routes", func(o *State) { o.Restore.Spec.PostRestore.ResyncZyncDomains = &no }, "Available"},
		"WithoutZync":  {"the operator then waits for no Route of Zync's", func(o *State) { o.APIManager.Object["spec"] = map[string]any{"zync": map[string]any{"enabled": false}} }, "Available"},
		"NobodyWaits":  {"without a Kustomization, nothing tells when sidekiq is there", func(o *State) { o.Restore.Spec.KustomizationRef = nil }, "Completed"},
		"AlreadyThere": {"what was done is not done again", resynced, "Available"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(published, applied, sidekiqRuns, tc.edit)
			assert.Equal(t, tc.step, told(o).Step, tc.reason)
		})
	}
}

// TestResyncWaitsForSidekiq: the wait quotes why there is none.
func TestResyncWaitsForSidekiq(t *testing.T) {
	cases := map[string]struct {
		reason string
		edit   func(*State)
		want   string
	}{
		"NoAPIManager": {"Flux has applied it, and somebody deleted it", func(o *State) { o.APIManager = nil }, "; it does not exist"},
		"NoOperator": {"nobody reconciles this namespace", func(o *State) {
			o.APIManager = &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
		}, "no operator has reconciled it"},
		"Preflights": {"the database is too old, so that nothing is made", func(o *State) {
			conditionsOf([3]string{"Available", "False", ""}, [3]string{"Preflights", "False", "PostgreSQL 10 is not supported"})(o)
			o.APIManager.Object["status"].(map[string]any)["deployments"] = map[string]any{}
		}, "; the operator says: Preflights is false: PostgreSQL 10 is not supported"},
		"Starting": {"an operator before 2.16 has no such conditions", deploymentsOf(map[string]any{"starting": []any{"system-app", "system-sidekiq"}}), "not ready: system-app, system-sidekiq"},
		"Stopped":  {"spec.system.sidekiqSpec.replicas is 0", deploymentsOf(map[string]any{"stopped": []any{"system-sidekiq"}}), "not ready: system-sidekiq"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(published, applied, sidekiqRuns, tc.edit)
			d := told(o)
			assert.Equal(t, "Resync", d.Step, tc.reason)
			assert.True(t, d.Waits, tc.reason)
			assert.Contains(t, d.Message, "Waiting for system-sidekiq to be ready")
			assert.Contains(t, d.Message, tc.want, tc.reason)
			o.Now = noon.Add(2 * time.Hour)
			requireProblem(t, told(o), v1alpha1.ReasonResyncFailed, true)
		})
	}
}

// TestAvailableQuotesTheOperator: what the wait is for is the operator's to say.
func TestAvailableQuotesTheOperator(t *testing.T) {
	cases := map[string]struct {
		reason string
		edit   func(*State)
		want   string
	}{
		"Routes": {
			"since 2.16 each part has its condition",
			conditionsOf([3]string{"Available", "False", ""}, [3]string{"DeploymentsAvailable", "True", ""}, [3]string{"RoutesReady", "False", "not yet admitted: master.apps.example.com"}, [3]string{"SecretsAvailable", "False", "missing: system-smtp"}),
			"; the operator says: RoutesReady is false: not yet admitted: master.apps.example.com; SecretsAvailable is false: missing: system-smtp",
		},
		"OlderOperator": {
			"before, all Deployments are ready and nothing is said",
			sidekiqRuns,
			"its Routes to be admitted: backend-3scale.apps.example.com, api-3scale-apicast-production.apps.example.com, api-3scale-apicast-staging.apps.example.com, master.apps.example.com, 3scale.apps.example.com, 3scale-admin.apps.example.com",
		},
		"NeverSet": {"2.10 and before know no Available", conditionsOf(), "3scale 2.10 and earlier never do"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(published, applied, resyncing, resyncDone, resynced, tc.edit)
			d := told(o)
			assert.True(t, d.Waits)
			assert.Contains(t, d.Message, tc.want, tc.reason)
			o.Now = noon.Add(2 * time.Hour)
			d = told(o)
			requireProblem(t, d, v1alpha1.ReasonNotAvailable, true)
			assert.Contains(t, d.Problem.Message, tc.want, tc.reason)
		})
	}
}

// TestResyncIsRepeated: the command says nothing about success.
func TestResyncIsRepeated(t *testing.T) {
	missing := conditionsOf([3]string{"Available", "False", ""}, [3]string{"RoutesReady", "False", "not yet admitted"})
	waiting := conditionsOf([3]string{"Available", "False", ""}, [3]string{"RoutesReady", "True", ""}, [3]string{"DeploymentsAvailable", "False", "system-app"})
	cases := map[string]struct {
		reason string
		edits  []func(*State)
		later  time.Duration
		want   Action
	}{
		"Working":     {"Zync has a while for it", stages(missing), 9 * time.Minute, ""},
		"NotCome":     {"it exits with 0 also where it could enqueue nothing", stages(missing), 10 * time.Minute, DropResync},
		"Older":       {"an operator before 2.16 names no Routes", stages(sidekiqRuns), 10 * time.Minute, DropResync},
		"Asked":       {"System's database has its new domains now", stages(missing, requested("now")), 0, DropResync},
		"Deployments": {"Routes are not what is missing", stages(waiting), 10 * time.Minute, ""},
		"Impatient":   {"each is a start of Rails", stages(missing, func(o *State) { o.Restore.Spec.RetryInterval = &metav1.Duration{Duration: time.Millisecond} }), 59 * time.Second, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(published, applied, resyncing, resyncDone, resynced), tc.edits...)...)
			o.Now = noon.Add(tc.later)
			assert.Equal(t, tc.want, told(o).Action, tc.reason)
		})
	}
	o := observed(published, applied, resyncing, resyncDone, resynced, missing)
	o.Now = noon.Add(2 * time.Hour)
	requireProblem(t, told(o), v1alpha1.ReasonNotAvailable, true)
}

// TestResyncFails: it is tried again until the timeout has passed.
func TestResyncFails(t *testing.T) {
	failed := func(o *State) {
		o.Resync = Pod{Name: "dr-resync-0123abcd", Exists: true, Failed: true, EndedAt: noon, Message: "BackoffLimitExceeded"}
	}
	o := observed(published, applied, sidekiqRuns, failed)
	d := told(o)
	requireProblem(t, d, v1alpha1.ReasonResyncFailed, false)
	assert.Contains(t, d.Problem.Message, "kubectl -n 3scale logs job/dr-resync-0123abcd")
	o.Now = noon.Add(11 * time.Minute)
	assert.Equal(t, DropResync, told(o).Action)
	o = observed(published, applied, sidekiqRuns, failed)
	o.Now, o.Resync.EndedAt = noon.Add(2*time.Hour), noon.Add(2*time.Hour)
	d = told(o)
	requireProblem(t, d, v1alpha1.ReasonResyncFailed, true)
	assert.Contains(t, d.Problem.Message, "tried for 1h0m0s (spec.timeout)")
	requested("now")(o)
	assert.Equal(t, DropResync, told(o).Action)
}

// TestRightsAreAskedFirst: it is late to learn of a missing one after the commit.
func TestRightsAreAskedFirst(t *testing.T) {
	o := observed()
	assert.Equal(t, AskRights, told(o).Action)
	o.RightsAsked, o.RightsMissing = true, []string{"get deployments.apps", "create jobs.batch"}
	d := told(o)
	requireProblem(t, d, v1alpha1.ReasonRightsMissing, false)
	assert.Contains(t, d.Problem.Message, `The controller may not get deployments.apps, nor create jobs.batch in namespace "3scale"`)
	o.Inspect.Exists = true
	assert.NotEqual(t, "Rights", told(o).Step, "it is not asked for each event")
	o = observed(func(o *State) { o.Restore.Spec.KustomizationRef, o.Kustomization = nil, nil })
	assert.Equal(t, "Branch", told(o).Step, "the restore ends with the commit")
}

func TestOwnedBy(t *testing.T) {
	owned := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"ownerReferences": []any{map[string]any{"kind": "APIManager", "uid": "a"}}}}}
	assert.True(t, OwnedBy(owned, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"uid": "a"}}}))
	assert.False(t, OwnedBy(owned, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"uid": "b"}}}))
	assert.False(t, OwnedBy(&unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"ownerReferences": []any{map[string]any{}}}}}, nil), "no UID owns nothing")
}
