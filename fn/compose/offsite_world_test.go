package compose_test

import (
	"encoding/base64"
	"strings"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/dataset"
)

// offsiteSpec is the least that copies need.
const offsiteSpec = `offsite: {bucket: {endpoint: s3.example.com, bucketName: backups, secretRef: {name: bucket}}}`

// putBucketSecret makes the Secret of the bucket, with keys that have values.
func (w *world) putBucketSecret(name string, keys ...string) {
	w.t.Helper()
	data := map[string]any{}
	for _, key := range keys {
		data[key] = base64.StdEncoding.EncodeToString([]byte(dataset.SecretMarker + key))
	}
	secret := object(w.t, `{apiVersion: v1, kind: Secret, metadata: {name: `+name+`, namespace: 3scale}, type: Opaque}`)
	secret.Object["data"] = data
	w.Put(secret)
}

// withBucket has the Secret that offsiteSpec names.
func (w *world) withBucket() *world {
	w.putBucketSecret("bucket", "accesskey", "secretkey")
	return w
}

// ofKey returns the composed object whose resource name begins with a key, or nil.
func (w *world) ofKey(key string) *unstructured.Unstructured {
	w.t.Helper()
	var found *unstructured.Unstructured
	for name, o := range w.Composed() {
		if strings.HasPrefix(name, key) {
			require.Nil(w.t, found, "more than one %s", key)
			found = o
		}
	}
	return found
}

func (w *world) copyJob() *unstructured.Unstructured { return w.ofKey("copy-job/") }

// until reconciles until there is a Job of a key.
func (w *world) until(key string) *unstructured.Unstructured {
	w.t.Helper()
	for range 8 {
		w.reconcile()
		if o := w.ofKey(key); o != nil && !hasEnded(o) {
			return o
		}
	}
	require.Fail(w.t, "no Job was composed", "%s: %v", key, w.status())
	return nil
}

// runNow lets the run in flight succeed now, whatever else there is.
func (w *world) runNow() string {
	w.t.Helper()
	j := w.until("job/")
	run := j.GetLabels()[v1alpha1.LabelRun]
	w.reportOf(run, completedAt(w, run))
	w.ends(j, "Complete")
	w.reconcile()
	return run
}

// ends has a Job end at the moment that it is.
func (w *world) ends(o *unstructured.Unstructured, condition string) {
	w.t.Helper()
	w.endsBecause(o, condition, "BackoffLimitExceeded")
}

func (w *world) endsBecause(o *unstructured.Unstructured, condition, reason string) {
	w.t.Helper()
	w.edit(o, set([]any{map[string]any{
		"type": condition, "status": "True", "reason": reason, "message": "Job has reached its end", "lastTransitionTime": w.now().UTC().Format("2006-01-02T15:04:05Z"),
	}}, "status", "conditions"))
}

// copyTold writes a result into the report of the copy in flight.
func (w *world) copyTold(result job.CopyResult) {
	w.t.Helper()
	id := w.copyJob().GetLabels()[v1alpha1.LabelCopy]
	w.edit(w.Composed()["copy-report/"+id], set(jsonOf(w.t, result), "data", job.KeyCopy))
}

// copyOf is what the mover reports of a copy that went well.
func (w *world) copyOf(run string) job.CopyResult {
	return job.CopyResult{
		Run: run, Completed: true, StartTime: w.now(), CompletionTime: w.now(), ManifestSHA256: digestOf(run), Runs: 1, Files: 3016, Bytes: 92331122, Requests: 3040,
	}
}

// copyRun is the run that the copy in flight is for.
func (w *world) copyRun() string {
	for _, arg := range argsOf(w.copyJob()) {
		if run, ok := strings.CutPrefix(arg, "--run="); ok {
			return run
		}
	}
	return ""
}

// copied lets the copy in flight succeed.
func (w *world) copied() []string {
	w.t.Helper()
	w.until("copy-job/")
	w.copyTold(w.copyOf(w.copyRun()))
	w.ends(w.copyJob(), "Complete")
	return eventsOf(w.reconcile())
}

// copyFails lets the copy in flight fail, with words of the mover's.
func (w *world) copyFails(reason, message string) []string {
	w.t.Helper()
	w.until("copy-job/")
	w.copyTold(job.CopyResult{Run: w.copyRun(), Reason: reason, Message: message})
	w.ends(w.copyJob(), "Failed")
	return eventsOf(w.reconcile())
}

// completedAt is what the mover reports of a run that goes well at the moment that it is.
func completedAt(w *world, run string) job.Result {
	result := completed(run)
	result.StartTime, result.CompletionTime = w.now(), w.now()
	return result
}
