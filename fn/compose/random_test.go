package compose_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/dataset"
)

// TestRandomLives lets users, controllers and bad luck do what they want in any
// order, and checks after each step what must always be true. A life that fails
// is lived again by its seed: go test -run 'TestRandomLives/17$'.
func TestRandomLives(t *testing.T) {
	t.Parallel()
	lives, steps := 12, 60
	if testing.Short() || raceDetector {
		lives = 3
	}
	for seed := range lives {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRandomLife(t, uint64(seed))
			for range steps {
				r.step()
			}
			r.settle()
		})
	}
}

// randomLife is one world and what is known of it from outside.
type randomLife struct {
	*world
	rnd *rand.Rand
	// story is what happened, for whoever has to understand a failure.
	story []string
	// succeeded are the volumes that hold a run, by its ID.
	succeeded map[string]types.UID
	// templates of all Jobs that ever were.
	templates map[types.UID]string
	// installed are the objects of the complete installation.
	installed map[string]*unstructured.Unstructured
	serial    int
}

func newRandomLife(t *testing.T, seed uint64) *randomLife {
	t.Helper()
	r := &randomLife{
		world:     newWorld(t, ""),
		rnd:       rand.New(rand.NewPCG(seed, 0)),
		succeeded: map[string]types.UID{},
		templates: map[types.UID]string{},
		installed: map[string]*unstructured.Unstructured{},
	}
	r.function.quick = true
	for _, u := range dataset.Installation(dataset.Options{Seed: 1, Namespace: namespace, Name: "example"}) {
		r.installed[u.GetKind()+"/"+u.GetName()] = u
	}
	if r.chance(3) {
		r.editNamed("StorageClass", "standard", set(true, "allowVolumeExpansion"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("story: " + strings.Join(r.story, ", "))
		}
	})
	return r
}

func (r *randomLife) chance(oneIn int) bool { return r.rnd.IntN(oneIn) == 0 }

func pick[T any](r *randomLife, of ...T) T { return of[r.rnd.IntN(len(of))] }

// step does one thing, and mostly lets core reconcile then.
func (r *randomLife) step() {
	r.t.Helper()
	deeds := r.deeds()
	names := slices.Sorted(maps.Keys(deeds))
	name := names[r.rnd.IntN(len(names))]
	r.story = append(r.story, name)
	deeds[name]()
	for range r.rnd.IntN(3) {
		r.look()
	}
}

// deeds are all that can happen.
func (r *randomLife) deeds() map[string]func() {
	return map[string]func(){
		"nothing":       func() {},
		"succeed":       func() { r.mover(true); r.end("Complete") },
		"result":        func() { r.mover(true) },
		"fail":          func() { r.mover(false); r.end("Failed") },
		"fail silently": func() { r.end("Failed") },
		"end":           func() { r.end("Complete") },
		"trigger":       func() { r.setSpec(pick(r, "", "A", "B", "C", "ü \U0001F4BE"), "trigger") },
		"lose status":   r.wipeStatus,
		"rotate": func() {
			r.serial++
			r.mend("Secret/system-app")
			r.rotate("system-app", fmt.Sprint(r.serial))
		},
		"touch": func() {
			r.mend("Secret/zync")
			r.editNamed("Secret", "zync", func(map[string]any) {})
		},
		"lose a source": func() {
			lost := r.installed[pick(r, "Secret/system-seed", "Secret/system-memcache", "ConfigMap/system-environment", "APIManager/example", "PersistentVolumeClaim/system-storage")]
			r.Delete(lost.GetKind(), namespace, lost.GetName())
		},
		"mend":          func() { r.mendAll() },
		"delete a Job":  func() { r.deleteComposed("job/") },
		"delete a copy": func() { r.deleteComposed("secret/") },
		"delete others": func() { r.deleteComposed(pick(r, "objects/", "report/", "role", "service-account")) },
		"delete volume": func() { r.deleteVolume() },
		"resize":        func() { r.setSpec(pick(r, "5Gi", "10Gi", "20Gi", "0"), destinationPath("resources", "requests")...) },
		"reconfigure":   func() { r.reconfigure() },
		"time passes":   func() { r.setNow(r.now().Add(time.Duration(r.rnd.IntN(48*60)) * time.Minute)) },
		"clock jumps":   func() { r.setNow(r.now().Add(time.Duration(r.rnd.IntN(100)-50) * 24 * time.Hour)) },
		"verified":      func() { r.endVerification("Complete") },
		"not verified":  func() { r.endVerification("Failed") },
		"copied":        func() { r.endCopy(true) },
		"not copied":    func() { r.endCopy(false) },
		"lose the copy": func() {
			r.deleteComposed(pick(r, "copy-job/", "copy-report/", "bucket-verify-job/", "bucket-verify-report/"))
		},
		"keys": func() {
			r.putBucketSecret("bucket", pick(r, []string{"accesskey"}, []string{"accesskey", "secretkey"})...)
		},
	}
}

