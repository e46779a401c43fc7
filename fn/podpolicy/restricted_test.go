package podpolicy_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/specs"
)

// TestWhatIsAllowedIsRestricted draws settings of all kinds. The pods of those that
// are allowed by default pass what the admission controller asks of a
// "restricted" namespace, and name nothing of other namespaces.
func TestWhatIsAllowedIsRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	draw := rand.New(rand.NewPCG(9, 11))
	var allowed, refused int
	for range 20000 {
		var settings v1alpha1.JobSettings
		fill(draw, reflect.ValueOf(&settings).Elem(), "")
		assignsUID := draw.IntN(2) == 0
		if len(podpolicy.Check(v1alpha1.Allow{}, namespace, specs.SettingsPod(settings, assignsUID))) > 0 {
			refused++
			continue
		}
		allowed++
		for _, made := range jobs(settings, assignsUID) {
			pod := made.Spec.Template
			for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
				require.True(t, result.Allowed, "%s: %s %s\n%+v", made.Name, result.ForbiddenReason, result.ForbiddenDetail, settings)
			}
			assertOwn(t, pod.Spec)
		}
	}
	assert.Greater(t, allowed, 1000, "there is something to prove it on")
	assert.Greater(t, refused, 1000, "there is something to refuse")
}

// assertOwn looks for itself at what reaches beyond a namespace.
func assertOwn(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	assert.Empty(t, pod.PriorityClassName)
	assert.Empty(t, pod.Tolerations)
	assert.Empty(t, pod.RuntimeClassName)
	assert.Empty(t, pod.SchedulerName)
	assert.Empty(t, pod.NodeName)
	assert.Equal(t, "image", pod.Containers[0].Image)
	assert.Len(t, pod.Containers, 1)
	eachTerm(pod.Affinity, func(term corev1.PodAffinityTerm) {
		assert.Nil(t, term.NamespaceSelector)
		assert.Subset(t, []string{namespace}, term.Namespaces)
	})
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			for name := range list {
				assert.Contains(t, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}, name)
			}
		}
	}
}

func eachTerm(a *corev1.Affinity, look func(corev1.PodAffinityTerm)) {
	if a == nil {
		return
	}
	if p := a.PodAffinity; p != nil {
		for _, term := range p.RequiredDuringSchedulingIgnoredDuringExecution {
			look(term)
		}
		for _, term := range p.PreferredDuringSchedulingIgnoredDuringExecution {
			look(term.PodAffinityTerm)
		}
	}
	if p := a.PodAntiAffinity; p != nil {
		for _, term := range p.RequiredDuringSchedulingIgnoredDuringExecution {
			look(term)
		}
		for _, term := range p.PreferredDuringSchedulingIgnoredDuringExecution {
			look(term.PodAffinityTerm)
		}
	}
}

// jobs are all that are made with settings.
func jobs(settings v1alpha1.JobSettings, assignsUID bool) []*batchv1.Job {
	beside := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "system-app"}}
	identity := specs.Identity{Backup: "nightly", Namespace: namespace}
	mover := specs.Mover{Image: "image", VolumePVC: "nightly-backup", Settings: settings, AssignsUID: assignsUID}
	stored := mover
	stored.FileStoragePVC, stored.FileStorageBeside = "system-storage", beside
	run := specs.Run{Identity: identity, ID: "20261122t020000z-1a2b3c4d", Attempt: 1}
	step := specs.StepInput{
		Mover: stored, Step: specs.Step{Restore: "dr", Namespace: namespace, Action: specs.Inspecting, ID: "1"},
		Run: "latest", Identities: specs.Identities{Secret: "keys", Keys: []string{"a.agekey"}},
	}
	return []*batchv1.Job{
		specs.Job(specs.JobInput{
			Mover: stored, Run: run,
			Copies: []specs.Copy{{Name: "copy", Source: "system-seed", Keys: []string{"a"}}},
		}),
		specs.Job(specs.JobInput{Mover: stored, Run: run, Dumps: []specs.Dump{
			{Database: "backend-redis", Connection: specs.Copy{Name: "copy", Keys: []string{"a"}}},
			{Database: "system-database", Image: "postgresql-15", Connection: specs.Copy{Name: "copy", Keys: []string{"a"}}},
		}}),
		specs.VerifyJob(specs.VerifyInput{
			Mover: mover, Verification: specs.Verification{Identity: identity, ID: run.ID}, Run: "all",
		}),
		specs.InspectJob(specs.InspectInput{StepInput: step, HandoverParts: 2}),
		specs.RefillJob(specs.RefillInput{StepInput: step}),
	}
}

// texts are what strings are drawn from: all words that mean something to a pod.
var texts = []string{
	"", namespace, "victim", "*", "Exists", "Equal", "NoSchedule", "NoExecute", "dedicated", "system-node-critical",
	"Unconfined", "RuntimeDefault", "Localhost", "spc_t", "container_t", "container_init_t", "s0:c1,c2", "system_u",
	"kernel.msgmax", "net.ipv4.tcp_syncookies", "Always", "OnRootMismatch", "Merge", "Strict", "cpu", "memory", "nvidia.com/gpu", "hugepages-2Mi",
}

// fill draws a value; most of it stays empty, so that some of what is drawn is
// allowed.
func fill(draw *rand.Rand, v reflect.Value, at string) {
	if at != "" && draw.IntN(100) < 45 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(draw, v.Elem(), at+"*")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+draw.IntN(2), 2))
		for i := range v.Len() {
			fill(draw, v.Index(i), at+"[]")
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.SetString(texts[draw.IntN(len(texts))])
		fill(draw, value, at+"{}")
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[resource.Quantity]() {
			v.Set(reflect.ValueOf(*resource.NewQuantity(draw.Int64N(1<<40), resource.BinarySI)))
			return
		}
		for i := range v.NumField() {
			fill(draw, v.Field(i), at+"."+v.Type().Field(i).Name)
		}
	case reflect.String:
		v.SetString(texts[draw.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(draw.IntN(2) == 0)
	default:
		v.SetInt([]int64{0, 1, 1000, 65532, 1000650000}[draw.IntN(5)] % (1 << 31))
	}
}
