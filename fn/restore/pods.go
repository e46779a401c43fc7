package restore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// inspect has a Job verify the run and hand its objects over.
func inspect(o *State) Decision {
	if pushed(o) || planEnds(o) {
		return nil
	}
	reading := work{pod: o.Inspect, start: StartInspect, drop: DropInspect, doing: "reading the backup"}
	if p := checkDoomed(o); p != nil && !o.Inspect.Exists {
		return Stop{Problem: p, Retry: doomedRetry}
	}
	if o.Restore.Status.Plan != nil && !o.Inspect.Exists { // before there is a Job by which a call that was cut off would go on
		return Act{DropPlan}
	}
	if i := o.Inspection; i != nil {
		reading.completed, reading.reason, reading.message = i.Completed, i.Reason, i.Message
	}
	if o.Restore.Status.FileBucket == nil && bucketLogin(o) != nil {
		return Act{DropInspect} // the pod could not be given what only the run says
	}
	if d := reading.decide(o); d != nil {
		return d
	}
	i := o.Inspection
	if want := WantedManifest(o, i.Run); want != "" && i.ManifestSHA256 != want {
		reading.reason, reading.message = v1alpha1.ReasonRunReplaced, fmt.Sprintf("manifest.json of run %q has SHA-256 %s, and must have %s", i.Run, i.ManifestSHA256, want)
		return reading.failed(o)
	}
	return nil
}

// WantedRun is the run that the inspect Job reads: the one that an earlier commit recorded, whatever
// is the latest by now. The latest run of a ThreeScaleBackup is the one in its status: others may
// write to the volume.
func WantedRun(o *State) string {
	if o.Branch != nil && o.Branch.Run != "" {
		return o.Branch.Run
	}
	if last := lastRunIn(o.Backup); last != "" && o.Restore.Spec.RestoreSource.Run == job.Latest {
		return last
	}
	return o.Restore.Spec.RestoreSource.Run
}

// WantedManifest is the digest that a run's manifest must have: the one in the spec, else the one in
// the status of the ThreeScaleBackup; "" if neither is known.
func WantedManifest(o *State, run string) string {
	if want := o.Restore.Spec.RestoreSource.ManifestSHA256; want != "" {
		return want
	}
	return manifestIn(o.Backup, run)
}

// refill has a Job write the file storage.
func refill(o *State) Decision {
	if pushed(o) || !fills(o) {
		return nil
	}
	if o.Refill.Exists && replaced(o) {
		return Act{DropRefill}
	}
	writing := work{pod: o.Refill, start: StartRefill, drop: DropRefill, doing: "writing the file storage"}
	if r := o.Refilled; r != nil {
		writing.completed, writing.reason, writing.message = r.Completed, r.Reason, r.Message
	}
	return writing.decide(o)
}

// work is a Job of a restore, and what its report says.
type work struct {
	pod         Pod
	start, drop Action
	doing       string
	// What its report says, if there is one.
	completed       bool
	reason, message string
}

// decide starts the Job, waits for it, and says why it failed.
func (w work) decide(o *State) Decision {
	switch {
	case w.pod.Ending:
		return wait("Waiting for the former pod to be gone; if it takes long, look at: %s", look(o))
	case !w.pod.Exists:
		return Act{w.start}
	case w.pod.Failed:
		if w.reason == "" {
			w.reason, w.message = v1alpha1.ReasonFailed, w.pod.Message
		}
		return w.failed(o)
	case !w.pod.Complete:
		return wait("%s; if it takes long, look at: %s", job.Sentence(w.doing), look(o))
	case !w.completed:
		w.reason, w.message = v1alpha1.ReasonReportMissing, "the pod succeeded, but its report holds no result"
		return w.failed(o)
	}
	return nil
}

func look(o *State) string {
	return fmt.Sprintf("kubectl -n %s describe job,pod -l %s=%s", o.Restore.Namespace, v1alpha1.LabelRestore, o.Restore.Name)
}

