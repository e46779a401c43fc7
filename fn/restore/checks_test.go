package restore

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// foreignPush is a restore that may write to the repository, by its path.
func foreignPush(checkout string, push *v1alpha1.GitPush) func(*State) {
	return func(o *State) {
		foreign("3scale=./apps")(o)
		o.Restore.Spec.Git.Push = push
		if checkout != "" {
			o.Restore.Spec.Git.Checkout = &v1alpha1.GitCheckout{Reference: v1alpha1.GitBranch{Branch: checkout}}
		}
	}
}

func foreign(writers string) func(*State) {
	return func(o *State) {
		o.Restore.Spec.SourceRef.Namespace = "flux-system"
		o.Repository.Namespace = "flux-system"
		if o.Repository.Annotations == nil {
			o.Repository.Annotations = map[string]string{}
		}
		o.Repository.Annotations[WritersAnnotation] = writers
		o.Kustomization.Spec.SourceRef.Namespace = "flux-system"
	}
}

func reference(ref sourcev1.GitRepositoryRef) func(*State) {
	return func(o *State) { o.Repository.Spec.Reference = &ref }
}

func TestRepositoryAndKustomization(t *testing.T) {
	cases := map[string]struct {
		reason   string
		edit     func(*State)
		want     string // "" passes
		terminal bool
		says     string
	}{
		"Fine":          {"", func(*State) {}, "", false, ""},
		"DefaultBranch": {"Flux has a default", func(o *State) { o.Repository.Spec.Reference = nil }, "", false, ""},
		"NamedBranch":   {"A full name of a branch is one", reference(sourcev1.GitRepositoryRef{Name: "refs/heads/main"}), "", false, ""},
		"Missing":       {"It may be made later", func(o *State) { o.Repository = nil }, "RepositoryNotFound", false, `"3scale/apps"`},
		"Suspended":     {"It may be resumed", func(o *State) { o.Repository.Spec.Suspend = true }, "RepositorySuspended", false, "flux resume source git apps -n 3scale"},
		"Tag":           {"A push does not move it", reference(sourcev1.GitRepositoryRef{Tag: "v1"}), "RepositoryUnusable", true, "is a branch"},
		"SemVer":        {"Nor this", reference(sourcev1.GitRepositoryRef{SemVer: "1.x"}), "RepositoryUnusable", true, "is a branch"},
		"Commit":        {"Nor a commit, on whatever branch", reference(sourcev1.GitRepositoryRef{Branch: "main", Commit: commit}), "RepositoryUnusable", true, "is a branch"},
		"PullRequest":   {"Nor another kind of reference", reference(sourcev1.GitRepositoryRef{Name: "refs/pull/1/head"}), "RepositoryUnusable", true, "is a branch"},
		"Signed":        {"An unsigned commit would stop Flux", func(o *State) { o.Repository.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: "HEAD"} }, "RepositoryUnusable", true, "signingKey"},
		"SignedAndKey": {"With a key it is fine", func(o *State) {
			o.Repository.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: "HEAD"}
			o.Restore.Spec.Git.Commit.SigningKey = &v1alpha1.GitSigningKey{}
		}, "", false, ""},
		"TagSigned":              {"Tags are not ours", func(o *State) { o.Repository.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: "Tag"} }, "", false, ""},
		"Sparse":                 {"Flux would not see the folders", func(o *State) { o.Repository.Spec.SparseCheckout = []string{"clusters"} }, "RepositoryUnusable", true, "sparseCheckout"},
		"SparseWithUs":           {"", func(o *State) { o.Repository.Spec.SparseCheckout = []string{"clusters", "./apps/"} }, "", false, ""},
		"SparseBeside":           {"A name that begins alike is another folder", func(o *State) { o.Repository.Spec.SparseCheckout = []string{"app", "apps/3scal"} }, "RepositoryUnusable", true, "sparseCheckout"},
		"Foreign":                {"A repository lends its credentials to whoever may name it", foreign(""), "AccessDenied", true, "an entry 3scale=./apps/3scale in its annotation backup.threescale.dev/writers"},
		"ForeignToOthers":        {"Who else may write is nobody's business", foreign("other=./secret-project"), "AccessDenied", true, "an entry 3scale=./apps/3scale in its annotation"},
		"ForeignCheckout":        {"Another branch could be brought over the one that Flux follows", foreignPush("feature", nil), "AccessDenied", true, "spec.git.checkout"},
		"ForeignSameCheckout":    {"It is the one that Flux follows", foreignPush("main", nil), "", false, ""},
		"ForeignRefspec":         {"It would lead anywhere", foreignPush("", &v1alpha1.GitPush{Refspec: "+HEAD:refs/heads/production"}), "AccessDenied", true, "refspec"},
		"ForeignBranch":          {"An older branch would get all of what is on main", foreignPush("", &v1alpha1.GitPush{Branch: "production"}), "AccessDenied", true, `must begin with "threescale-restore/3scale/"`},
		"ForeignBranchOfOthers":  {"Of another namespace", foreignPush("", &v1alpha1.GitPush{Branch: "threescale-restore/3scale-prod/dr"}), "AccessDenied", true, "must begin with"},
		"ForeignOwnBranch":       {"It is for review", foreignPush("", &v1alpha1.GitPush{Branch: "threescale-restore/3scale/dr", Options: map[string]string{"merge_request.create": "", "merge_request.target": "main"}}), "", false, ""},
		"ForeignOption":          {"It would merge without anybody's review", foreignPush("", &v1alpha1.GitPush{Branch: "threescale-restore/3scale/dr", Options: map[string]string{"merge_request.merge_when_pipeline_succeeds": ""}}), "AccessDenied", true, "merge_when_pipeline_succeeds"},
		"ForeignTarget":          {"It would bring main to another branch", foreignPush("", &v1alpha1.GitPush{Branch: "threescale-restore/3scale/dr", Options: map[string]string{"merge_request.target": "production"}}), "AccessDenied", true, "merge_request.target"},
		"ForeignOptions":         {"The message names the same one at each look", foreignPush("", &v1alpha1.GitPush{Options: map[string]string{"a": "", "b": "", "c": "", "d": "", "e": ""}}), "AccessDenied", true, `push option "a"`},
		"ForeignAllowed":         {"Its owner says so", foreign("other=./x, 3scale=./apps"), "", false, ""},
		"ForeignRoot":            {"For all of it", foreign("3scale=."), "", false, ""},
		"ForeignBeside":          {"For another folder", foreign("3scale=./apps/3scale-staging"), "AccessDenied", true, ""},
		"ForeignUp":              {"No way up", foreign("3scale=./apps/../.."), "AccessDenied", true, ""},
		"ForeignMalformed":       {"What does not parse gives nothing", foreign("3scale"), "AccessDenied", true, ""},
		"ForeignOther":           {"For another namespace", foreign("3scale-prod=./apps"), "AccessDenied", true, ""},
		"ForeignForbidden":       {"The administrator forbids it whatever the owner says", func(o *State) { foreign("3scale=.")(o); o.NoCrossNamespaceRefs = true }, "AccessDenied", true, "--no-cross-namespace-refs"},
		"NoKustomization":        {"It may be made later", func(o *State) { o.Kustomization = nil }, "KustomizationNotFound", false, `"3scale/apps"`},
		"ElseKustomization":      {"It applies something else", func(o *State) { o.Kustomization.Spec.SourceRef.Name = "infra" }, "KustomizationUnusable", true, `"3scale/infra"`},
		"OCIKustomization":       {"A commit never reaches it", func(o *State) { o.Kustomization.Spec.SourceRef.Kind = "OCIRepository" }, "KustomizationUnusable", true, "OCIRepository"},
		"ElsePath":               {"It does not hold the overlay", func(o *State) { o.Kustomization.Spec.Path = "./apps/3scale/base" }, "KustomizationUnusable", true, "./apps/3scale/overlays/dr"},
		"PathAbove":              {"A kustomization above may include it", func(o *State) { o.Kustomization.Spec.Path = "./" }, "", false, ""},
		"NoDecryption":           {"It could not apply Secrets", func(o *State) { o.Kustomization.Spec.Decryption = nil }, "KustomizationUnusable", true, "spec.decryption"},
		"ElseNamespace":          {"It moves everything", func(o *State) { o.Kustomization.Spec.TargetNamespace = "other" }, "KustomizationUnusable", true, "targetNamespace"},
		"SuspendedKustomization": {"It may be resumed", func(o *State) { o.Kustomization.Spec.Suspend = true }, "KustomizationUnusable", false, "flux resume kustomization apps -n 3scale"},
		"ForeignMissing":         {"Whether it exists is its owner's to say", func(o *State) { foreign("")(o); o.Repository = nil }, "AccessDenied", true, "does not exist, or does not let"},
		"ForeignKustomizationOfElse": {"What it applies is not for this namespace to know", func(o *State) {
			o.Restore.Spec.KustomizationRef.Namespace = "flux-system"
			o.Kustomization.Spec.SourceRef.Name, o.Kustomization.Spec.Path = "secret-project", "./secret-project"
		}, "KustomizationNotFound", false, `does not exist, or does not apply ./apps/3scale/overlays/dr of GitRepository "3scale/apps"`},
		"ForeignKustomization": {"Forbidden by the administrator", func(o *State) {
			o.Restore.Spec.KustomizationRef.Namespace = "flux-system"
			o.NoCrossNamespaceRefs = true
		}, "AccessDenied", true, "--no-cross-namespace-refs"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := told(observed(tc.edit))
			if tc.want == "" {
				assert.Nil(t, d.Problem, tc.reason)
				return
			}
			assert.Equal(t, "Repository", d.Step)
			requireProblem(t, d, tc.want, tc.terminal)
			assert.Contains(t, d.Problem.Message, tc.says, tc.reason)
		})
	}
}

