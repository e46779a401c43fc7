package restore

import (
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	namespace = "3scale"
	commit    = "0123456789abcdef0123456789abcdef01234567"
	run       = "20261122t020000z-1a2b3c4d"
	// manifestDigest is that of the run's manifest.
	manifestDigest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// observed is a restore that nothing was done for, in a world where all can be done.
func observed(edits ...func(*State)) *State {
	r := &v1alpha1.ThreeScaleRestore{
		ObjectMeta: metav1.ObjectMeta{Name: "dr", Namespace: namespace},
		Spec: v1alpha1.ThreeScaleRestoreSpec{
			RestoreSource: v1alpha1.RestoreSource{
				PersistentVolumeClaim: &v1alpha1.RestorePVC{ClaimSource: corev1.PersistentVolumeClaimVolumeSource{ClaimName: "nightly-backup"}},
				Run:                   "latest",
			},
			SourceRef:        v1alpha1.GitRepositoryReference{NamespacedReference: v1alpha1.NamespacedReference{Name: "apps"}},
			Path:             "./apps/3scale",
			KustomizationRef: &v1alpha1.NamespacedReference{Name: "apps"},
			FileStorage:      v1alpha1.RestoreFileStorage{Existing: v1alpha1.ExistingFail},
			Interval:         metav1.Duration{Duration: 10 * time.Minute},
			Timeout:          metav1.Duration{Duration: time.Hour},
		},
	}
	o := &State{Facts: Facts{
		Account:   "the controller",
		Restore:   r,
		Now:       noon,
		SourcePVC: &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "nightly-backup", Namespace: namespace}},
		Repository: &sourcev1.GitRepository{
			ObjectMeta: metav1.ObjectMeta{Name: "apps", Namespace: namespace},
			Spec:       sourcev1.GitRepositorySpec{URL: "https://git.example.com/r.git", Reference: &sourcev1.GitRepositoryRef{Branch: "main"}},
		},
		Kustomization: &kustomizev1.Kustomization{
			ObjectMeta: metav1.ObjectMeta{Name: "apps", Namespace: namespace},
			Spec: kustomizev1.KustomizationSpec{
				Path:       "./apps/3scale/overlays/dr",
				SourceRef:  kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "apps"},
				Decryption: &kustomizev1.Decryption{Provider: "sops"},
			},
		},
	}}
	for _, edit := range edits {
		edit(o)
	}
	return o
}