// remedy says how somebody gets a restore on whose pod would fail again.
func remedy(o *State, drop Action, reason string) string {
	source, found := o.Restore.Spec.RestoreSource, o.Restore.Status.FoundCommit
	if source.Bucket != nil && drop == DropRefill {
		if text := changedBucket(o, reason); text != "" {
			return text
		}
	}
	if reason == v1alpha1.ReasonRunNotFound && found == "" && source.BackupRef != nil && source.Run == job.Latest {
		return "status.lastRun of the ThreeScaleBackup names it; name one of the earlier runs in spec.restoreSource.run, or the PersistentVolumeClaim itself in spec.restoreSource.persistentVolumeClaim"
	}
	if reason != v1alpha1.ReasonRunNotFound || found == "" || o.Inspection == nil || o.Inspection.Run == job.Latest {
		return "fix it, then ask again: " + AskAgain(o.Restore)
	}
	// Its record leads to this run for as long as nobody asks for another restore.
	return fmt.Sprintf("commit %s restored run %q, which is no longer %s; %s", short(found), o.Inspection.Run, place(o.Restore), anotherRun(o.Restore))
}

// changedBucket says how a restore goes on whose run was in the bucket when it was planned, and cannot
// be read there any more; "" if it failed for another reason. Another look for the same run would find
// no more than this one.
func changedBucket(o *State, reason string) string {
	const removed = "the retention of the copies removes runs whether or not somebody restores them"
	switch reason {
	case v1alpha1.ReasonRunNotFound:
		return fmt.Sprintf("run %q was in the bucket when it was planned, and %s; %s", o.Restore.Status.RestoredRun, removed, anotherRun(o.Restore))
	case v1alpha1.ReasonIntegrity:
		return fmt.Sprintf("the bucket lost or changed files of run %q, or it is being removed (%s); verify the bucket with the command line, and name another run in spec.restoreSource.run", o.Restore.Status.RestoredRun, removed)
	}
	return ""
}

// anotherRun says how to restore another run than the one that is gone.
func anotherRun(r *v1alpha1.ThreeScaleRestore) string {
	if r.Spec.RestoreSource.Run != job.Latest {
		return "name another run, or latest, in spec.restoreSource.run"
	}
	return "to restore the newest run: " + ForceAgain(r)
}

// place is where the runs are.
func place(r *v1alpha1.ThreeScaleRestore) string {
	if r.Spec.RestoreSource.Bucket != nil {
		return "in the bucket"
	}
	return "on the volume"
}

// triedAgain ends the message of a problem that may pass.
const triedAgain = "; the restore tries again by itself"

// failed says why a Job failed. A Job that may succeed later runs again after the retry interval,
// the others on request.
func (w work) failed(o *State) Decision {
	if requestedAgain(o.Restore) {
		return Act{w.drop}
	}
	failure := job.FailureOf(w.reason)
	text, advice := fmt.Sprintf("%s failed: %s", job.Sentence(w.doing), w.message), w.advice(o, failure)
	if failure.Retry == job.RetryOnRequest {
		return Stop{Problem: Stalled(w.reason, "%s; %s", text, cmp.Or(advice, remedy(o, w.drop, w.reason)))}
	}
	if advice != "" {
		text += "; " + advice
	}
	after := w.pod.EndedAt.Add(o.Restore.GetRetryInterval()).Sub(o.Now)
	if after <= 0 {
		return Act{w.drop}
	}
	return Stop{
		Problem: &Problem{Reason: w.reason, Message: fmt.Sprintf("%s; look at: %s%s", text, look(o), triedAgain)},
		Retry:   max(after, time.Second),
	}
}

