package compose_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// offsite writes spec.offsite with some fields of the bucket, and others beside it.
func offsite(bucket, others string) string {
	return beside(`offsite: {bucket: {` + bucket + `}, ` + others + `}`)
}

const aBucket = `endpoint: s3.example.com, bucketName: backups, secretRef: {name: bucket}`

// offsiteRefusals: the schema refuses most of these already, but an older schema does not. They stop copies, and no run.
func offsiteRefusals() map[string]refusal {
	const invalid = v1alpha1.ReasonInvalidOffsite
	return map[string]refusal{
		"EndpointIsURL": {
			reason: "people paste what their browser shows", spec: offsite(strings.Replace(aBucket, "s3.example.com", "https://s3.example.com", 1), ""),
			want: invalid, holds: []string{"Spec.offsite.bucket", "without https://"},
		},
		"BucketNameEmpty":  {reason: "there is none of no name", spec: offsite(strings.Replace(aBucket, "backups", `""`, 1), ""), want: invalid, holds: []string{"bucketName"}},
		"PrefixAbsolute":   {reason: "keys begin without a slash", spec: offsite(aBucket+`, prefix: /a`, ""), want: invalid, holds: []string{"prefix", `"/a"`}},
		"PrefixUpwards":    {reason: "some clients resolve it", spec: offsite(aBucket+`, prefix: a/../b`, ""), want: invalid, holds: []string{"prefix"}},
		"TwoIdentities":    {reason: "which one counts?", spec: offsite(aBucket+`, webIdentity: {roleARN: "arn:aws:iam::123456789012:role/backup"}`, ""), want: invalid, holds: []string{"not both"}},
		"NoIdentity":       {reason: "nobody may write to it", spec: offsite(`endpoint: s3.example.com, bucketName: backups`, ""), want: invalid, holds: []string{"secretRef or webIdentity"}},
		"RoleEmpty":        {reason: "it assumes nothing", spec: offsite(`endpoint: s3.example.com, bucketName: backups, webIdentity: {roleARN: ""}`, ""), want: invalid, holds: []string{"roleARN"}},
		"SecretWithNoName": {reason: "a selector without a name takes any", spec: offsite(aBucket+`, certSecretRef: {name: ""}`, ""), want: invalid, holds: []string{"certSecretRef"}},
		"OffsiteRetentionOfNothing": {
			reason: "no default and no slip deletes every copy", spec: offsite(aBucket, `retention: {keepLast: 0}`), want: invalid, holds: []string{"Spec.offsite.retention", "keep nothing"},
		},
		"OffsiteVerifyEmpty":     {reason: "it looks as if it were on", spec: offsite(aBucket, `verify: {schedule: ""}`), want: invalid, holds: []string{"Spec.offsite.verify.schedule", "empty"}},
		"OffsiteVerifyMalformed": {reason: "it never fires", spec: offsite(aBucket, `verify: {schedule: never}`), want: invalid, holds: []string{"Spec.offsite.verify.schedule"}},
		"LockModeUnknown":        {reason: "a lock that is none", spec: offsite(aBucket, `objectLock: {mode: Soft, days: 3}`), want: invalid, holds: []string{"Spec.offsite.objectLock", `"Soft"`}},
		"LockForNoDay":           {reason: "a lock that is none", spec: offsite(aBucket, `objectLock: {mode: Governance, days: 0}`), want: invalid, holds: []string{"days is 0"}},
	}
}