func FuzzWriters(f *testing.F) {
	f.Add("3scale=./apps,other=x", "3scale")
	f.Add("=,a==b,3scale=../..", "3scale")
	f.Fuzz(func(t *testing.T, annotation, namespace string) {
		for _, folder := range writerFolders(annotation, namespace) {
			require.NotContains(t, strings.Split(folder, "/"), "..")
			require.False(t, strings.HasPrefix(folder, "/"))
		}
	})
}

func TestVersions(t *testing.T) {
	cases := map[string]struct {
		reason         string
		from, operator string
		refused        bool
	}{
		"Same":     {"", "2.16", "2.16", false},
		"Patch":    {"The operator cares for minor versions", "2.15.1", "2.15.3", false},
		"OneUp":    {"It upgrades by one", "2.15", "2.16", false},
		"TwoUp":    {"Not by two", "2.14", "2.16", true},
		"Down":     {"And never back", "2.16", "2.15", true},
		"Major":    {"Nor to another major version", "2.16", "3.0", true},
		"Unknown":  {"What is not known is not refused", "2.14", "", false},
		"Master":   {"Nor what is no version", "2.14", "master", false},
		"NotKnown": {"An old backup may not tell", "", "2.16", false},
		"Suffix":   {"A build of 2.15", "2.15-alpha1", "2.17", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := checkVersion(tc.from, tc.operator)
			assert.Equal(t, tc.refused, p != nil, tc.reason)
			if p != nil {
				assert.True(t, p.Terminal)
			}
		})
	}
	o := observed(branchRead, inspected, planned)
	o.OperatorVersion = "2.16"
	o.Restore.Status.Plan.Source.ThreeScaleVersion = "2.13"
	o.Planned = true
	requireProblem(t, told(o), v1alpha1.ReasonVersionRefused, true)
}

