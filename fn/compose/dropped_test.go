package compose_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/job"
)

func TestStatusIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.runAt("2026-11-23T02:00:00Z")
	w.reconcileAll()
	kept := w.Composite.DeepCopy()
	drop := func() { w.Composite.Object["status"] = kept.DeepCopy().Object["status"] }
	for _, day := range []string{"24", "25", "26"} {
		w.setNow(moment(t, "2026-11-"+day+"T02:00:01Z"))
		for range 8 {
			w.reconcile()
			if j := w.theJob(); j != nil {
				run := w.runID()
				result := completed(run)
				result.StartTime, result.CompletionTime = w.now(), w.now()
				w.reportOf(run, result)
				w.endJob("Complete")
			}
			drop()
		}
	}
	assert.Len(t, w.jobs, 4, "a run each night")
}

func TestSlotAfterAnUnrecordedEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.at("2026-11-23T02:00:00Z")
	w.untilJob()
	first := w.runID()
	result := completed(first)
	result.StartTime, result.CompletionTime = w.now(), w.now()
	w.reportOf(first, result)
	w.endJob("Complete")
	assert.Equal(t, []string{"Completed", "BackupStarted"}, eventsOf(w.at("2026-11-24T02:00:05Z")))
	assert.Equal(t, first, w.status("lastRun", "id"))
	w.untilJob()
	assert.Contains(t, w.runID(), "20261124t020000z")
	w.succeedNow()
	w.requireRuns([]string{"20261124t02", "20261123t02"}, "")
}

func TestSlotAfterAnUnrecordedVerification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, `+weeklySpec))
	w.reconcile()
	w.runAt("2026-11-29T02:00:00Z")
	w.at("2026-11-29T05:00:01Z")
	w.untilVerifying()
	kept := w.Composite.DeepCopy().Object["status"]
	w.verified(job.Verification{Runs: 1})
	w.Composite.Object["status"] = kept
	assert.Equal(t, []string{"Verified", "BackupStarted"}, eventsOf(w.at("2026-11-30T02:00:05Z")))
	w.untilJob()
	assert.Contains(t, w.runID(), "20261130t020000z")
}
