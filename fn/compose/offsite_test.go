package compose_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonCopyPending, w.condition("OffsiteCopied")["reason"])
	run := w.runNow()
	assert.Equal(t, true, w.status("completed"))
	assert.Equal(t, v1alpha1.ReasonCopyPending, w.condition("OffsiteCopied")["reason"], "from the moment at which the run is complete")

	assert.Equal(t, []string{"CopyStarted"}, eventsOf(w.reconcile()))
	j := w.until("copy-job/")
	assert.Subset(t, argsOf(j), []string{
		"copy", "--run=" + run, "--volume=/backup", "--bucket-endpoint=s3.example.com", "--bucket=backups", "--bucket-prefix=3scale/nightly", "--bucket-credentials=/bucket/credentials",
		"--owner=3scale/nightly/" + string(w.composedVolume().GetUID()),
	})
	assert.Contains(t, jsonOf(t, j.Object["spec"]), run+"="+digestOf(run), "its manifest is known")
	assert.Contains(t, jsonOf(t, w.only("Role").Object["rules"]), "nightly-copy-", "its mover may report")
	assert.Equal(t, "Running", w.status("offsite", "state"))
	assert.Contains(t, w.condition("OffsiteCopied")["message"], "kubectl", "it says where to look")
	assert.Equal(t, "True", w.condition("BackupCompleted")["status"], "the run is what it was")

	assert.Equal(t, []string{"Copied"}, w.copied())
	assert.Nil(t, w.copyJob(), "a Job that succeeded goes")
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
	assert.Equal(t, run, w.status("offsite", "run"))
	assert.Equal(t, digestOf(run), w.status("offsite", "manifestSHA256"))
	assert.EqualValues(t, 3040, w.status("offsite", "requests"))
	assert.Equal(t, "s3.example.com/backups/3scale/nightly", w.status("offsite", "location"))
	w.reconcileAll()
	assert.Nil(t, w.copyJob(), "once a run")
	assert.Zero(t, w.reconcile().GetMeta().GetTtl().AsDuration(), "nothing is left to do")

	w.wipeStatus()
	w.reconcileAll()
	assert.Nil(t, w.copyJob(), "nor another when the status is lost")
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"], "its report tells it again")

	w.setSpec("again", "trigger")
	second := w.runNow()
	assert.Equal(t, "False", w.condition("OffsiteCopied")["status"], "the newest run is not there yet")
	assert.Equal(t, run, w.status("offsite", "run"), "the one before is")
	w.copied()
	assert.Equal(t, second, w.status("offsite", "run"))
}

// TestCopyNeverTouchesTheSource: what the bucket needs is in no snapshot, and what the
// installation has is in no Job of the bucket.
func TestCopyNeverTouchesTheSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.until("job/")
	for key, o := range w.Composed() {
		assert.NotEqual(t, "bucket", o.GetAnnotations()[v1alpha1.AnnotationSourceName], key)
	}
	assert.NotContains(t, jsonOf(t, w.theJob().Object["spec"]), `"bucket"`, "the pod that sees the Secrets has no credentials of the bucket")
	w.runNow()
	spec := jsonOf(t, w.until("copy-job/").Object["spec"])
	assert.NotContains(t, spec, "-objects")
	assert.NotContains(t, spec, "system-")
	assert.Contains(t, spec, `"secret":{"items":[{"key":"accesskey"`)
}