func TestSource(t *testing.T) {
	volume := func(edits ...func(*corev1.PersistentVolume)) func(*State) {
		return func(o *State) {
			o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{PersistentVolume: &v1alpha1.RestoreVolume{VolumeName: "pv-1"}}
			o.SourcePVC = nil
			o.SourceVolume = &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1"}}
			for _, edit := range edits {
				edit(o.SourceVolume)
			}
		}
	}
	bound := func(namespace, name string) func(*corev1.PersistentVolume) {
		return func(v *corev1.PersistentVolume) {
			v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: namespace, Name: name}
		}
	}
	cases := map[string]struct {
		reason   string
		edit     func(*State)
		want     string // "" passes
		terminal bool
		says     string
	}{
		"NoPVC":     {"It may be made later", func(o *State) { o.SourcePVC = nil }, "SourceNotFound", false, `"nightly-backup"`},
		"Lost":      {"Its volume is gone", func(o *State) { o.SourcePVC.Status.Phase = corev1.ClaimLost }, "SourceUnusable", true, "lost"},
		"GoingAway": {"Until then its volume is bound, and no other can bind it", func(o *State) { o.SourcePVC.DeletionTimestamp = &metav1.Time{Time: noon} }, "SourceUnusable", false, "is gone, name that volume"},
		"Itself": {"The target is no source", func(o *State) {
			o.Restore.Spec.RestoreSource.PersistentVolumeClaim.ClaimSource.ClaimName = "system-storage"
		}, "SourceUnusable", true, "file storage itself"},
		"NoVolume":  {"", func(o *State) { volume()(o); o.SourceVolume = nil }, "SourceNotFound", false, `"pv-1"`},
		"Volume":    {"A PVC is made for it", volume(), "", false, ""},
		"Released":  {"Its last PVC went with the namespace", volume(func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeReleased }), "SourceUnusable", false, "kubectl patch pv pv-1"},
		"BoundElse": {"It is somebody's", volume(bound("other", "data")), "SourceUnusable", true, "bound in another namespace"},
		"BoundHere": {"It may be named by itself", volume(bound(namespace, "data")), "SourceUnusable", true, `"data"`},
		"Reserved":  {"It is kept for us", volume(bound(namespace, "dr-source")), "", false, ""},
		"PVCForOther": {"The name is taken", func(o *State) {
			volume()(o)
			o.SourcePVC = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "dr-source"}}
		}, "SourceUnusable", true, "rename"},
		"NoBackup": {"", func(o *State) {
			o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{BackupRef: &meta.LocalObjectReference{Name: "nightly"}}
		}, "SourceNotFound", false, `"nightly"`},
		"NoBackupYet": {"", func(o *State) {
			o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{BackupRef: &meta.LocalObjectReference{Name: "nightly"}}
			o.Backup = &unstructured.Unstructured{}
		}, "SourceNotFound", false, "no volume yet"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := told(observed(tc.edit))
			if tc.want == "" {
				assert.Equal(t, MakeSourcePVC, d.Action, tc.reason)
				return
			}
			assert.Equal(t, "Source", d.Step)
			requireProblem(t, d, tc.want, tc.terminal)
			assert.Contains(t, d.Problem.Message, tc.says, tc.reason)
		})
	}
	assert.Equal(t, "data", SourcePVCName(&v1alpha1.ThreeScaleRestore{Spec: v1alpha1.ThreeScaleRestoreSpec{RestoreSource: v1alpha1.RestoreSource{BackupRef: &meta.LocalObjectReference{}}}},
		&unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"backupPersistentVolumeClaimName": "data"}}}))
}

