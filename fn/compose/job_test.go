package compose_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/test/dataset"
)

// typedJob is the composed Job.
func (w *world) typedJob() *batchv1.Job {
	w.t.Helper()
	out := &batchv1.Job{}
	require.NotNil(w.t, w.theJob())
	require.NoError(w.t, runtime.DefaultUnstructuredConverter.FromUnstructured(w.theJob().Object, out))
	return out
}

// TestJobFollowsTheCluster: what is observed decides how the pod must be.
func TestJobFollowsTheCluster(t *testing.T) {
	t.Parallel()
	pq := hybrid()
	cases := map[string]struct {
		reason  string
		spec    string
		options func(*dataset.Options)
		arrange func(*world)
		check   func(*testing.T, *batchv1.Job)
	}{
		"Plain": {
			reason: "Pod Security restricted asks for a user that is not root",
			check: func(t *testing.T, j *batchv1.Job) {
				assert.Equal(t, int64(65532), *j.Spec.Template.Spec.SecurityContext.RunAsUser)
				assert.Equal(t, int64(65532), *j.Spec.Template.Spec.SecurityContext.FSGroup)
				assert.Equal(t, corev1.FSGroupChangeOnRootMismatch, *j.Spec.Template.Spec.SecurityContext.FSGroupChangePolicy)
				assert.Nil(t, j.Spec.Template.Spec.Affinity)
			},
		},
		"OpenShift": {
			reason:  "restricted-v2 assigns a UID of the namespace's range, and refuses any other",
			options: func(o *dataset.Options) { o.OpenShift = true },
			check: func(t *testing.T, j *batchv1.Job) {
				sc := j.Spec.Template.Spec.SecurityContext
				assert.Nil(t, sc.RunAsUser)
				assert.Nil(t, sc.RunAsGroup)
				assert.Nil(t, sc.FSGroup)
				assert.Equal(t, corev1.FSGroupChangeOnRootMismatch, *sc.FSGroupChangePolicy)
				assert.True(t, *sc.RunAsNonRoot)
			},
		},
		"OpenShiftAndTheUsersOwn": {
			reason:  "who sets a user has an SCC for it",
			spec:    beside(`job: {podSecurityContext: {runAsUser: 1234}}`),
			options: func(o *dataset.Options) { o.OpenShift = true },
			check: func(t *testing.T, j *batchv1.Job) {
				assert.Equal(t, int64(1234), *j.Spec.Template.Spec.SecurityContext.RunAsUser)
				assert.Nil(t, j.Spec.Template.Spec.SecurityContext.FSGroup)
			},
		},
		"FileStorageOfOneNode": {
			reason:  "a ReadWriteOnce volume can only be mounted where 3scale's own pods are",
			options: func(o *dataset.Options) { o.AccessMode = "ReadWriteOnce" },
			check: func(t *testing.T, j *batchv1.Job) {
				require.NotNil(t, j.Spec.Template.Spec.Affinity)
				terms := j.Spec.Template.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
				require.Len(t, terms, 1)
				assert.Equal(t, "kubernetes.io/hostname", terms[0].TopologyKey)
				assert.Equal(t, "deployment", terms[0].LabelSelector.MatchExpressions[0].Key)
				assert.Equal(t, []string{"system-app", "system-sidekiq"}, terms[0].LabelSelector.MatchExpressions[0].Values)
				assert.Empty(t, terms[0].Namespaces, "none means the pod's own")
			},
		},
		"FileStorageOfOneNodeBefore215": {
			reason:  "these versions used DeploymentConfigs and another label",
			options: func(o *dataset.Options) { o.AccessMode = "ReadWriteOnce" },
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", set("2.14.1", "metadata", "annotations", "apps.3scale.net/apimanager-threescale-version"))
			},
			check: func(t *testing.T, j *batchv1.Job) {
				terms := j.Spec.Template.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
				assert.Equal(t, "deploymentConfig", terms[0].LabelSelector.MatchExpressions[0].Key)
			},
		},
		"FileStorageOfOneNodeAndTheUsersAffinity": {
			reason:  "both count",
			spec:    beside(`job: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: Exists}]}]}}}}`),
			options: func(o *dataset.Options) { o.AccessMode = "ReadWriteOnce" },
			check: func(t *testing.T, j *batchv1.Job) {
				assert.NotNil(t, j.Spec.Template.Spec.Affinity.NodeAffinity)
				assert.Len(t, j.Spec.Template.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, 1)
			},
		},
		"FileStorageSkipped": {
			reason:  "nothing of it is mounted, and the mover is not told of it",
			spec:    beside(`fileStorage: Skip`),
			options: func(o *dataset.Options) { o.AccessMode = "ReadWriteOnce" },
			check: func(t *testing.T, j *batchv1.Job) {
				assert.Nil(t, j.Spec.Template.Spec.Affinity)
				assert.Len(t, j.Spec.Template.Spec.Volumes, 2)
				for _, arg := range j.Spec.Template.Spec.Containers[0].Args {
					assert.NotContains(t, arg, "file-storage")
				}
			},
		},
		"FileStorageReadOnly": {
			reason: "a read-only mount alone lets the kubelet change the owners in the live volume",
			check: func(t *testing.T, j *batchv1.Job) {
				for _, v := range j.Spec.Template.Spec.Volumes {
					if v.PersistentVolumeClaim != nil {
						assert.Equal(t, v.PersistentVolumeClaim.ClaimName == "system-storage", v.PersistentVolumeClaim.ReadOnly, v.Name)
					}
				}
			},
		},
		"Encrypted": {
			reason: "recipients are public, and so may be in a command line",
			spec:   beside(`encryption: {age: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}}`),
			check: func(t *testing.T, j *batchv1.Job) {
				assert.Contains(t, j.Spec.Template.Spec.Containers[0].Args, "--recipient=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")
			},
		},
		"EncryptedHybrid": {
			reason: "the mover encrypts for them too",
			spec:   beside(`encryption: {age: {recipients: [` + pq + `]}}`),
			check: func(t *testing.T, j *batchv1.Job) {
				assert.Contains(t, j.Spec.Template.Spec.Containers[0].Args, "--recipient="+pq)
			},
		},
		"NeverByItself": {
			reason: "Crossplane would make a Job that Kubernetes deletes after its end again, and so run it again",
			check: func(t *testing.T, j *batchv1.Job) {
				assert.Nil(t, j.Spec.TTLSecondsAfterFinished)
				assert.Equal(t, corev1.RestartPolicyNever, j.Spec.Template.Spec.RestartPolicy)
				assert.NotNil(t, j.Spec.ActiveDeadlineSeconds, "no wait is for ever")
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec, orNothing(tc.options))
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.untilJob()
			w.requireMountsExist()
			tc.check(t, w.typedJob())
		})
	}
}

