package compose_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestMissedEventIsToldOnceWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.setNow(moment(t, "2026-11-25T02:00:00Z"))
	assert.Contains(t, eventsOf(w.reconcile()), "SlotsMissed")
	for _, at := range []string{"2026-11-25T01:59:58Z", "2026-11-25T02:00:01Z", "2026-11-25T01:59:59Z", "2026-11-25T02:00:02Z"} {
		assert.NotContains(t, eventsOf(w.at(at)), "SlotsMissed", at)
	}
}

func TestVerificationFailsAfterDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.at("2026-11-29T05:00:01Z")
	w.untilVerifying()
	w.verified(damage())
	w.at("2026-12-06T05:00:00Z")
	j := w.untilVerifying()
	w.endJobNamed(j, "Failed")
	events := eventsOf(w.reconcile())
	assert.NotContains(t, events, "Damaged", "it found nothing")
	assert.Contains(t, events, v1alpha1.ReasonVerificationFailed)
	assert.Contains(t, w.condition("Verified")["message"], "failed")
}

func TestSkippedSlotIsNotNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, verify: {schedule: "0 1 * * *"}`))
	w.reconcile()
	rsp := w.at("2026-11-23T01:00:01Z")
	assert.Equal(t, "2026-11-24T01:00:00Z", w.status("verification", "schedule", "nextSlot"))
	assert.Equal(t, 10*time.Minute, rsp.GetMeta().GetTtl().AsDuration())
}