func TestCapacity(t *testing.T) {
	o := observed(branchRead, inspected, planned, storageMade, capacity("50Mi"))
	requireProblem(t, told(o), v1alpha1.ReasonVolumeTooSmall, true)
	capacity("100Mi")(o)
	assert.Equal(t, StartRefill, told(o).Action)
	o.FileStorage.Status.Phase = corev1.ClaimLost
	requireProblem(t, told(o), v1alpha1.ReasonFileStorageUnusable, true)
}

func TestAppliedByFlux(t *testing.T) {
	handled := noon.Add(time.Second).Format(time.RFC3339Nano)
	cases := map[string]struct {
		reason            string
		attempted, handed string // the revisions of the Kustomization and of the GitRepository
		handled           string // the newest request that source-controller has handled
		edit              func(*State)
		want              bool
	}{
		"Ours":       {"", "main@sha1:" + commit, "main@sha1:" + commit, "", nil, true},
		"OursBefore": {"Flux saw it before it was asked", "main@sha1:" + commit, "main@sha1:feed", "", nil, true},
		"Later":      {"Somebody pushed on top", "main@sha1:feed", "main@sha1:feed", handled, nil, true},
		"Between":    {"Somebody pushed before us, and Flux fetched that before it was asked", "main@sha1:feed", "main@sha1:feed", noon.Add(-time.Second).Format(time.RFC3339Nano), nil, false},
		"Fetching": {"It has seen the request, and is at work", "main@sha1:feed", "main@sha1:feed", handled, func(o *State) {
			apimeta.SetStatusCondition(&o.Repository.Status.Conditions, metav1.Condition{Type: meta.ReconcilingCondition, Status: metav1.ConditionTrue})
		}, false},
		"FetchFailed": {"What it has is what it had before", "main@sha1:feed", "main@sha1:feed", handled, func(o *State) {
			apimeta.SetStatusCondition(&o.Repository.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionFalse})
		}, false},
		"Behind":     {"It has not looked yet", "main@sha1:feed", "main@sha1:beef", handled, nil, false},
		"Unmerged":   {"It went to a branch that is yet to be merged", "main@sha1:feed", "main@sha1:feed", handled, func(o *State) { o.Restore.Status.RevisionBefore = "main@sha1:feed" }, false},
		"Never":      {"Nor ever", "", "main@sha1:feed", handled, nil, false},
		"NoArtifact": {"", "main@sha1:feed", "", handled, nil, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(published)
			o.Restore.Status.LastPushTime = &metav1.Time{Time: noon}
			o.Kustomization.Status.LastAttemptedRevision = tc.attempted
			o.Repository.Status = sourcev1.GitRepositoryStatus{Conditions: []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}}
			o.Repository.Status.LastHandledReconcileAt = tc.handled
			if tc.handed != "" {
				o.Repository.Status.Artifact = &meta.Artifact{Revision: tc.handed}
			}
			if tc.edit != nil {
				tc.edit(o)
			}
			assert.Equal(t, tc.want, attempted(o), tc.reason)
		})
	}
	o := observed(published, fluxApplied)
	o.Kustomization.Status.Inventory.Entries = o.Kustomization.Status.Inventory.Entries[:1]
	assert.True(t, told(o).Waits, "an object of ours is not among what it applied")
}