// TestClaimChangedWhileTheJobRuns: a run goes on as it was started, and the
// next one follows the spec.
func TestClaimChangedWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", func(o *dataset.Options) { o.AccessMode = "ReadWriteOnce" })
	w.Allow.PriorityClassNames = []string{"high"}
	w.untilJob()
	before := jsonOf(t, w.theJob().Object["spec"])
	uid := w.theJob().GetUID()
	changes := []func(){
		func() { w.Image = "threescale-backup:newer" },
		func() { w.setSpec("Skip", "fileStorage") },
		func() { w.setSpec(int64(60), "job", "activeDeadlineSeconds") },
		func() { w.setSpec(int64(0), "job", "backoffLimit") },
		func() { w.setSpec(map[string]any{"requests": map[string]any{"cpu": "2"}}, "job", "resources") },
		func() { w.setSpec(map[string]any{"disk": "ssd"}, "job", "nodeSelector") },
		func() { w.setSpec("high", "job", "priorityClassName") },
		func() { w.setSpec(int64(1000), "job", "podSecurityContext", "runAsUser") },
		func() {
			w.setSpec([]any{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}, "encryption", "age", "recipients")
		},
		func() {
			w.editNamed("Namespace", namespace, set("1/2", "metadata", "annotations", "openshift.io/sa.scc.uid-range"))
		},
		func() {
			w.editNamed("PersistentVolumeClaim", "system-storage", set([]any{"ReadWriteMany"}, "spec", "accessModes"))
		},
		func() { w.setSpec("None", "secretCopies") },
		func() { w.setSpec("next", "trigger") },
		func() { w.Delete("APIManager", namespace, "example") },
	}
	for i, change := range changes {
		change()
		w.reconcile()
		assert.Equal(t, before, jsonOf(t, w.theJob().Object["spec"]), "change %d", i)
		assert.Equal(t, uid, w.theJob().GetUID(), "change %d", i)
	}
	w.succeed()
	assert.Equal(t, true, w.status("completed"), "the run does not suffer from what is missing now")

	for _, o := range dataset.Installation(dataset.Options{Seed: 1, Namespace: namespace, Name: "example"}) {
		if o.GetKind() == "APIManager" {
			w.Put(o)
		}
	}
	w.untilJob()
	next := w.typedJob()
	assert.Equal(t, "threescale-backup:newer", next.Spec.Template.Spec.Containers[0].Image)
	assert.Equal(t, int64(60), *next.Spec.ActiveDeadlineSeconds)
	assert.Equal(t, int32(0), *next.Spec.BackoffLimit)
	assert.Equal(t, "high", next.Spec.Template.Spec.PriorityClassName)
	assert.Equal(t, int64(1000), *next.Spec.Template.Spec.SecurityContext.RunAsUser)
	assert.Nil(t, next.Spec.Template.Spec.SecurityContext.FSGroup)
	assert.Len(t, next.Spec.Template.Spec.Volumes, 2)
}