func offsiteCautions() map[string]caution {
	onCluster := func(endpoint string) caution {
		return caution{
			reason: "the backup would share the cluster's fate", spec: offsite(strings.Replace(aBucket, "s3.example.com", endpoint, 1), ""),
			want: v1alpha1.ReasonBucketOnCluster, holds: []string{endpoint},
		}
	}
	elsewhere := func(endpoint string) caution {
		return caution{reason: "it is not of this cluster", spec: offsite(strings.Replace(aBucket, "s3.example.com", endpoint, 1), ""), want: v1alpha1.ReasonNoWarnings}
	}
	return map[string]caution{
		"BucketBareService":  onCluster("minio"),
		"BucketBarePort":     onCluster(`"minio:9000"`),
		"BucketService":      onCluster("s3.openshift-storage.svc"),
		"BucketServicePort":  onCluster(`"s3.openshift-storage.svc:443"`),
		"BucketFullName":     onCluster("s3.openshift-storage.svc.cluster.local"),
		"BucketOtherDomain":  onCluster("rook-ceph-rgw.rook-ceph.svc.corp.example"),
		"BucketElsewhere":    elsewhere("s3.eu-central-1.amazonaws.com"),
		"BucketByIP":         elsewhere(`"192.0.2.7:9000"`),
		"BucketCalledSVC":    elsewhere("svc.example.com"),
		"BucketSecretIsNone": {reason: "copies wait for it, runs do not", spec: beside(offsiteSpec), want: v1alpha1.ReasonNoWarnings},
		"CopyWarnings": {
			reason: "what a copy left out wants attention", spec: beside(offsiteSpec),
			arrange: func(w *world) { w.withBucket() },
			run: func(w *world) {
				w.runNow()
				w.until("copy-job/")
				result := w.copyOf(w.copyRun())
				result.Warnings = []string{"run 20261121t020000z-11111111 is not copied: its manifest.json is not the one that is known"}
				w.copyTold(result)
				w.ends(w.copyJob(), "Complete")
				w.reconcile()
			},
			want: v1alpha1.ReasonCopyWarnings, holds: []string{"20261121t020000z-11111111"},
		},
	}
}

// TestOffsiteReasonsHaveCases: every reason that the API documents can occur.
func TestOffsiteReasonsHaveCases(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{
		v1alpha1.ReasonCopied:              true, // TestCopy
		v1alpha1.ReasonCopyPending:         true, // TestCopy
		v1alpha1.ReasonBucketSecretMissing: true, // TestBucketSecrets
		v1alpha1.ReasonOffsiteRemoved:      true, // TestOffsiteRemoved
		v1alpha1.ReasonBucketRefused:       true, // TestBucketRefused
		v1alpha1.ReasonInvalidOffsite:      true, // TestInvalidOffsite
	}
	for _, tc := range copyEnds() {
		if tc.want != v1alpha1.ReasonDamaged { // that is of another condition
			seen[tc.want] = true
		}
	}
	requireSameReasons(t, v1alpha1.ConditionOffsiteCopied, seen)
}

// TestBucketSecrets: what is wrong with them stops copies and nothing else, and is told.
func TestBucketSecrets(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		spec   string
		put    func(*world)
		missed []string
	}{
		"Missing": {"it may come later", aBucket, func(*world) {}, []string{`Secret "bucket"`, "secretRef", "accesskey and secretkey"}},
		"Half":    {"both keys are needed", aBucket, func(w *world) { w.putBucketSecret("bucket", "accesskey") }, []string{"lacks", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}},
		"Mixed":   {"one of each is none", aBucket, func(w *world) { w.putBucketSecret("bucket", "accesskey", "AWS_SECRET_ACCESS_KEY") }, []string{"lacks"}},
		"Flux":    {"as Flux names them", aBucket, func(w *world) { w.withBucket() }, nil},
		"Claim":   {"as an ObjectBucketClaim names them", aBucket, func(w *world) { w.putBucketSecret("bucket", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") }, nil},
		"NoCA":    {"its certificate could not be checked", aBucket + `, certSecretRef: {name: ca}`, func(w *world) { w.withBucket() }, []string{`Secret "ca"`, "ca.crt"}},
		"CA":      {"it has the key", aBucket + `, certSecretRef: {name: ca}`, func(w *world) { w.withBucket(); w.putBucketSecret("ca", "ca.crt") }, nil},
		"NoProxy": {"it must not be gone around", aBucket + `, proxySecretRef: {name: proxy}`, func(w *world) { w.withBucket(); w.putBucketSecret("proxy", "username") }, []string{`Secret "proxy"`, "address"}},
		"Token":   {"it needs none", `endpoint: s3.example.com, bucketName: backups, webIdentity: {roleARN: "arn:aws:iam::123456789012:role/backup"}`, func(*world) {}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, offsite(tc.spec, ""))
			tc.put(w)
			w.runNow()
			assert.Equal(t, true, w.status("completed"), "the bucket stops no run")
			assert.Equal(t, "True", w.condition("PreflightPassed")["status"])
			w.reconcileAll()
			if tc.missed == nil {
				w.copied()
				assert.Equal(t, "True", w.condition("OffsiteCopied")["status"], tc.reason)
				return
			}
			assert.Nil(t, w.copyJob(), tc.reason)
			assert.Equal(t, v1alpha1.ReasonBucketSecretMissing, w.condition("OffsiteCopied")["reason"])
			for _, text := range tc.missed {
				assert.Contains(t, w.condition("OffsiteCopied")["message"], text, tc.reason)
			}
			assert.Positive(t, w.reconcile().GetMeta().GetTtl().AsDuration(), "core does not tell that it is there")
			w.withBucket()
			w.putBucketSecret("ca", "ca.crt")
			w.putBucketSecret("proxy", "address")
			w.copied()
			assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
		})
	}
}

