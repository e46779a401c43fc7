package compose_test

import (
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/dataset"
)

// nightlySpec is a schedule whose first slot is 14 hours after noon.
const nightlySpec = `schedule: "0 2 * * *"`

// setNow sets the clock of the function and of the API server.
func (w *world) setNow(now time.Time) {
	w.function.now = now
	w.Now = func() time.Time { return now }
}

func (w *world) now() time.Time { return w.Now() }

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at
}

// at reconciles at a moment.
func (w *world) at(text string) *fnv1.RunFunctionResponse {
	w.t.Helper()
	w.setNow(moment(w.t, text))
	return w.reconcile()
}

// reconcileAll reconciles until nothing is left that the next call could do.
func (w *world) reconcileAll() {
	w.t.Helper()
	for range 4 {
		w.reconcile()
	}
}

// succeedNow lets the run in flight succeed at the moment that it is.
func (w *world) succeedNow() string {
	w.t.Helper()
	run := w.runID()
	result := completed(run)
	result.StartTime, result.CompletionTime = w.now(), w.now()
	w.reportOf(run, result)
	w.endJob("Complete")
	w.reconcile()
	return run
}

func (w *world) reportOf(run string, result job.Result) {
	w.t.Helper()
	w.edit(w.Composed()["report/"+run], set(jsonOf(w.t, result), "data", job.KeyResult))
}

// runAt lets the run of a slot start and succeed.
func (w *world) runAt(text string) string {
	w.t.Helper()
	w.at(text)
	w.untilJob()
	return w.succeedNow()
}

func TestScheduleStartsRunsAtItsSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	rsp := w.reconcile()
	assert.Nil(t, w.runIDs(), "a schedule begins with its first slot")
	assert.Equal(t, "NotStarted", w.condition("BackupCompleted")["reason"])
	assert.Contains(t, w.condition("BackupCompleted")["message"], "status.nextRunTime")
	assert.Equal(t, "2026-11-23T02:00:00Z", w.status("nextRunTime"))
	assert.Equal(t, "2026-11-23T08:00:00Z", w.status("staleTime"), "six hours are what a run may take")
	assert.Equal(t, 10*time.Minute, rsp.GetMeta().GetTtl().AsDuration())
	assert.Equal(t, "True", w.condition("PreflightPassed")["status"])

	rsp = w.at("2026-11-23T01:58:54Z")
	assert.Equal(t, time.Minute, rsp.GetMeta().GetTtl().AsDuration(), "stretched by a tenth it still ends before the slot")
	rsp = w.at("2026-11-23T01:59:59Z")
	assert.Equal(t, 5*time.Second, rsp.GetMeta().GetTtl().AsDuration())
	assert.Nil(t, w.runIDs())

	w.at("2026-11-23T02:00:04Z")
	w.untilJob()
	assert.Regexp(t, `^20261123t020000z-[0-9a-f]{8}$`, w.runID(), "a run is called after its slot")
	assert.JSONEq(t, `{"kind":"Schedule","value":"2026-11-23T02:00:00Z"}`, w.cause())
	assert.Equal(t, "2026-11-24T02:00:00Z", w.status("nextRunTime"))
	w.succeedNow()
	w.reconcileAll()
	assert.Len(t, w.jobs, 1, "one run a slot")
	assert.Equal(t, "2026-11-24T08:00:00Z", w.status("staleTime"))
	assert.Equal(t, "True", w.condition("BackupCompleted")["status"])

	w.runAt("2026-11-24T02:00:01Z")
	assert.Len(t, w.jobs, 2)
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"])
}

