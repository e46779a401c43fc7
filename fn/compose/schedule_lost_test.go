package compose_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestScheduleOutlivesWhatIsLost: whatever is lost, no slot has two runs.
func TestScheduleOutlivesWhatIsLost(t *testing.T) {
	t.Parallel()
	lose := map[string]func(w *world){
		"Nothing": func(*world) {},
		"Status":  func(w *world) { w.wipeStatus() },
		"Report": func(w *world) {
			for _, o := range w.Composed() {
				if o.GetKind() == "ConfigMap" {
					w.Delete("ConfigMap", namespace, o.GetName())
				}
			}
		},
		"Job": func(w *world) {
			if o := w.theJob(); o != nil {
				w.Delete("Job", namespace, o.GetName())
			}
		},
	}
	for name, do := range lose {
		for _, when := range []string{"Snapshot", "Job", "Finished", "Recorded"} {
			if name == "Report" && when == "Finished" {
				continue // a run whose result is lost has failed: TestOutcomes has it
			}
			t.Run(name+"At"+when, func(t *testing.T) {
				w := newWorld(t, beside(nightlySpec+`, trigger: once`))
				w.untilJob()
				w.succeed()
				w.at("2026-11-23T02:00:03Z")
				if when == "Snapshot" {
					do(w)
				}
				w.untilJob()
				run := w.runID()
				assert.Contains(t, run, "20261123t020000z")
				if when == "Job" {
					do(w)
					w.untilJob()
					assert.Equal(t, run, w.runID(), "the same run goes on")
				}
				result := completed(run)
				result.StartTime, result.CompletionTime = w.now(), w.now()
				if w.Composed()["report/"+run] == nil {
					w.reconcile()
				}
				w.reportOf(run, result)
				w.endJob("Complete")
				if when == "Finished" {
					do(w)
				}
				w.reconcile()
				if when == "Recorded" {
					do(w)
				}
				for range 6 {
					w.reconcile()
					if w.theJob() != nil {
						require.Equal(t, run, w.runID(), "a run that is asked for again is the same one, which the mover finds complete")
						w.reportOf(run, result)
						w.endJob("Complete")
					}
				}
				assert.Nil(t, w.theJob())
				assert.Equal(t, true, w.status("completed"))
				assert.Equal(t, "2026-11-24T02:00:00Z", w.status("nextRunTime"))
				if name != "Report" || when != "Recorded" {
					assert.Equal(t, "once", w.status("lastHandledTrigger"), "a trigger that was handled stays so")
				}
			})
		}
	}
}

func TestScheduleOfAClaimThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.runAt("2026-11-23T02:00:00Z")
	for _, o := range w.Composed() {
		if o.GetKind() != "PersistentVolumeClaim" {
			w.Delete(o.GetKind(), namespace, o.GetName())
		}
	}
	w.edit(w.composedVolume(), func(o map[string]any) { delete(o["metadata"].(map[string]any), "ownerReferences") })
	w.wipeStatus()
	w.Composite.SetUID("99999999-2222-3333-4444-555555555555")
	set("2026-11-23T12:00:00Z", "metadata", "creationTimestamp")(w.Composite.Object)
	w.at("2026-11-23T12:00:01Z")
	w.reconcileAll()
	assert.Len(t, w.jobs, 1, "the slots before it was made are not its own")
	assert.Equal(t, "2026-11-24T02:00:00Z", w.status("nextRunTime"))
}

func TestScheduleWithAClockThatGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	first := w.runAt("2026-11-23T02:00:00Z")
	w.at("2026-11-23T01:59:58Z") // another replica of core, two seconds behind
	w.at("2026-11-23T02:00:02Z")
	w.reconcileAll()
	assert.Len(t, w.jobs, 1, "the slot has its run")
	assert.Equal(t, []string{first}, w.runIDs())

	w.runAt("2027-06-01T12:00:00Z") // a clock a half-year ahead
	w.at("2026-11-23T12:00:00Z")
	w.reconcileAll()
	assert.Len(t, w.jobs, 2)
	assert.Equal(t, "2026-11-24T02:00:00Z", w.status("nextRunTime"), "it does not wait for half a year")
	w.runAt("2026-11-24T02:00:00Z")
	assert.Len(t, w.jobs, 3)
	assert.Equal(t, true, w.status("completed"))
}

// TestWrongExpressionCorrected: a composite that could do nothing so far is not one
// whose status was lost.
func TestWrongExpressionCorrected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 25 * * *"`))
	w.reconcileAll()
	w.setNow(moment(t, "2026-11-25T12:00:00Z"))
	w.setSpec("0 2 * * *", "schedule")
	w.reconcileAll()
	assert.Nil(t, w.theJob(), "slots before the schedule was set are not its own")
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"])
}

// TestUpgradeWithARunInFlight: a report of the version before does not tell what was
// handled, and gets it.
func TestUpgradeWithARunInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: once`))
	w.untilJob()
	run := w.runID()
	w.edit(w.Composed()["report/"+run], func(o map[string]any) {
		delete(o["metadata"].(map[string]any)["annotations"].(map[string]any), v1alpha1.AnnotationHandled)
	})
	w.reconcile()
	assert.JSONEq(t, `{"trigger":"once"}`, w.Composed()["report/"+run].GetAnnotations()[v1alpha1.AnnotationHandled])
	w.succeed()
	w.wipeStatus()
	w.reconcileAll()
	assert.Nil(t, w.theJob())
	assert.Len(t, w.jobs, 1)
}