// TestInvalidOffsiteStartsNoCopy: no Job is made of what is refused.
func TestInvalidOffsiteStartsNoCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.runNow()
	w.setSpec("a/../b", "offsite", "bucket", "prefix")
	w.reconcileAll()
	assert.Nil(t, w.copyJob())
	assert.Equal(t, v1alpha1.ReasonInvalidOffsite, w.condition("OffsiteCopied")["reason"])
}

func TestInvalidOffsite(t *testing.T) {
	t.Parallel()
	for name, tc := range offsiteRefusals() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec).withBucket()
			w.runNow()
			w.reconcileAll()
			assert.Equal(t, "True", w.condition("PreflightPassed")["status"], "a slip in where copies go stops no run")
			condition := w.condition("OffsiteCopied")
			assert.Equal(t, tc.want, condition["reason"], tc.reason)
			for _, text := range tc.holds {
				assert.Contains(t, condition["message"], text, tc.reason)
			}
			assert.Nil(t, w.copyJob())
		})
	}
}

// TestOffsiteRemoved: what is in flight ends as it began, and then nothing is told.
func TestOffsiteRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.runNow()
	j := w.until("copy-job/")
	delete(w.Composite.Object["spec"].(map[string]any), "offsite")
	w.reconcileAll()
	assert.Equal(t, j.GetUID(), w.copyJob().GetUID())
	w.copied()
	w.reconcileAll()
	assert.Nil(t, w.ofKey("copy-"))
	assert.Nil(t, w.status("offsite"))
	assert.Equal(t, v1alpha1.ReasonOffsiteRemoved, w.condition("OffsiteCopied")["reason"], "not what was true before")
	assert.Zero(t, w.reconcile().GetMeta().GetTtl().AsDuration())

	never := newWorld(t, "")
	never.runNow()
	assert.Nil(t, never.condition("OffsiteCopied"), "nobody asked")
	assert.Nil(t, never.condition("OffsiteVerified"))
}

// TestOtherBucket: what is in one bucket is not in another.
func TestOtherBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	run := w.runNow()
	w.copied()
	w.setSpec("other", "offsite", "bucket", "bucketName")
	w.reconcile()
	assert.Equal(t, "False", w.condition("OffsiteCopied")["status"])
	assert.Equal(t, "s3.example.com/other/3scale/nightly", w.status("offsite", "location"))
	w.until("copy-job/")
	assert.Contains(t, argsOf(w.copyJob()), "--bucket=other")
	w.setSpec("third", "offsite", "bucket", "bucketName")
	w.copied()
	assert.Equal(t, "False", w.condition("OffsiteCopied")["status"], "that was to another one")
	w.until("copy-job/")
	assert.Contains(t, argsOf(w.copyJob()), "--bucket=third")
	w.copied()
	assert.Equal(t, run, w.status("offsite", "run"))
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
}