func TestScheduleMissedSlots(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason, spec, now string
		want              string // the time of the run that starts; "" none
		missed            int64
		first             string
	}{
		"Late":           {"core was away: the newest slot is made up for", nightlySpec, "2026-11-23T09:00:00Z", "20261123t020000z", 0, ""},
		"Three":          {"of three only the newest is, and the others are told", nightlySpec, "2026-11-25T09:00:00Z", "20261125t020000z", 2, "2026-11-23T02:00:00Z"},
		"WithinDeadline": {"late, but not too late", nightlySpec + `, startingDeadlineSeconds: 3600`, "2026-11-23T03:00:00Z", "20261123t020000z", 0, ""},
		"PastDeadline":   {"in working hours nobody wants it", nightlySpec + `, startingDeadlineSeconds: 3600`, "2026-11-23T03:00:01Z", "", 1, "2026-11-23T02:00:00Z"},
		"AllPast":        {"all are told", nightlySpec + `, startingDeadlineSeconds: 3600`, "2026-11-25T12:00:00Z", "", 3, "2026-11-23T02:00:00Z"},
		"NoPatience":     {"core comes some seconds late at best, which is on time", nightlySpec + `, startingDeadlineSeconds: 0`, "2026-11-23T02:00:30Z", "20261123t020000z", 0, ""},
		"Year":           {"a year of minutes is not counted to its end", `schedule: "* * * * *"`, "2027-11-22T12:00:30Z", "20271122t120000z", 999, "2026-11-22T12:01:00Z"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(tc.spec))
			w.reconcile()
			if name == "Year" {
				w.untilJob() // the minute of noon itself
				w.succeed()
			}
			rsp := w.at(tc.now)
			warned := false
			for _, event := range eventsOf(rsp) {
				warned = warned || event == v1alpha1.ReasonSlotsMissed
			}
			assert.Equal(t, tc.missed > 0, warned, tc.reason)
			w.reconcileAll()
			if tc.want == "" {
				assert.Nil(t, w.theJob(), tc.reason)
			} else {
				require.NotNil(t, w.theJob(), tc.reason)
				assert.Contains(t, w.runID(), tc.want, tc.reason)
			}
			missed, _ := w.status("schedule", "missedSlots").(int64)
			if f, ok := w.status("schedule", "missedSlots").(float64); ok {
				missed = int64(f)
			}
			assert.Equal(t, tc.missed, missed, tc.reason)
			if tc.missed > 0 {
				assert.Equal(t, tc.first, w.status("schedule", "firstMissedSlot"), tc.reason)
				assert.Equal(t, v1alpha1.ReasonSlotsMissed, w.condition("Warning")["reason"], tc.reason)
				assert.NotContains(t, eventsOf(w.reconcile()), v1alpha1.ReasonSlotsMissed, "it is told once")
			}
		})
	}
}

// TestScheduleOnTimeAgain: what was missed is told until a slot starts on time.
func TestScheduleOnTimeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.runAt("2026-11-25T09:00:00Z")
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonSlotsMissed, w.condition("Warning")["reason"])
	w.runAt("2026-11-26T02:00:00Z")
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonNoWarnings, w.condition("Warning")["reason"])
}

func TestScheduleChanges(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		do     func(w *world)
		want   []string // starts of the IDs of all runs, newest first
	}{
		"Changed": {"the new schedule's slots of before are not its own", func(w *world) {
			w.setNow(moment(w.t, "2026-11-23T15:30:00Z"))
			w.setSpec("0 * * * *", "schedule")
			w.reconcileAll()
			w.runAt("2026-11-23T16:00:00Z")
		}, []string{"20261123t16", "20261123t02"}},
		"Zone": {"another zone is another schedule", func(w *world) {
			w.setNow(moment(w.t, "2026-11-23T02:30:00Z"))
			w.setSpec("America/New_York", "timeZone")
			w.reconcileAll()
			w.runAt("2026-11-23T07:00:00Z")
		}, []string{"20261123t07", "20261123t02"}},
		"Suspended": {"what passes meanwhile is not made up for", func(w *world) {
			w.setNow(moment(w.t, "2026-11-23T12:00:00Z"))
			w.setSpec(true, "suspend")
			rsp := w.reconcile()
			assert.Zero(w.t, rsp.GetMeta().GetTtl().AsDuration(), "nobody needs to look at it")
			assert.Nil(w.t, w.status("nextRunTime"))
			assert.Equal(w.t, v1alpha1.ReasonSuspended, w.condition("Warning")["reason"])
			w.at("2026-11-25T12:00:00Z")
			w.setSpec(false, "suspend")
			w.reconcileAll()
			w.runAt("2026-11-26T02:00:00Z")
		}, []string{"20261126t02", "20261123t02"}},
		"TriggerWhileSuspended": {"somebody asks for it", func(w *world) {
			w.setSpec(true, "suspend")
			w.setSpec("now", "trigger")
			w.backUp()
		}, []string{"trigger-", "20261123t02"}},
		"TriggerBesideSchedule": {"both run, the trigger at once", func(w *world) {
			w.setNow(moment(w.t, "2026-11-23T12:00:00Z"))
			w.setSpec("now", "trigger")
			w.untilJob()
			w.succeedNow()
			w.runAt("2026-11-24T02:00:00Z")
		}, []string{"20261124t02", "trigger-", "20261123t02"}},
		"TriggerAtTheSlot": {"one after the other", func(w *world) {
			w.setSpec("now", "trigger")
			w.at("2026-11-24T02:00:00Z")
			w.untilJob()
			w.succeedNow()
			w.reconcileAll()
			w.untilJob()
			w.succeedNow()
		}, []string{"20261124t02", "trigger-", "20261123t02"}},
		"SlotWhileInFlight": {"no two at once, and the slot is made up for", func(w *world) {
			w.at("2026-11-24T02:00:00Z")
			w.untilJob()
			w.at("2026-11-25T02:00:00Z")
			w.reconcileAll()
			assert.Len(w.t, w.jobs, 2)
			w.succeedNow()
			w.untilJob()
			w.succeedNow()
		}, []string{"20261125t02", "20261124t02", "20261123t02"}},
		"RemovedMidRun": {"a run goes on as it began", func(w *world) {
			w.at("2026-11-24T02:00:00Z")
			w.untilJob()
			w.setSpec("", "schedule")
			w.reconcileAll()
			w.succeedNow()
			w.at("2026-11-25T02:00:00Z")
			w.reconcileAll()
		}, []string{"20261124t02", "20261123t02"}},
		"SuspendedMidRun": {"likewise", func(w *world) {
			w.at("2026-11-24T02:00:00Z")
			w.setSpec(true, "suspend")
			w.untilJob()
			w.succeedNow()
			w.at("2026-11-25T02:00:00Z")
			w.reconcileAll()
		}, []string{"20261124t02", "20261123t02"}},
		"ChangedMidRun": {"and it is not the new schedule's", func(w *world) {
			w.at("2026-11-24T02:00:00Z")
			w.untilJob()
			w.setSpec("0 3 * * *", "schedule")
			w.reconcileAll()
			w.succeedNow()
			w.runAt("2026-11-24T03:00:00Z")
		}, []string{"20261124t03", "20261124t02", "20261123t02"}},
		"FailedRun": {"the next slot is another try", func(w *world) {
			w.at("2026-11-24T02:00:00Z")
			w.untilJob()
			w.fail()
			w.reconcileAll()
			w.runAt("2026-11-25T02:00:00Z")
		}, []string{"20261125t02", "20261124t02", "20261123t02"}},
		"CannotStart": {"a slot waits for what is missing", func(w *world) {
			w.Delete("APIManager", namespace, "example")
			rsp := w.at("2026-11-24T02:00:00Z")
			assert.Equal(w.t, 30*time.Second, rsp.GetMeta().GetTtl().AsDuration())
			assert.Equal(w.t, "2026-11-24T02:00:00Z", w.status("nextRunTime"))
			w.restore("APIManager", "example")
			w.runAt("2026-11-24T02:10:00Z")
		}, []string{"20261124t02", "20261123t02"}},
		"Wrong": {"an expression that is wrong starts nothing and loses nothing", func(w *world) {
			w.setSpec("0 25 * * *", "schedule")
			w.at("2026-11-24T12:00:00Z")
			assert.Equal(w.t, "InvalidSpec", w.condition("PreflightPassed")["reason"])
			w.setSpec("0 2 * * *", "schedule")
			w.reconcileAll()
			w.runAt("2026-11-25T02:00:00Z")
		}, []string{"20261125t02", "20261123t02"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(nightlySpec))
			w.reconcile()
			w.runAt("2026-11-23T02:00:00Z")
			tc.do(w)
			w.reconcileAll()
			w.requireRuns(tc.want, tc.reason)
		})
	}
}