// TestMutatedJob: an admission webhook may add to a pod; the Job is emitted as
// it is, or the API server would refuse it for ever.
func TestMutatedJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	w.edit(w.theJob(), func(o map[string]any) {
		pod := o["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		pod["priority"] = int64(0)
		pod["tolerations"] = []any{map[string]any{"key": "k", "operator": "Exists"}}
		pod["containers"] = append(pod["containers"].([]any), map[string]any{"name": "sidecar", "image": "mesh"})
	})
	before := jsonOf(t, w.theJob().Object["spec"])
	w.reconcile()
	w.reconcile()
	assert.Equal(t, before, jsonOf(t, w.theJob().Object["spec"]))
	w.succeed()
}

// TestRights: a pod may read and write its report, and nothing else.
func TestRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	assert.JSONEq(t, `[{"apiGroups":[""],"resources":["configmaps"],"resourceNames":["`+w.only("ConfigMap").GetName()+`"],"verbs":["get","patch"]}]`,
		jsonOf(t, w.only("Role").Object["rules"]))
	binding := w.only("RoleBinding").Object
	assert.JSONEq(t, `{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"`+w.only("Role").GetName()+`"}`, jsonOf(t, binding["roleRef"]))
	assert.JSONEq(t, `[{"kind":"ServiceAccount","name":"`+w.only("ServiceAccount").GetName()+`","namespace":"3scale"}]`, jsonOf(t, binding["subjects"]))
	assert.Equal(t, w.only("ServiceAccount").GetName(), w.typedJob().Spec.Template.Spec.ServiceAccountName)
}

// TestRightsOfTheNextRun: the Job starts when it may write its own report.
func TestRightsOfTheNextRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	w.setSpec("again", "trigger")
	w.untilJob()
	assert.Contains(t, jsonOf(t, w.only("Role").Object["rules"]), `"`+w.only("ConfigMap").GetName()+`"`)
	w.Delete("Role", namespace, w.only("Role").GetName())
	w.reconcile()
	require.NotNil(t, w.only("Role"), "what is deleted by hand is made again")
	w.succeed()
}