// TestRetentionOfTheBucket: its own, else the volume's.
func TestRetentionOfTheBucket(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, spec, want string }{
		"Own":     {"a bucket is cheaper", `retention: {keepDaily: 3}, offsite: {bucket: {` + aBucket + `}, retention: {keepDaily: 90}}`, "--keep-daily=90"},
		"Volumes": {"one rule for both", `retention: {keepDaily: 3}, ` + offsiteSpec, "--keep-daily=3"},
		"None":    {"no default deletes", offsiteSpec, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(`timeZone: Europe/Berlin, `+tc.spec)).withBucket()
			w.runNow()
			args := strings.Join(argsOf(w.until("copy-job/")), " ")
			assert.Equal(t, tc.want != "", strings.Contains(args, "--keep-"), tc.reason)
			assert.Contains(t, args, tc.want, tc.reason)
			result := w.copyOf(w.copyRun())
			result.Removed = []string{"20261101t020000z-11111111"}
			w.copyTold(result)
			w.ends(w.copyJob(), "Complete")
			assert.Equal(t, []string{"Copied", "RunsRemoved"}, eventsOf(w.reconcile()))
		})
	}
}

// TestBucketVerification reads the bucket again, whatever the volume is.
func TestBucketVerification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, offsite(aBucket, `verify: {schedule: "0 5 * * 0"}`)).withBucket()
	w.reconcile()
	assert.Equal(t, v1alpha1.ReasonNotVerified, w.condition("OffsiteVerified")["reason"])
	run := w.runNow()
	assert.NotContains(t, argsOf(w.until("copy-job/")), "--mend", "no damage is known")
	w.copied()
	assert.Equal(t, []string{"VerificationStarted"}, eventsOf(w.at("2026-11-29T05:00:01Z")))
	j := w.until("bucket-verify-job/")
	assert.Subset(t, argsOf(j), []string{"verify", "--run=all", "--bucket=backups", "--expect-run=" + run, "--manifest-sha256=" + digestOf(run)})
	assert.NotContains(t, jsonOf(t, j.Object["spec"]), "persistentVolumeClaim")
	w.bucketVerified(job.Verification{Runs: 1, Files: 3016, Bytes: 92331122})
	assert.Equal(t, "True", w.condition("OffsiteVerified")["status"])
	assert.Nil(t, w.condition("Verified"), "that is of the volume")
	assert.EqualValues(t, 3016, w.status("offsite", "verification", "files"))
	assert.Equal(t, "2026-12-06T05:00:00Z", w.status("offsite", "verification", "schedule", "nextSlot"))

	w.wipeStatus()
	w.reconcileAll()
	assert.Nil(t, w.ofKey("bucket-verify-job/"), "one a slot")
	assert.Equal(t, "True", w.condition("OffsiteVerified")["status"], "its report tells it again")

	w.at("2026-12-06T05:00:01Z")
	w.until("bucket-verify-job/")
	w.bucketVerified(damage())
	assert.Equal(t, v1alpha1.ReasonDamaged, w.condition("OffsiteVerified")["reason"])
	assert.Contains(t, w.condition("OffsiteVerified")["message"], "logo.png")
	w.setSpec("again", "trigger")
	w.until("job/")
	assert.NotContains(t, argsOf(w.ofKey("job/")), "--prove-links", "the volume is not damaged")
	w.runNow()
	assert.Contains(t, argsOf(w.until("copy-job/")), "--mend", "what the bucket lost is on the volume")
}

// bucketVerified lets the verification of the bucket in flight end with a result.
func (w *world) bucketVerified(result job.Verification) {
	w.t.Helper()
	j := w.ofKey("bucket-verify-job/")
	result.Completed, result.StartTime, result.CompletionTime = true, w.now(), w.now()
	w.edit(w.Composed()["bucket-verify-report/"+j.GetLabels()[v1alpha1.LabelVerification]], set(jsonOf(w.t, result), "data", job.KeyVerification))
	w.ends(j, "Complete")
	w.reconcile()
}