// annotated sets annotations of the restore.
func annotated(pairs ...string) func(*State) {
	return func(o *State) {
		if o.Restore.Annotations == nil {
			o.Restore.Annotations = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			o.Restore.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

func requested(token string) func(*State) {
	return annotated(meta.ReconcileRequestAnnotation, token)
}

// The stages of a restore, each on top of the one before.

func branchRead(o *State) { o.RightsAsked, o.Branch = true, &Branch{} }

func inspecting(o *State) { o.Inspect = Pod{Exists: true} }

func inspected(o *State) {
	o.Inspect = Pod{Exists: true, Complete: true, EndedAt: noon}
	o.Inspection = &job.Inspection{
		Run: run, Completed: true, Verified: true, ManifestSHA256: manifestDigest,
		FileStorage: job.InspectedStorage{Stored: true, Files: 3000, Bytes: 88 << 20},
	}
}

func planned(o *State) {
	o.Restore.Status.Plan = &v1alpha1.Plan{
		Run: run,
		Objects: []v1alpha1.PlannedObject{
			{ObjectReference: v1alpha1.ObjectReference{Kind: "APIManager", Name: "example"}, Verdict: v1alpha1.VerdictCreate},
			{ObjectReference: v1alpha1.ObjectReference{Kind: "Secret", Name: "system-seed"}, Verdict: v1alpha1.VerdictCreate},
		},
		FileStorage: plannedStorage(o, installation(o)),
	}
}

// installation is the APIManager of the commit.
func installation(o *State) *unstructured.Unstructured {
	files := map[string]any{}
	if o.Inspection.FileBucket != nil {
		files["simpleStorageService"] = map[string]any{"configurationSecretRef": map[string]any{"name": o.Inspection.FileBucket.Secret}}
	}
	return &unstructured.Unstructured{Object: map[string]any{"kind": "APIManager", "spec": map[string]any{"system": map[string]any{"fileStorage": files}}}}
}

func storageMade(o *State) {
	o.FileStorage = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "system-storage", Namespace: namespace}}
}

func capacity(size string) func(*State) {
	return func(o *State) {
		o.FileStorage.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	}
}

func refilled(o *State) {
	o.Refill = Pod{Exists: true, Complete: true, EndedAt: noon}
	o.Refilled = &job.RefillResult{Run: run, Completed: true}
}

func published(o *State) {
	justPushed(o)
	fluxAsked(o)
}

func justPushed(o *State) {
	status := &o.Restore.Status
	status.LastPushCommit = commit
	status.LastPushTime = &metav1.Time{Time: noon}
	status.WaitingSince = &metav1.Time{Time: noon}
	status.Inventory = []v1alpha1.ObjectReference{{Kind: "APIManager", Name: "example"}, {Kind: "Secret", Name: "system-seed"}}
}

func fluxAsked(o *State) {
	o.Repository.Annotations = map[string]string{meta.ReconcileRequestAnnotation: FluxRequest(noon.Add(time.Millisecond))}
}

func fluxApplied(o *State) {
	o.Kustomization.Status.LastAttemptedRevision = "main@sha1:" + commit
	o.Kustomization.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
		{ID: namespace + "_example_apps.3scale.net_APIManager", Version: "v1alpha1"},
		{ID: namespace + "_system-seed__Secret", Version: "v1"},
	}}
}

func applied(o *State) { o.Restore.Status.LastAppliedRevision = "main@sha1:" + commit }

func running(o *State) {
	o.APIManager = &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": "True"}}}}}
}

// sidekiqRuns is an installation whose Deployments are ready, and whose Routes
// have not come.
func sidekiqRuns(o *State) {
	o.APIManager = &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"wildcardDomain": "apps.example.com"},
		"status": map[string]any{
			"conditions":  []any{map[string]any{"type": "Available", "status": "False"}},
			"deployments": map[string]any{"ready": []any{"system-app", "system-sidekiq"}},
		},
	}}
}

func resyncing(o *State) { o.Resync = Pod{Name: "dr-resync-0123abcd", Exists: true} }

func resyncDone(o *State) { o.Resync.Complete, o.Resync.EndedAt = true, noon }

func resynced(o *State) { o.Restore.Status.Resynced = true }

func cleaned(o *State) { o.Inspect, o.Refill, o.Resync = Pod{}, Pod{}, Pod{} }

// stages returns the edits up to and with the last one given.
func stages(edits ...func(*State)) []func(*State) { return edits }

func requireProblem(t *testing.T, d decided, reason string, terminal bool) {
	t.Helper()
	require.NotNil(t, d.Problem, "%+v", d)
	require.Equal(t, reason, d.Problem.Reason, d.Problem.Message)
	require.Equal(t, terminal, d.Problem.Terminal, d.Problem.Message)
	require.NotEmpty(t, d.Problem.Message)
}

// decided is a decision of whatever kind, and the step that made it.
type decided struct {
	Step    string
	Action  Action
	Waits   bool
	Problem *Problem
	Message string
	Retry   time.Duration
}

// told decides what to do next.
func told(s *State) decided {
	step, decision := next(s)
	switch d := decision.(type) {
	case Act:
		return decided{Step: step, Action: d.Action}
	case Wait:
		return decided{Step: step, Waits: true, Message: d.Message, Retry: d.Retry}
	case Stop:
		return decided{Step: step, Problem: d.Problem, Retry: d.Retry}
	case End:
		return decided{Step: step, Message: d.Message}
	}
	panic("no decision")
}
