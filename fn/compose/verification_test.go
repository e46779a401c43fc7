package compose_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const weeklySpec = `verify: {schedule: "0 5 * * 0"}` // Sundays; noon is one

// verifyJob returns the composed Job of a verification, or nil.
func (w *world) verifyJob() *unstructured.Unstructured {
	for key, o := range w.Composed() {
		if strings.HasPrefix(key, "verify-job/") {
			return o
		}
	}
	return nil
}

// untilVerifying reconciles until there is one.
func (w *world) untilVerifying() *unstructured.Unstructured {
	w.t.Helper()
	for range 6 {
		w.reconcile()
		if w.verifyJob() != nil {
			return w.verifyJob()
		}
	}
	require.Fail(w.t, "no Job was composed", "%v", w.status())
	return nil
}

// verified lets the verification in flight end with a result.
func (w *world) verified(result job.Verification) []string {
	w.t.Helper()
	started := w.verifyJob()
	require.NotNil(w.t, started)
	result.Completed = true
	result.StartTime, result.CompletionTime = w.now(), w.now()
	id := started.GetLabels()[v1alpha1.LabelVerification]
	w.edit(w.Composed()["verify-report/"+id], set(jsonOf(w.t, result), "data", job.KeyVerification))
	w.endJobNamed(started, "Complete")
	return eventsOf(w.reconcile())
}

func (w *world) endJobNamed(o *unstructured.Unstructured, condition string) {
	w.t.Helper()
	w.edit(o, set([]any{map[string]any{
		"type": condition, "status": "True", "reason": "x", "message": "y", "lastTransitionTime": "2026-11-29T05:10:00Z",
	}}, "status", "conditions"))
}

func argsOf(o *unstructured.Unstructured) []string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	args, _, _ := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	return args
}

func damage() job.Verification {
	return job.Verification{Runs: 3, DamagedRuns: []string{"20261122t115900z-11111111"}, Problems: []string{"trees/ab/files/logo.png: changed"}}
}

func TestVerification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonNotVerified, w.condition("Verified")["reason"])
	run := w.backUp()
	w.at("2026-11-29T04:59:00Z")
	assert.Nil(t, w.verifyJob())

	rsp := w.at("2026-11-29T05:00:01Z")
	assert.Equal(t, []string{"VerificationStarted"}, eventsOf(rsp))
	started := w.untilVerifying()
	assert.Subset(t, argsOf(started), []string{"verify", "--run=all", "--expect-run=" + run, "--manifest-sha256=" + digestOf(run)})
	assert.Equal(t, "Running", w.status("verification", "state"))
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonNotVerified, w.condition("Verified")["reason"])

	assert.Equal(t, []string{"Verified"}, w.verified(job.Verification{Runs: 1, Files: 3016, Bytes: 92331122}))
	assert.Nil(t, w.verifyJob(), "a Job that succeeded goes")
	assert.Equal(t, "True", w.condition("Verified")["status"])
	assert.EqualValues(t, 3016, w.status("verification", "files"))
	assert.Equal(t, "2026-11-29T05:00:01Z", w.status("verification", "lastSuccessfulTime"))
	w.reconcileAll()
	assert.Nil(t, w.verifyJob(), "one a slot")
	assert.Equal(t, "2026-12-06T05:00:00Z", w.status("verification", "schedule", "nextSlot"))

	w.wipeStatus()
	w.reconcileAll()
	assert.Nil(t, w.verifyJob(), "nor another when the status is lost")
	assert.Equal(t, "True", w.condition("Verified")["status"], "its report tells it again")
}

func TestVerificationFindsDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.at("2026-11-29T05:00:01Z")
	w.untilVerifying()
	assert.Equal(t, []string{"Damaged"}, w.verified(damage()))
	condition := w.condition("Verified")
	assert.Equal(t, "False", condition["status"])
	assert.Equal(t, v1alpha1.ReasonDamaged, condition["reason"])
	assert.Contains(t, condition["message"], "logo.png")
	assert.Contains(t, condition["message"], "20261122t115900z-11111111")
	assert.Equal(t, true, w.status("completed"), "the newest run did succeed")
	assert.Nil(t, w.status("verification", "lastSuccessfulTime"))

	w.at("2026-11-29T12:00:00Z")
	w.setSpec("afresh", "trigger")
	w.untilJob()
	assert.Contains(t, w.args(), "--prove-links", "nothing damaged is linked to")
	w.succeedNow()
	assert.Equal(t, "False", w.condition("Verified")["status"], "older runs may be damaged as before")
	w.at("2026-11-29T13:00:00Z")
	w.setSpec("again", "trigger")
	w.untilJob()
	assert.NotContains(t, w.args(), "--prove-links", "the newest run is proven")
	w.succeedNow()

	w.at("2026-12-06T05:00:00Z")
	w.untilVerifying()
	assert.Equal(t, v1alpha1.ReasonDamaged, w.condition("Verified")["reason"], "damage stays known while it is looked for again")
	w.verified(job.Verification{Runs: 3})
	assert.Equal(t, "True", w.condition("Verified")["status"])
}

func TestVerificationOverlapsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 5 * * *", `+weeklySpec))
	w.reconcile()
	w.runAt("2026-11-23T05:00:00Z")
	w.at("2026-11-29T05:00:00Z")
	w.untilJob()
	w.reconcileAll()
	assert.Nil(t, w.verifyJob(), "the run goes first")
	w.succeedNow()
	w.untilVerifying()
	w.at("2026-11-30T05:00:00Z")
	w.reconcileAll()
	assert.Len(t, w.jobs, 3)
	assert.Nil(t, w.Composed()["job/"+w.runIDs()[0]], "no run beside a verification")
	w.verified(job.Verification{Runs: 2})
	w.untilJob()
	assert.Contains(t, w.runID(), "20261130t050000z", "its slot is made up for")
}

func TestVerificationEnds(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		do     func(w *world)
		want   string
	}{
		"Failed": {"the Job tells", func(w *world) { w.endJobNamed(w.verifyJob(), "Failed") }, "failed (x: y)"},
		"FailedWithWord": {"the mover tells", func(w *world) {
			w.reportVerification(jsonOf(w.t, job.Verification{Reason: "IO", Message: "cannot read"}))
			w.endJobNamed(w.verifyJob(), "Failed")
		}, "Cannot read (IO)"},
		"NoReport": {"a Job that ended well has to say so", func(w *world) { w.endJobNamed(w.verifyJob(), "Complete") }, "left no result"},
		"Garbage": {"a report that nobody can read", func(w *world) {
			w.reportVerification("{")
			w.endJobNamed(w.verifyJob(), "Complete")
		}, "Cannot read key"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(weeklySpec))
			w.backUp()
			w.at("2026-11-29T05:00:01Z")
			w.untilVerifying()
			tc.do(w)
			w.reconcileAll()
			assert.Equal(t, v1alpha1.ReasonVerificationFailed, w.condition("Verified")["reason"], tc.reason)
			assert.Contains(t, w.condition("Verified")["message"], tc.want, tc.reason)
			assert.Equal(t, "False", w.condition("Verified")["status"], tc.reason)
			assert.Contains(t, w.condition("Verified")["message"], "kubectl", "it says where to look")
			w.at("2026-12-06T05:00:00Z")
			for range 4 {
				w.reconcile()
			}
			require.NotNil(t, w.verifyJob(), "the next slot is another try")
			w.verified(job.Verification{Runs: 1})
			assert.Equal(t, "True", w.condition("Verified")["status"])
		})
	}
}

func (w *world) reportVerification(text string) {
	id := w.verifyJob().GetLabels()[v1alpha1.LabelVerification]
	w.edit(w.Composed()["verify-report/"+id], set(text, "data", job.KeyVerification))
}

func TestVerificationOptions(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		spec   string
		before func(w *world)
		starts bool
		args   []string
	}{
		"LatestOnly": {"a large volume", `verify: {schedule: "0 5 * * 0", latestOnly: true}`, nil, true, []string{"--run=latest"}},
		"Suspended":  {"nothing starts by itself", weeklySpec, func(w *world) { w.setSpec(true, "suspend") }, false, nil},
		"Removed":    {"nobody asks for it any more", weeklySpec, func(w *world) { delete(w.Composite.Object["spec"].(map[string]any), "verify") }, false, nil},
		"StatusLost": {"the run's own report tells of it", weeklySpec, func(w *world) { w.wipeStatus() }, true, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(tc.spec))
			w.backUp()
			w.reconcile()
			if tc.before != nil {
				tc.before(w)
			}
			w.at("2026-11-29T05:00:01Z")
			w.reconcileAll()
			if !tc.starts {
				assert.Nil(t, w.verifyJob(), tc.reason)
				return
			}
			require.NotNil(t, w.verifyJob(), tc.reason)
			assert.Subset(t, argsOf(w.verifyJob()), tc.args, tc.reason)
		})
	}
}
