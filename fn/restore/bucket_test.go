package restore

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// fromBucket restores from a bucket on a cluster that has no volume with backups.
func fromBucket(o *State) {
	o.SourcePVC = nil
	o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{
		Bucket: &v1alpha1.Bucket{Endpoint: "s3.example.com", BucketName: "backups", Prefix: "3scale/nightly", SecretRef: &meta.LocalObjectReference{Name: "bucket"}},
		Run:    job.Latest,
	}
	o.BucketSecrets = map[string][]string{"bucket": {"accesskey", "secretkey"}}
}

// ofBucket changes the bucket of a restore.
func ofBucket(edit func(*v1alpha1.Bucket)) func(*State) {
	return func(o *State) { edit(o.Restore.Spec.RestoreSource.Bucket) }
}

func TestBucketSecrets(t *testing.T) {
	has := func(secret string, keys ...string) func(*State) {
		return func(o *State) { o.BucketSecrets[secret] = keys }
	}
	authority := ofBucket(func(b *v1alpha1.Bucket) { b.CertSecretRef = &meta.LocalObjectReference{Name: "ca"} })
	proxy := ofBucket(func(b *v1alpha1.Bucket) { b.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"} })
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		says   string // "" passes
	}{
		"Flux":    {"the keys of a Flux Bucket", nil, ""},
		"Claim":   {"those of an ObjectBucketClaim", stages(has("bucket", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")), ""},
		"Missing": {"it may be made later", stages(func(o *State) { delete(o.BucketSecrets, "bucket") }), `Secret "bucket" does not exist in namespace "3scale"; create it with the keys accesskey and secretkey, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or correct spec.restoreSource.bucket.secretRef`},
		"Half":    {"it may be completed later", stages(has("bucket", "accesskey")), `Secret "bucket" in namespace "3scale" must have the keys accesskey and secretkey, or AWS_`},
		"Empty":   {"it exists, and that is all", stages(has("bucket")), `Secret "bucket" in namespace "3scale" must have`},
		"NoCA":    {"the object store's certificate would be trusted by nobody", stages(authority), `Secret "ca" does not exist in namespace "3scale"; create it with the key ca.crt, or correct spec.restoreSource.bucket.certSecretRef`},
		"CA":      {"", stages(authority, has("ca", "ca.crt")), ""},
		"NoProxy": {"an empty address would be no proxy", stages(proxy, has("proxy", "username", "password")), `Secret "proxy" in namespace "3scale" must have the key address; add what it lacks, or correct spec.restoreSource.bucket.proxySecretRef`},
		"Role":    {"the Job's own token is exchanged", stages(ofBucket(func(b *v1alpha1.Bucket) { b.SecretRef, b.WebIdentity = nil, &v1alpha1.WebIdentity{} }), func(o *State) { o.BucketSecrets = nil }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := told(observed(append(stages(fromBucket), tc.edits...)...))
			if tc.says == "" {
				assert.Equal(t, AskRights, d.Action, "%s: %+v", tc.reason, d)
				return
			}
			assert.Equal(t, "Source", d.Step)
			requireProblem(t, d, v1alpha1.ReasonBucketSecretMissing, false)
			assert.Contains(t, d.Problem.Message, tc.says, tc.reason)
		})
	}
}

// TestBucketSecretGoesMeanwhile: the next Job could not open the bucket.
func TestBucketSecretGoesMeanwhile(t *testing.T) {
	o := observed(fromBucket, branchRead, inspected, planned, storageMade)
	assert.Equal(t, StartRefill, told(o).Action)
	o.BucketSecrets = nil
	requireProblem(t, told(o), v1alpha1.ReasonBucketSecretMissing, false)
}

func TestBucketHasNoPVC(t *testing.T) {
	o := observed(fromBucket)
	assert.Empty(t, SourcePVCName(o.Restore, nil))
	assert.Equal(t, job.Latest, WantedRun(o))
	assert.Empty(t, WantedManifest(o, run), "nothing in this cluster knows it")
	o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest
	assert.Equal(t, manifestDigest, WantedManifest(o, run))
}

// TestAttemptFromBucket: a key that is rotated under another name restores nothing again.
func TestAttemptFromBucket(t *testing.T) {
	digest := func(edit func(*v1alpha1.Bucket)) string {
		return attemptOf(observed(fromBucket, ofBucket(edit)).Restore)
	}
	base := digest(func(*v1alpha1.Bucket) {})
	assert.Equal(t, "d394c3c5d8d54f4a302942b1964d9582db5f32c9bd87c697dbc811c52c9ffa08", base, "digests stand in commits")
	for name, edit := range map[string]func(*v1alpha1.Bucket){
		"Provider": func(b *v1alpha1.Bucket) { b.Provider = v1alpha1.BucketAWS },
		"Region":   func(b *v1alpha1.Bucket) { b.Region = "eu-central-1" },
		"Secret":   func(b *v1alpha1.Bucket) { b.SecretRef.Name = "bucket-2027" },
		"Identity": func(b *v1alpha1.Bucket) { b.SecretRef, b.WebIdentity = nil, &v1alpha1.WebIdentity{RoleARN: "a"} },
		"CA":       func(b *v1alpha1.Bucket) { b.CertSecretRef = &meta.LocalObjectReference{Name: "ca"} },
		"Proxy":    func(b *v1alpha1.Bucket) { b.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"} },
		"Checksum": func(b *v1alpha1.Bucket) { b.Checksums, b.Insecure = v1alpha1.ChecksumsNone, true },
	} {
		assert.Equal(t, base, digest(edit), "%s is how the bucket is reached", name)
	}
	for name, edit := range map[string]func(*v1alpha1.Bucket){
		"Endpoint": func(b *v1alpha1.Bucket) { b.Endpoint = "s3.example.net" },
		"Bucket":   func(b *v1alpha1.Bucket) { b.BucketName = "others" },
		"Prefix":   func(b *v1alpha1.Bucket) { b.Prefix = "3scale/weekly" },
	} {
		assert.NotEqual(t, base, digest(edit), "%s is another source", name)
	}
	o := observed(fromBucket)
	attemptOf(o.Restore)
	assert.NotNil(t, o.Restore.Spec.RestoreSource.Bucket.SecretRef, "the spec stays what it is")
}

// TestPlanSaysWhatWasCompared: the pod that reads a run in a bucket reads no file of it.
func TestPlanSaysWhatWasCompared(t *testing.T) {
	noFiles := func(o *State) { o.Inspection.FileStorage.Stored = false }
	unverified := func(o *State) { o.Inspection.Verified = false }
	for name, tc := range map[string]struct {
		reason                string
		edits                 []func(*State)
		verified, filesBySize bool
	}{
		"Volume":        {"every digest was compared", stages(inspected), true, false},
		"Operator":      {"there are no digests", stages(inspected, unverified), false, false},
		"Bucket":        {"those of the files are compared when they are written", stages(fromBucket, inspected), true, true},
		"BucketNoFiles": {"every digest was compared", stages(fromBucket, inspected, noFiles), true, false},
		"Unproven":      {"nothing is claimed that the pod does not say", stages(fromBucket, inspected, unverified), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			source := PlanOf(observed(tc.edits...), nil, nil, Notes{}).Source
			assert.Equal(t, tc.verified, source.Verified, tc.reason)
			assert.Equal(t, tc.filesBySize, source.FilesBySize, tc.reason)
		})
	}
}

// TestRunGoesFromBucket: nothing keeps the runs in a bucket while a restore reads them, since the
// backup that removes them may be of another cluster. Another look finds no more than this one.
func TestRunGoesFromBucket(t *testing.T) {
	named := func(o *State) { o.Restore.Spec.RestoreSource.Run = run }
	writing := func(reason string) []func(*State) {
		return stages(fromBucket, branchRead, inspected, planned, storageMade, failedRefill(reason), func(o *State) { o.Restore.Status.RestoredRun = run })
	}
	const (
		retention = "the retention of the copies removes runs whether or not somebody restores them"
		newest    = "to restore the newest run: now=$(date +%s); kubectl -n 3scale annotate --overwrite threescalerestore dr reconcile.fluxcd.io/requestedAt=$now reconcile.fluxcd.io/forceAt=$now"
		another   = "name another run, or latest, in spec.restoreSource.run"
		again     = "fix it, then ask again: kubectl"
	)
	for name, tc := range map[string]struct {
		why, reason string
		edits       []func(*State)
		says        []string
	}{
		"Latest":  {"the plan leads to it, whatever is the newest by now", "RunNotFound", writing("RunNotFound"), []string{`run "` + run + `" was in the bucket when it was planned`, retention, newest}},
		"Named":   {"the newest is not what the spec asks for", "RunNotFound", append(writing("RunNotFound"), named), []string{retention, another}},
		"Damaged": {"a blob is gone, or has other bytes", "Integrity", writing("Integrity"), []string{`the bucket lost or changed files of run "` + run + `"`, retention, "name another run in spec.restoreSource.run"}},
		"Reading": {"the name is mistaken, or the run is not copied yet", "RunNotFound", stages(fromBucket, branchRead, failedInspect("RunNotFound")), []string{again}},
		"Recorded": {"an earlier commit restored it", "RunNotFound", stages(fromBucket, branchRead, failedInspect("RunNotFound"), func(o *State) {
			o.Restore.Status.FoundCommit = commit
		}), []string{`commit 0123456789ab restored run "` + run + `", which is no longer in the bucket; `, newest}},
		"Else": {"the disk of the file storage is full", "NoSpace", writing("NoSpace"), []string{again}},
	} {
		t.Run(name, func(t *testing.T) {
			d := told(observed(tc.edits...))
			requireProblem(t, d, tc.reason, true)
			for _, text := range tc.says {
				assert.Contains(t, d.Problem.Message, text, tc.why)
			}
			assert.Equal(t, tc.says[0] == again, strings.Contains(d.Problem.Message, again), d.Problem.Message)
		})
	}
	volume := observed(branchRead, inspected, planned, storageMade, failedRefill("RunNotFound"))
	assert.Contains(t, told(volume).Problem.Message, again, "on a volume runs are kept for as long as a restore reads it")
}

// TestBucketFails: what an object store does not do is told with what to do, and the restore tries
// again, unless only another spec helps. Then it is asked again: how a bucket is reached may change
// without anything being restored again.
func TestBucketFails(t *testing.T) {
	tried := 0
	for _, failure := range job.Failures() {
		if !strings.HasPrefix(failure.Reason, "Bucket") || failure.RestoreAdvice == "" {
			continue // of a volume, or of a copy
		}
		tried++
		for step, edits := range map[string][]func(*State){
			"Inspect": stages(fromBucket, branchRead, failedInspect(failure.Reason)),
			"Refill":  stages(fromBucket, branchRead, inspected, planned, storageMade, failedRefill(failure.Reason)),
		} {
			t.Run(failure.Reason+step, func(t *testing.T) {
				o := observed(edits...)
				d := told(o)
				requireProblem(t, d, failure.Reason, failure.Retry == job.RetryOnRequest)
				assert.Equal(t, step, d.Step)
				assert.Contains(t, d.Problem.Message, "what it says; "+failure.RestoreAdvice)
				end := triedAgain
				if d.Problem.Terminal {
					end = "; then ask again: " + AskAgain(o.Restore)
				}
				assert.True(t, strings.HasSuffix(d.Problem.Message, end), d.Problem.Message)
				o.Now = noon.Add(time.Hour)
				assert.Equal(t, !d.Problem.Terminal, told(o).Problem == nil, "the Job is made again")
			})
		}
	}
	assert.Equal(t, 6, tried)
}

// TestTokensGoToAWS: the controller gives nobody's server a token of an account that it made.
func TestTokensGoToAWS(t *testing.T) {
	for name, tc := range map[string]struct {
		why      string
		identity v1alpha1.WebIdentity
		refused  bool
	}{
		"AWS":      {"what nearly all use", v1alpha1.WebIdentity{RoleARN: "arn:aws:iam::1:role/x"}, false},
		"OwnSTS":   {"it could use the token elsewhere", v1alpha1.WebIdentity{Endpoint: "https://sts.example.com"}, true},
		"Audience": {"the API server would take it", v1alpha1.WebIdentity{Audience: "https://kubernetes.default.svc"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed()
			fromBucket(o)
			bucket := o.Restore.Spec.RestoreSource.Bucket
			bucket.SecretRef, bucket.WebIdentity = nil, &tc.identity
			p := CheckJob(o.Restore, false)
			if !tc.refused {
				assert.Nil(t, p, tc.why)
				return
			}
			require.NotNil(t, p, tc.why)
			assert.Equal(t, v1alpha1.ReasonBucketRefused, p.Reason)
			assert.True(t, p.Terminal)
			assert.Contains(t, p.Message, "spec.serviceAccountName")
		})
	}
}