// TestNothingOfOthersIsTold: what is in another namespace, its owner may see; the
// restore's author sees what he wrote himself.
func TestNothingOfOthersIsTold(t *testing.T) {
	const canary = "secret-project"
	notReady := []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Message: canary}}
	elsewhere := func(o *State) {
		foreign("3scale=./apps," + canary + "=./" + canary)(o)
		o.Restore.Spec.KustomizationRef.Namespace = "flux-system"
		o.Kustomization.Namespace = "flux-system"
	}
	for name, edits := range map[string][]func(*State){
		"RepositoryFails":    {published, elsewhere, func(o *State) { o.Repository.Status.Conditions = notReady }},
		"KustomizationFails": {published, fluxApplied, elsewhere, func(o *State) { o.Kustomization.Status.Conditions, o.Kustomization.Status.Inventory = notReady, nil }},
		"NotLetIn":           {elsewhere, func(o *State) { o.Repository.Annotations[WritersAnnotation] = canary + "=." }},
		"OtherSource":        {elsewhere, func(o *State) { o.Kustomization.Spec.SourceRef.Name, o.Kustomization.Spec.Path = canary, canary }},
		"OtherKind": {elsewhere, func(o *State) {
			o.Kustomization.Spec.SourceRef.Kind, o.Kustomization.Spec.TargetNamespace = "OCIRepository", canary
		}},
		"OtherPath":      {elsewhere, func(o *State) { o.Kustomization.Spec.Path = "./tenants/" + canary }},
		"OtherNamespace": {elsewhere, func(o *State) { o.Kustomization.Spec.TargetNamespace = canary }},
		"Volume": {func(o *State) {
			o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{PersistentVolume: &v1alpha1.RestoreVolume{VolumeName: "pv-1"}}
			o.SourcePVC = nil
			o.SourceVolume = &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: canary, Name: canary, UID: canary}}}
		}},
		"VolumeReleased": {func(o *State) {
			o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{PersistentVolume: &v1alpha1.RestoreVolume{VolumeName: "pv-1"}}
			o.SourcePVC = nil
			o.SourceVolume = &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: canary, Name: canary, UID: canary}}, Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := told(observed(edits...))
			said := d.Message
			if d.Problem != nil {
				said += d.Problem.Message
			}
			assert.NotEmpty(t, said)
			assert.NotContains(t, said, canary)
		})
	}
}