// TestBucketIsGoneForAWeek: backups go on, and one condition says why.
func TestBucketIsGoneForAWeek(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+", "+offsiteSpec)).withBucket()
	w.function.quick = true
	w.reconcile()
	first := w.copiedAt("2026-11-23T02:00:00Z")
	gone := moment(t, "2026-11-24T02:00:00Z")
	var told []string
	tries := 0
	for now := gone; now.Before(gone.AddDate(0, 0, 7)); now = now.Add(30 * time.Minute) {
		w.setNow(now)
		told = append(told, eventsOf(w.reconcile())...)
		w.reconcile()
		if j := w.ofKey("job/"); j != nil && !hasEnded(j) {
			w.runNow()
		}
		if j := w.copyJob(); j != nil && !hasEnded(j) {
			tries++
			told = append(told, w.copyFails(v1alpha1.ReasonBucketUnreachable, "cannot connect to s3.example.com: connection refused")...)
			assert.Equal(t, true, w.status("completed"))
		}
		if tries > 0 && w.status("offsite", "failures") != nil {
			require.Equal(t, v1alpha1.ReasonBucketUnreachable, w.condition("OffsiteCopied")["reason"], "it stays while it is tried again")
		}
	}
	assert.Len(t, w.runIDs(), 8, "no run was missed")
	assert.Equal(t, "True", w.condition("BackupCompleted")["status"])
	assert.Equal(t, "True", w.condition("PreflightPassed")["status"])
	assert.Equal(t, first, w.status("offsite", "run"), "since when, the status tells")
	assert.InDelta(t, 7*24, tries, 8, "at last once an hour")
	failures := 0
	for _, reason := range told {
		if reason == v1alpha1.ReasonBucketUnreachable {
			failures++
		}
	}
	assert.Equal(t, 1, failures, "one event a change, not one a try")

	w.setNow(gone.AddDate(0, 0, 7))
	w.runNow()
	assert.Equal(t, []string{"Copied"}, w.copied())
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
	assert.Nil(t, w.status("offsite", "failures"))
	assert.Nil(t, w.status("offsite", "retryTime"))
	assert.Nil(t, w.status("offsite", "reason"))
}

// copiedAt lets the run of a slot succeed, and its copy.
func (w *world) copiedAt(text string) string {
	w.t.Helper()
	w.at(text)
	run := w.runNow()
	w.copied()
	return run
}

func TestCopyIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.runNow()
	now := w.now()
	for i, minutes := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		wait := time.Duration(minutes) * time.Minute
		w.copyFails(v1alpha1.ReasonBucketUnreachable, "cannot connect")
		assert.EqualValues(t, i+1, w.status("offsite", "failures"))
		assert.Equal(t, now.Add(wait).Format(time.RFC3339), w.status("offsite", "retryTime"))
		w.setNow(now.Add(wait - time.Second))
		w.reconcile()
		rsp := w.reconcile()
		assert.Equal(t, "Failed", w.status("offsite", "state"), "not before its time")
		assert.LessOrEqual(t, rsp.GetMeta().GetTtl().AsDuration(), 10*time.Minute)
		assert.Positive(t, rsp.GetMeta().GetTtl().AsDuration(), "nobody else would wake it")
		now = now.Add(wait)
		w.setNow(now)
		w.reconcile()
		assert.Equal(t, "Running", w.status("offsite", "state"))
		if i == 3 {
			w.wipeStatus() // the report knows how often
		}
	}
	w.copied()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
}

// TestCorrectedCopyIsTriedAtOnce: who mends what was wrong does not wait an hour.
func TestCorrectedCopyIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		mend   func(*world)
		starts bool
	}{
		"Nothing":  {"nothing has changed", func(*world) {}, false},
		"Secret":   {"the keys are right now", func(w *world) { w.putBucketSecret("bucket", "accesskey", "secretkey", "sessiontoken") }, true},
		"Region":   {"the spec is right now", func(w *world) { w.setSpec("eu-central-1", "offsite", "bucket", "region") }, true},
		"Location": {"another bucket", func(w *world) { w.setSpec("elsewhere", "offsite", "bucket", "prefix") }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(offsiteSpec)).withBucket()
			w.runNow()
			w.copyFails(v1alpha1.ReasonBucketDenied, "the object store refuses the keys")
			w.reconcile()
			tc.mend(w)
			w.reconcileAll()
			assert.Equal(t, tc.starts, !hasEnded(w.copyJob()), tc.reason)
		})
	}
}