// advice says what to do about a failure. Where the pod opens the bucket of the file storage too, that may be the one
// that failed.
func (w work) advice(o *State, f job.Failure) string {
	files := o.Inspection != nil && o.Inspection.FileBucket != nil && w.drop != DropLoad
	ofFiles := f.FileBucketAdvice
	if !o.Restore.OmitsBucketSecret() && slices.Contains([]string{v1alpha1.ReasonBucketDenied, v1alpha1.ReasonBucketNotFound, v1alpha1.ReasonBucketUntrusted}, f.Reason) {
		ofFiles += "; that Secret is the one in the run, which cannot be changed: if another login, bucket or address has replaced it since, set spec.fileStorage.bucketSecret to Omit, and make the Secret in this namespace"
	}
	switch {
	case !files || !strings.HasPrefix(f.Reason, "Bucket") || f.FileBucketAdvice == f.RestoreAdvice:
		return f.RestoreAdvice
	case o.Restore.Spec.RestoreSource.Bucket == nil:
		return ofFiles
	case f.RestoreAdvice == "" || f.FileBucketAdvice == "":
		return f.RestoreAdvice + ofFiles
	}
	return fmt.Sprintf("if it is the bucket of the runs, %s; if it is that of the file storage, %s", f.RestoreAdvice, ofFiles)
}

// requestedAgain reports whether somebody asked for another look since the last one.
func requestedAgain(r *v1alpha1.ThreeScaleRestore) bool {
	token, ok := meta.ReconcileAnnotationValue(r.GetAnnotations())
	return ok && token != r.Status.LastHandledReconcileAt
}

// AskAgain returns the command that asks for another look.
func AskAgain(r *v1alpha1.ThreeScaleRestore) string {
	return fmt.Sprintf("kubectl -n %s annotate --overwrite %s %s %s=\"$(date +%%s)\"", r.Namespace, "threescalerestore", r.Name, meta.ReconcileRequestAnnotation)
}

// ForceAgain returns the command that asks for another restore, whatever is recorded.
func ForceAgain(r *v1alpha1.ThreeScaleRestore) string {
	return fmt.Sprintf("now=$(date +%%s); kubectl -n %s annotate --overwrite threescalerestore %s %s=$now %s=$now", r.Namespace, r.Name, meta.ReconcileRequestAnnotation, meta.ForceRequestAnnotation)
}

// CheckJob refuses settings in spec.job that a pod must not have if the controller creates it with its
// own rights. If a ServiceAccount creates the pod, that account's rights and the namespace's admission
// decide instead.
func CheckJob(r *v1alpha1.ThreeScaleRestore, assignsUID bool) *Problem {
	if b := r.Spec.RestoreSource.Bucket; b != nil {
		if refused := podpolicy.CheckBucket(v1alpha1.Allow{}, *b); refused != "" {
			return Stalled(v1alpha1.ReasonBucketRefused, "a token of the pods' ServiceAccount for audience %q would go to %q, which is no security token service of AWS; use secretRef, or name a ServiceAccount that may create Jobs in spec.serviceAccountName", b.WebIdentity.Audience, b.WebIdentity.Endpoint)
		}
	}
	refused := podpolicy.Check(v1alpha1.Allow{}, r.Namespace, specs.SettingsPod(r.Spec.Job, assignsUID))
	if len(refused) == 0 {
		return nil
	}
	var told []string
	for _, r := range refused {
		told = append(told, job.Sentence(fmt.Sprintf("spec.job.%s %s", r.Field, r.Problem)))
	}
	return Stalled(v1alpha1.ReasonJobRefused, "%s. Leave it out, or name a ServiceAccount that may create Jobs in spec.serviceAccountName", strings.Join(told, ". "))
}

// CheckDatabaseImages refuses images of spec.databases that run with a login and with decrypted dumps, in a pod that the
// controller creates with its own rights; see CheckJob. Those that the patterns name are allowed.
func CheckDatabaseImages(r *v1alpha1.ThreeScaleRestore, patterns []string) *Problem {
	if !r.LoadsDatabases() {
		return nil
	}
	for _, name := range threescale.Databases() {
		if image := ImageOf(r, string(name)); image != "" && !podpolicy.AllowsImage(patterns, image) {
			return Stalled(v1alpha1.ReasonDatabaseImageRefused, "spec.databases.%s.image %q would run by the rights of the controller, with the login of the database, and --allow-database-images of the controller does not name it; name a ServiceAccount that may create Jobs in spec.serviceAccountName, or have an administrator allow the image", imageField(string(name)), image)
		}
	}
	return nil
}