func (r *randomLife) reconfigure() {
	switch r.rnd.IntN(9) {
	case 0:
		r.setSpec(pick(r, "None", "Latest"), "secretCopies")
	case 1:
		r.setSpec(pick(r, "Orphan", "Delete"), "deletionPolicy")
	case 2:
		r.setSpec(pick(r, "Backup", "Skip"), "fileStorage")
	case 3:
		r.setSpec(int64(r.rnd.IntN(1000)+1), "job", "activeDeadlineSeconds")
	case 4:
		r.Image = pick(r, "image:1", "image:2", "")
	case 5:
		r.setSpec(pick(r, "", "0 2 * * *", "*/10 * * * *", "wrong"), "schedule")
	case 6:
		r.setSpec(pick(r, map[string]any{"schedule": "0 5 * * *"}, map[string]any{"schedule": "@hourly", "latestOnly": true}), "verify")
	case 7:
		r.setSpec(r.chance(2), "suspend")
	case 8:
		r.setSpec(pick(r, "backups", "backups", "others"), "offsite", "bucket", "bucketName")
		r.setSpec("s3.example.com", "offsite", "bucket", "endpoint")
		r.setSpec("bucket", "offsite", "bucket", "secretRef", "name")
		r.setSpec(pick(r, "0 5 * * *", "@hourly"), "offsite", "verify", "schedule")
	}
}

// activeJob returns the Job that has not ended, or nil.
func (r *randomLife) activeJob() *unstructured.Unstructured {
	for key, o := range r.Composed() {
		if conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions"); strings.HasPrefix(key, "job/") && len(conditions) == 0 {
			return o
		}
	}
	return nil
}

// endCopy ends what uses the bucket.
func (r *randomLife) endCopy(well bool) {
	condition := pick(r, "Complete", "Failed")
	if well {
		condition = "Complete"
	}
	if active := r.copyJob(); active != nil && !hasEnded(active) {
		if r.ofKey("copy-report/") != nil && well {
			r.copyTold(r.copyOf(r.copyRun()))
		}
		r.ends(active, condition)
	}
	if active := r.ofKey("bucket-verify-job/"); active != nil && !hasEnded(active) {
		if report := r.ofKey("bucket-verify-report/"); report != nil && well {
			r.edit(report, set(jsonOf(r.t, job.Verification{Completed: true, CompletionTime: r.now(), Runs: 1}), "data", job.KeyVerification))
		}
		r.ends(active, condition)
	}
}

// endVerification ends the verification in flight.
func (r *randomLife) endVerification(condition string) {
	active := r.verifyJob()
	if active == nil {
		return
	}
	if report := r.Composed()["verify-report/"+active.GetLabels()[v1alpha1.LabelVerification]]; report != nil && condition == "Complete" {
		result := pick(r, damage(), job.Verification{Runs: 1})
		result.Completed, result.CompletionTime = true, r.now()
		r.edit(report, set(jsonOf(r.t, result), "data", job.KeyVerification))
	}
	r.endJobNamed(active, condition)
}

// mover reports how the run in flight went.
func (r *randomLife) mover(well bool) {
	active := r.activeJob()
	if active == nil {
		return
	}
	run := active.GetLabels()[v1alpha1.LabelRun]
	report := r.Composed()["report/"+run]
	if report == nil {
		return
	}
	result := job.Result{Run: run, Reason: "IO", Message: "cannot read"}
	if well {
		result = completed(run)
		if volume := r.composedVolume(); volume != nil {
			r.succeeded[run] = volume.GetUID()
		}
	}
	r.edit(report, set(jsonOf(r.t, result), "data", job.KeyResult))
}

func (r *randomLife) end(condition string) {
	if active := r.activeJob(); active != nil {
		r.edit(active, set([]any{map[string]any{
			"type": condition, "status": "True", "reason": "x", "lastTransitionTime": "2026-11-22T12:00:00Z",
		}}, "status", "conditions"))
	}
}

func (r *randomLife) deleteComposed(prefix string) {
	composed := r.Composed()
	for _, key := range slices.Sorted(maps.Keys(composed)) {
		if o := composed[key]; strings.HasPrefix(key, prefix) {
			r.Delete(o.GetKind(), namespace, o.GetName())
			return
		}
	}
}

// deleteVolume deletes the PVC of the backups; a pod at work protects it.
func (r *randomLife) deleteVolume() {
	if volume := r.composedVolume(); volume != nil && r.activeJob() == nil && r.chance(3) {
		r.Delete("PersistentVolumeClaim", namespace, volume.GetName())
	}
}

func (r *randomLife) mend(key string) {
	u := r.installed[key]
	if r.Get(u.GetKind(), u.GetNamespace(), u.GetName()) == nil {
		u = u.DeepCopy()
		u.SetResourceVersion("")
		r.Put(u)
	}
}

func (r *randomLife) mendAll() {
	for _, key := range slices.Sorted(maps.Keys(r.installed)) {
		r.mend(key)
	}
}