// TestCopyYields: a run that is due ends the copy in flight, which goes on after it.
func TestCopyYields(t *testing.T) {
	t.Parallel()
	for name, due := range map[string]func(*world){
		"Slot":    func(w *world) { w.at("2026-11-24T02:00:00Z") },
		"Trigger": func(w *world) { w.setSpec("now", "trigger"); w.reconcile() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(nightlySpec+", "+offsiteSpec)).withBucket()
			w.reconcile()
			w.at("2026-11-23T02:00:00Z")
			first := w.runNow()
			copying := w.until("copy-job/")
			due(w)
			assert.Nil(t, w.copyJob(), "in the very call in which the run starts")
			assert.Equal(t, "False", w.condition("OffsiteCopied")["status"])
			second := w.runNow()
			assert.NotEqual(t, first, second)
			w.until("copy-job/")
			assert.NotEqual(t, copying.GetUID(), w.copyJob().GetUID())
			assert.Equal(t, second, w.copyRun(), "with the run that came meanwhile")
			assert.Nil(t, w.status("offsite", "failures"), "it did not fail")
			w.copied()
			assert.Equal(t, second, w.status("offsite", "run"))
		})
	}
}

// TestCopyYieldsToARunThatFails: what it was about is copied after it.
func TestCopyYieldsToARunThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+", "+offsiteSpec)).withBucket()
	w.reconcile()
	w.at("2026-11-23T02:00:00Z")
	first := w.runNow()
	w.until("copy-job/")
	w.at("2026-11-24T02:00:00Z")
	w.ends(w.until("job/"), "Failed")
	w.reconcile()
	w.until("copy-job/")
	assert.Equal(t, first, w.copyRun())
	w.copied()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"], "the newest run that succeeded")
	assert.Equal(t, "False", w.condition("BackupCompleted")["status"])
}

// TestCopyDoesNotYieldToARunThatCannotStart: a copy is worth more than a run that waits.
func TestCopyDoesNotYieldToARunThatCannotStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+", "+offsiteSpec)).withBucket()
	w.reconcile()
	w.at("2026-11-23T02:00:00Z")
	w.runNow()
	j := w.until("copy-job/")
	w.Delete("APIManager", namespace, "example")
	w.at("2026-11-24T02:00:00Z")
	w.reconcileAll()
	assert.Equal(t, j.GetUID(), w.copyJob().GetUID())
	w.copied()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"], "the installation is gone, and its backup is safe")
}

// TestCopyOverlapsNothing: copies and verifications wait for each other.
func TestCopyOverlapsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 5 * * *", `+weeklySpec+", "+offsiteSpec)).withBucket()
	w.reconcile()
	w.at("2026-11-28T05:00:00Z")
	w.runNow()
	w.copied()
	w.reconcile()
	w.at("2026-11-29T05:00:00Z")
	w.runNow()
	w.until("copy-job/")
	w.reconcileAll()
	assert.Nil(t, w.verifyJob(), "a verification waits for a copy")
	w.copied()
	w.untilVerifying()
	w.reconcileAll()
	w.verified(job.Verification{Runs: 2})
	assert.Equal(t, "True", w.condition("Verified")["status"])
}

// copyEnd is how a copy may fail.
type copyEnd struct {
	reason string
	do     func(w *world)
	want   string
	holds  string
}