func TestAttempt(t *testing.T) {
	digest := func(edits ...func(*State)) string {
		return attemptOf(observed(edits...).Restore)
	}
	base := digest()
	assert.Len(t, base, 64)
	same := map[string]func(*State){
		"Interval":   func(o *State) { o.Restore.Spec.Interval.Duration = 1 },
		"Key":        func(o *State) { o.Restore.Spec.Decryption = &v1alpha1.Decryption{} },
		"Suspend":    func(o *State) { o.Restore.Spec.Suspend = true },
		"DryRun":     func(o *State) { o.Restore.Spec.DryRun = true },
		"Requested":  requested("now"),
		"ForcedOnly": annotated(meta.ForceRequestAnnotation, "now"),
		"Message":    func(o *State) { o.Restore.Spec.Git.Commit.MessageTemplate = "x" },
	}
	for name, edit := range same {
		assert.Equal(t, base, digest(edit), "%s asks for nothing else", name)
	}
	other := map[string]func(*State){
		"Run":    func(o *State) { o.Restore.Spec.RestoreSource.Run = run },
		"Domain": func(o *State) { o.Restore.Spec.Target.WildcardDomain = "example.com" },
		"Forced": annotated(meta.ForceRequestAnnotation, "now", meta.ReconcileRequestAnnotation, "now"),
		"Branch": func(o *State) { o.Restore.Spec.Git.Push = &v1alpha1.GitPush{Branch: "x"} },
	}
	for name, edit := range other {
		assert.NotEqual(t, base, digest(edit), "%s asks for another", name)
	}
	forced := digest(annotated(meta.ForceRequestAnnotation, "now", meta.ReconcileRequestAnnotation, "now"))
	assert.Equal(t, forced, digest(func(o *State) { o.Restore.Status.LastHandledForceAt = "now" }), "it stays the same once it is handled")
}

// TestSourceReadOnly: on OpenShift the kubelet has to give the volume of a lost
// namespace to the group of the new one, where it may.
func TestSourceReadOnly(t *testing.T) {
	const one, many, read = corev1.ReadWriteOnce, corev1.ReadWriteMany, corev1.ReadOnlyMany
	for name, tc := range map[string]struct {
		reason string
		asked  bool
		modes  []corev1.PersistentVolumeAccessMode
		want   bool
	}{
		"Writable":       {"An own volume", false, []corev1.PersistentVolumeAccessMode{one}, false},
		"AlsoReadOnly":   {"It can be had both ways", false, []corev1.PersistentVolumeAccessMode{read, many}, false},
		"NotToBeChanged": {"Nothing may change on it", true, []corev1.PersistentVolumeAccessMode{one}, true},
		"OnlyReadOnly":   {"It can be had in no other way", false, []corev1.PersistentVolumeAccessMode{read}, true},
		"NotThereAtAll":  {"A PVC that is still to be made", false, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.ThreeScaleRestore{}
			r.Spec.RestoreSource.PersistentVolumeClaim = &v1alpha1.RestorePVC{ClaimSource: corev1.PersistentVolumeClaimVolumeSource{ReadOnly: tc.asked}}
			var pvc *corev1.PersistentVolumeClaim
			if tc.modes != nil {
				pvc = &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{AccessModes: tc.modes}}
			}
			assert.Equal(t, tc.want, SourceReadOnly(r, pvc), tc.reason)
		})
	}
}