// look reconciles and checks what must always be true.
func (r *randomLife) look() *fnv1.RunFunctionResponse {
	r.t.Helper()
	r.story = append(r.story, ".")
	volume, active := r.composedVolume(), r.activeJob()
	rsp := r.reconcile()
	if volume != nil {
		require.NotNil(r.t, r.composedVolume(), "the volume was dropped")
		require.Equal(r.t, volume.GetUID(), r.composedVolume().GetUID(), "the volume was replaced")
	}
	if active != nil {
		require.NotNil(r.t, r.Get("Job", namespace, active.GetName()), "a Job at work was dropped")
	}
	r.requireJobs()
	r.requireHonestStatus()
	r.requireHonestCopies()
	requireNoMarker(r.t, jsonOf(r.t, r.Composite.Object["status"]), "the status")
	return rsp
}

// requireJobs: one at work at most, from copies of one moment, never changed.
func (r *randomLife) requireJobs() {
	r.t.Helper()
	active := 0
	for key, o := range r.Composed() {
		if conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions"); o.GetKind() == "Job" && len(conditions) == 0 {
			active++
		}
		if !strings.HasPrefix(key, "job/") {
			continue
		}
		spec := jsonOf(r.t, o.Object["spec"])
		if before, known := r.templates[o.GetUID()]; known {
			require.Equal(r.t, before, spec, "a Job changed")
			continue
		}
		r.templates[o.GetUID()] = spec
		if o.GetLabels()[v1alpha1.LabelSnapshot] == "" {
			r.requireConsistent()
		} else {
			require.Equal(r.t, "5", o.GetLabels()[v1alpha1.LabelAttempt])
		}
	}
	require.LessOrEqual(r.t, active, 1, "two Jobs at once")
}

// requireHonestStatus: completed means that a run that succeeded is on the
// volume, and that no newer one failed.
func (r *randomLife) requireHonestStatus() {
	r.t.Helper()
	for _, name := range []string{"PreflightPassed", "BackupCompleted", "Warning"} {
		require.NotNil(r.t, r.condition(name), name)
	}
	require.Equal(r.t, r.status("completed") == true, r.condition("BackupCompleted")["status"] == "True")
	ids := r.runIDs()
	require.LessOrEqual(r.t, len(ids), 10)
	require.Len(r.t, slices.Compact(slices.Sorted(slices.Values(ids))), len(ids), "an ID twice")
	if r.status("completed") != true {
		return
	}
	run, _ := r.status("lastRun", "id").(string)
	require.Contains(r.t, r.succeeded, run, "no such run succeeded")
	require.NotNil(r.t, r.composedVolume())
	require.Equal(r.t, r.succeeded[run], r.composedVolume().GetUID(), "the run is not on this volume")
	for _, entry := range r.status("runs").([]any) {
		if record := entry.(map[string]any); record["state"] != "Running" {
			require.Equal(r.t, run, record["id"], "a newer run has finished")
			require.Equal(r.t, "Completed", record["state"])
			break
		}
	}
}

// requireHonestCopies: what is called copied is the newest run that is there.
func (r *randomLife) requireHonestCopies() {
	r.t.Helper()
	if c := r.condition("OffsiteCopied"); c != nil && c["status"] == "True" {
		require.Equal(r.t, r.status("lastRun", "id"), r.status("offsite", "run"))
		require.Contains(r.t, r.succeeded, r.status("offsite", "run"))
	}
}

// settle puts everything right and checks that the claim comes to rest with
// what was asked for last.
func (r *randomLife) settle() {
	r.t.Helper()
	r.story = append(r.story, "settle")
	r.mendAll()
	r.Image = "image:1"
	r.setSpec("", "schedule")
	delete(r.Composite.Object["spec"].(map[string]any), "verify")
	unstructured.RemoveNestedField(r.Composite.Object, "spec", "offsite", "verify")
	r.withBucket()
	r.setSpec("10Gi", destinationPath("resources", "requests")...)
	for range 60 {
		if r.look().GetMeta().GetTtl().AsDuration() == 0 {
			break // nobody needs to look at it again
		}
		r.mover(true)
		r.end("Complete")
		r.endVerification("Complete")
		r.endCopy(true)
	}
	if _, asked, _ := unstructured.NestedMap(r.Composite.Object, "spec", "offsite"); asked && r.status("completed") == true {
		require.Equal(r.t, "True", r.condition("OffsiteCopied")["status"], r.condition("OffsiteCopied"))
		require.Equal(r.t, r.status("lastRun", "id"), r.status("offsite", "run"))
	}
	require.Nil(r.t, r.activeJob(), "it never comes to rest")
	require.Equal(r.t, "True", r.condition("PreflightPassed")["status"], r.condition("PreflightPassed"))
	if trigger, _, _ := unstructured.NestedString(r.Composite.Object, "spec", "trigger"); trigger != "" {
		require.Equal(r.t, trigger, r.status("lastHandledTrigger"), "a trigger was forgotten")
	}
	r.function.quick = false
	requireSame(r.t, r.reconcile(), r.reconcile(), "a claim at rest must stay at rest")
	require.NotEmpty(r.t, r.runIDs())
}