func copyEnds() map[string]copyEnd {
	told := func(reason, message string) func(*world) {
		return func(w *world) {
			w.copyTold(job.CopyResult{Run: w.copyRun(), Reason: reason, Message: message})
			w.ends(w.copyJob(), "Failed")
		}
	}
	return map[string]copyEnd{
		"Silent":       {"the Job tells", func(w *world) { w.ends(w.copyJob(), "Failed") }, v1alpha1.ReasonCopyFailed, "BackoffLimitExceeded"},
		"Deadline":     {"it goes on where it ended", func(w *world) { w.endsBecause(w.copyJob(), "Failed", "DeadlineExceeded") }, v1alpha1.ReasonCopyFailed, "activeDeadlineSeconds"},
		"NoReport":     {"a Job that ended well has to say so", func(w *world) { w.ends(w.copyJob(), "Complete") }, v1alpha1.ReasonCopyFailed, "left no result"},
		"Garbage":      {"a report that nobody can read", func(w *world) { w.copySays("{"); w.ends(w.copyJob(), "Complete") }, v1alpha1.ReasonCopyFailed, "Cannot read key"},
		"OtherRun":     {"a result of another run says nothing", func(w *world) { w.copyTold(w.copyOf("trigger-1a2b3c4d5e6f")); w.ends(w.copyJob(), "Complete") }, v1alpha1.ReasonCopyFailed, "left no result"},
		"OtherDigest":  {"what is in the bucket is not what the run wrote", func(w *world) { w.copiesOther() }, v1alpha1.ReasonDamaged, "another manifest.json"},
		"ForgedReason": {"a reason is a word", told("not a word: "+string(rune(7)), "x"), v1alpha1.ReasonCopyFailed, "BackoffLimitExceeded"},
		"NotFound":     {"the mover tells", told(v1alpha1.ReasonBucketNotFound, "there is no bucket backups"), v1alpha1.ReasonBucketNotFound, "There is no bucket backups"},
		"Denied":       {"the mover tells", told(v1alpha1.ReasonBucketDenied, "x"), v1alpha1.ReasonBucketDenied, "X"},
		"ClockSkew":    {"the mover tells", told(v1alpha1.ReasonBucketClockSkew, "x"), v1alpha1.ReasonBucketClockSkew, "X"},
		"Untrusted":    {"the mover tells", told(v1alpha1.ReasonBucketUntrusted, "x"), v1alpha1.ReasonBucketUntrusted, "X"},
		"Unreachable":  {"the mover tells", told(v1alpha1.ReasonBucketUnreachable, "x"), v1alpha1.ReasonBucketUnreachable, "X"},
		"Full":         {"the mover tells", told(v1alpha1.ReasonBucketFull, "x"), v1alpha1.ReasonBucketFull, "X"},
		"Incompatible": {"the mover tells", told(v1alpha1.ReasonBucketIncompatible, "x"), v1alpha1.ReasonBucketIncompatible, "X"},
		"Owned":        {"the volume may be one that was restored", told(v1alpha1.ReasonBucketOwned, "the prefix holds the runs of another volume"), v1alpha1.ReasonBucketOwned, "prefix"},
	}
}

func TestCopyEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range copyEnds() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(offsiteSpec)).withBucket()
			run := w.runNow()
			w.until("copy-job/")
			tc.do(w)
			assert.Equal(t, []string{tc.want}, eventsOf(w.reconcile()), tc.reason)
			condition := w.condition("OffsiteCopied")
			assert.Equal(t, "False", condition["status"], tc.reason)
			assert.Equal(t, tc.want, condition["reason"], tc.reason)
			assert.Contains(t, condition["message"], tc.holds, tc.reason)
			assert.Contains(t, condition["message"], run)
			assert.Equal(t, true, w.status("completed"), "the run is on the volume")
			assert.Equal(t, "True", w.condition("PreflightPassed")["status"], "another run may start")
			w.setNow(w.now().Add(time.Hour))
			w.copied()
			assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
		})
	}
}

func (w *world) copySays(text string) {
	id := w.copyJob().GetLabels()[v1alpha1.LabelCopy]
	w.edit(w.Composed()["copy-report/"+id], set(text, "data", job.KeyCopy))
}

func (w *world) copiesOther() {
	result := w.copyOf(w.copyRun())
	result.ManifestSHA256 = digestOf("other")
	w.copyTold(result)
	w.ends(w.copyJob(), "Complete")
}
