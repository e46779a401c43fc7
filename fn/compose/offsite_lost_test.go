package compose_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestCopyWhileNoStatusIsWritten: the reports are all that is known.
func TestCopyWhileNoStatusIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+", "+offsiteSpec)).withBucket()
	w.function.quick = true
	w.reconcile()
	w.copiedAt("2026-11-23T02:00:00Z")
	w.reconcileAll()
	kept := w.Composite.DeepCopy()
	now := moment(t, "2026-11-24T01:50:00Z")
	var copies []string
	failed := false
	for range 3 * 24 * 6 {
		now = now.Add(10 * time.Minute)
		w.setNow(now)
		w.reconcile()
		w.Composite.Object["status"] = kept.DeepCopy().Object["status"]
		if j := w.ofKey("job/"); j != nil && !hasEnded(j) {
			w.reportOf(j.GetLabels()["backup.threescale.dev/run"], completedAt(w, j.GetLabels()["backup.threescale.dev/run"]))
			w.ends(j, "Complete")
		}
		if j := w.copyJob(); j != nil && !hasEnded(j) {
			if !failed {
				failed = true
				w.ends(j, "Failed") // and is tried again
				continue
			}
			copies = append(copies, w.copyRun())
			w.copyTold(w.copyOf(w.copyRun()))
			w.ends(j, "Complete")
		}
	}
	require.Len(t, copies, 3, "one a night: %v", copies)
	for i, night := range []string{"20261124", "20261125", "20261126"} {
		assert.Contains(t, copies[i], night)
	}
}

// TestStatusLostWhileCopying: what is at work goes on.
func TestStatusLostWhileCopying(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*world){
		"Status": func(w *world) { w.wipeStatus() },
		"Report": func(w *world) { w.Delete("ConfigMap", namespace, w.ofKey("copy-report/").GetName()) },
		"Both": func(w *world) {
			w.Delete("ConfigMap", namespace, w.ofKey("copy-report/").GetName())
			w.wipeStatus()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(offsiteSpec)).withBucket()
			run := w.runNow()
			j := w.until("copy-job/")
			lose(w)
			w.reconcileAll()
			assert.Equal(t, j.GetUID(), w.copyJob().GetUID())
			w.copied()
			assert.Equal(t, run, w.status("offsite", "run"))
			assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
		})
	}
}

// TestCopyLost: a copy of which nothing is left starts anew.
func TestCopyLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.runNow()
	j := w.until("copy-job/")
	w.Delete("Job", namespace, j.GetName())
	w.Delete("ConfigMap", namespace, w.ofKey("copy-report/").GetName())
	w.reconcile()
	w.copied()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
}

// TestClaimIsMadeAgain: its volume is the same, and so is the owner of the bucket.
func TestClaimIsMadeAgain(t *testing.T) {
	t.Parallel()
	ownerOf := func(w *world) string {
		for _, arg := range argsOf(w.until("copy-job/")) {
			if owner, ok := strings.CutPrefix(arg, "--owner="); ok {
				return owner
			}
		}
		return ""
	}
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.runNow()
	before := ownerOf(w)
	w.copied()
	for _, o := range w.Composed() {
		if o.GetKind() != "PersistentVolumeClaim" {
			w.Delete(o.GetKind(), namespace, o.GetName())
		}
	}
	w.edit(w.composedVolume(), func(o map[string]any) { delete(o["metadata"].(map[string]any), "ownerReferences") })
	w.wipeStatus()
	w.Composite.SetUID("99999999-2222-3333-4444-555555555555")
	w.runNow()
	assert.Equal(t, before, ownerOf(w))
	assert.Contains(t, before, string(w.composedVolume().GetUID()), "a volume that is made anew is another one")
}

// TestReplacedVolumeIsNotCopied: what the old volume held is not on a new one.
func TestReplacedVolumeIsNotCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec))
	w.runNow()
	w.reconcile()
	w.edit(w.composedVolume(), set("another-uid", "metadata", "uid"))
	w.withBucket()
	w.reconcileAll()
	assert.Nil(t, w.copyJob())
	assert.Contains(t, w.condition("OffsiteCopied")["message"], "volume that has been replaced")
}

// TestCopyOfARefusedJob: a copy tells what it really waits for.
func TestCopyOfARefusedJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec))
	w.runNow()
	w.setSpec("system-node-critical", "job", "priorityClassName")
	w.withBucket()
	w.reconcileAll()
	assert.Nil(t, w.copyJob())
	assert.Equal(t, v1alpha1.ReasonJobRefused, w.condition("OffsiteCopied")["reason"])
}

// TestRunAndCopyAfterALostStatus: of two at work, the run goes on.
func TestRunAndCopyAfterALostStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+", "+offsiteSpec)).withBucket()
	w.reconcile()
	w.at("2026-11-23T02:00:00Z")
	w.runNow()
	copying := w.until("copy-job/").DeepCopy()
	w.at("2026-11-24T02:00:00Z")
	w.until("job/")
	copying.SetResourceVersion("")
	w.Put(copying) // the API server has not deleted it yet
	w.wipeStatus()
	w.reconcile()
	second := w.runNow()
	w.copied()
	assert.Equal(t, second, w.status("offsite", "run"))
}

// TestVerificationOfAnotherBucketWithoutStatus: what was found in the bucket of before is not told of the one that the spec
// names by now, whatever the status knows.
func TestVerificationOfAnotherBucketWithoutStatus(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		move   func(w *world, toAnother func())
	}{
		"Ended": {"its report is all that is left of it", func(w *world, toAnother func()) {
			w.bucketVerified(damage())
			toAnother()
			w.wipeStatus()
		}},
		"AtWork": {"it would be told at its end", func(w *world, toAnother func()) {
			toAnother()
			w.wipeStatus()
			w.bucketVerified(damage())
		}},
		"Ends": {"the status still knows the bucket of before", func(w *world, toAnother func()) {
			toAnother()
			w.bucketVerified(damage())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, offsite(aBucket, `verify: {schedule: "0 5 * * 0"}`)).withBucket()
			w.runNow()
			w.copied()
			w.at("2026-11-29T05:00:01Z")
			w.until("bucket-verify-job/")
			tc.move(w, func() { w.setSpec("other", "offsite", "bucket", "bucketName") })
			assert.NotContains(t, argsOf(w.until("copy-job/")), "--mend", tc.reason)
			w.copied()
			assert.Equal(t, v1alpha1.ReasonNotVerified, w.condition("OffsiteVerified")["reason"], tc.reason)
			w.at("2026-12-06T05:00:01Z")
			w.until("bucket-verify-job/")
			w.bucketVerified(job.Verification{Runs: 1})
			assert.Equal(t, "True", w.condition("OffsiteVerified")["status"])
		})
	}
}