// TestScheduleThatBeginsSuspended: what passes before it is first resumed is not
// made up for either.
func TestScheduleThatBeginsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, suspend: true`))
	w.reconcile()
	assert.Nil(t, w.status("staleTime"), "nobody waits for a run")
	w.at("2026-11-25T12:00:00Z")
	w.setSpec(false, "suspend")
	w.reconcileAll()
	assert.Nil(t, w.runIDs())
	assert.Equal(t, "2026-11-26T02:00:00Z", w.status("nextRunTime"))
	w.runAt("2026-11-26T02:00:00Z")
}

// TestScheduleWhileBusy: a run of hours is not looked at more often because a
// verification waits for its end.
func TestScheduleWhileBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, verify: {schedule: "0 5 * * *"}`))
	w.reconcile()
	w.runAt("2026-11-23T02:00:00Z")
	w.at("2026-11-24T02:00:00Z")
	w.untilJob()
	rsp := w.at("2026-11-24T05:10:00Z")
	assert.Equal(t, 30*time.Second, rsp.GetMeta().GetTtl().AsDuration())
	w.succeedNow()
	w.untilVerifying()
}

// requireRuns compares the history with the starts of IDs, newest first.
func (w *world) requireRuns(want []string, why string) {
	w.t.Helper()
	ids := w.runIDs()
	require.Len(w.t, ids, len(want), "%s: %v", why, ids)
	for i, id := range ids {
		assert.Contains(w.t, id, want[i], why)
	}
	assert.Len(w.t, w.jobs, len(want), "%s: one Job a run", why)
}

// restore puts an object of the installation back.
func (w *world) restore(kind, name string) {
	w.t.Helper()
	for _, u := range dataset.Installation(dataset.Options{Seed: 1, Namespace: namespace, Name: "example"}) {
		if u.GetKind() == kind && u.GetName() == name {
			w.Put(u)
			return
		}
	}
	require.Fail(w.t, "no such object", "%s %s", kind, name)
}