// TestBucketVerificationYields: nothing that needs the bucket is in the way of a run, and a verification that is ended
// by each run is not in the way of the copies.
func TestBucketVerificationYields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, offsite: {bucket: {`+aBucket+`}, verify: {schedule: "0 1 * * *"}}`)).withBucket()
	w.reconcile()
	w.copiedAt("2026-11-23T02:00:00Z")
	w.at("2026-11-24T01:00:00Z")
	w.until("bucket-verify-job/")
	w.at("2026-11-24T02:00:00Z")
	assert.Nil(t, w.ofKey("bucket-verify-job/"))
	run := w.runNow()
	w.copied()
	assert.Equal(t, run, w.status("offsite", "run"))
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
	w.until("bucket-verify-job/")
	w.at("2026-11-25T02:00:00Z")
	assert.Nil(t, w.ofKey("bucket-verify-job/"))
	run = w.runNow()
	w.copied()
	assert.Equal(t, run, w.status("offsite", "run"))
	w.until("bucket-verify-job/")
	w.bucketVerified(job.Verification{Runs: 1})
	assert.Equal(t, "True", w.condition("OffsiteVerified")["status"])
}

// TestVerificationOfAnotherBucket: what is found in the bucket of before is not told of the one that the spec names by
// now.
func TestVerificationOfAnotherBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, offsite(aBucket, `verify: {schedule: "0 5 * * 0"}`)).withBucket()
	w.runNow()
	w.copied()
	w.at("2026-11-29T05:00:01Z")
	j := w.until("bucket-verify-job/")
	w.setSpec("other", "offsite", "bucket", "bucketName")
	w.reconcile()
	assert.Nil(t, w.ofKey("bucket-verify-job/"))
	w.copied()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
	assert.Equal(t, v1alpha1.ReasonNotVerified, w.condition("OffsiteVerified")["reason"])
	w.at("2026-12-06T05:00:01Z")
	assert.NotEqual(t, j.GetName(), w.until("bucket-verify-job/").GetName())
	w.bucketVerified(job.Verification{Runs: 1})
	assert.Equal(t, "True", w.condition("OffsiteVerified")["status"])
}

// TestCopyOfAnotherRunFails: the newest run is in the bucket, whatever became of an earlier one.
func TestCopyOfAnotherRunFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	run := w.runNow()
	w.until("copy-job/")
	result := w.copyOf(run)
	result.Completed, result.Reason, result.Message = false, v1alpha1.ReasonIntegrity, "run 20261121t020000z-11111111 is damaged"
	w.copyTold(result)
	w.ends(w.copyJob(), "Failed")
	w.reconcile()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
	assert.Equal(t, run, w.status("offsite", "run"))
	assert.Equal(t, v1alpha1.ReasonCopyWarnings, w.condition("Warning")["reason"])
	assert.Contains(t, w.condition("Warning")["message"], "20261121t020000z-11111111 is damaged")
	w.setNow(w.now().Add(2 * time.Hour))
	w.reconcileAll()
	assert.False(t, w.copyJob() != nil && !hasEnded(w.copyJob()), "the copy of the next run tries again")
}

// TestBucketRefused: what the Composition does not allow stops copies, and nothing else.
func TestBucketRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(offsiteSpec)).withBucket()
	w.Allow = v1alpha1.Allow{Buckets: []string{"s3.example.org/*"}}
	w.runNow()
	w.reconcileAll()
	assert.Nil(t, w.copyJob())
	assert.Equal(t, "True", w.condition("PreflightPassed")["status"])
	condition := w.condition("OffsiteCopied")
	assert.Equal(t, v1alpha1.ReasonBucketRefused, condition["reason"])
	assert.Contains(t, condition["message"], "s3.example.com/backups")
	w.Allow.Buckets = append(w.Allow.Buckets, "s3.example.com/backups")
	w.copied()
	assert.Equal(t, "True", w.condition("OffsiteCopied")["status"])
}
