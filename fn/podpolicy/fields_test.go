package podpolicy_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/specs"
)

const namespace = "3scale"

// field says of one field of spec.job, or with .* at its end of all below it,
// what a claim may ask for. One that is there only to be read has neither.
type field struct {
	// why it is so.
	why string
	// free is taken by default; "": nothing is.
	free string
	// refused is refused by default; "": nothing is.
	refused string
	// leave is what the platform allows it with; "": it cannot.
	leave string
}

// fields are all of spec.job.
func fields() map[string]field {
	const root = "podSecurity: baseline"
	const anything = "podSecurity: privileged"
	out := map[string]field{
		"activeDeadlineSeconds": {why: "the Job is the namespace's own", free: `activeDeadlineSeconds: 9223372036854775807`},
		"backoffLimit":          {why: "likewise; the deadline bounds it", free: `backoffLimit: 2147483647`},
		"nodeSelector[]":        {why: "a node without a taint takes every pod", free: `nodeSelector: {kubernetes.io/hostname: node-7}`},
		"imagePullSecrets[].name": {why: "of the own namespace, for an image that the platform names",
			free: `imagePullSecrets: [{name: pull}]`},
		"priorityClassName": {why: "a pod of priority evicts those of others",
			refused: `priorityClassName: system-cluster-critical`, leave: `priorityClassNames: [system-cluster-critical]`},

		"resources.requests[]": {why: "cpu, memory and scratch space are bounded by the namespace's ResourceQuota; devices are few",
			free: `resources: {requests: {cpu: "2", memory: 4Gi, ephemeral-storage: 1Gi}}`, refused: `resources: {requests: {nvidia.com/gpu: 1}}`, leave: `maxResources: {nvidia.com/gpu: 1}`},
		"resources.limits[]": {why: "likewise",
			free: `resources: {limits: {cpu: "2", memory: 4Gi}}`, refused: `resources: {limits: {hugepages-2Mi: 2Mi}}`, leave: `maxResources: {hugepages-2Mi: 4Mi}`},
		"resources.claims[].name":    {why: "a pod of ours has no ResourceClaim", refused: `resources: {claims: [{name: device}]}`},
		"resources.claims[].request": {why: "likewise", refused: `resources: {claims: [{name: device, request: one}]}`},

		"tolerations[].key":      {why: "a taint keeps a node for others", refused: `tolerations: [{key: dedicated, operator: Exists}]`, leave: `tolerations: [{key: dedicated, operator: Exists}]`},
		"tolerations[].operator": {why: "without a key, Exists is every taint", refused: `tolerations: [{operator: Exists}]`, leave: `tolerations: [{operator: Exists}]`},
		"tolerations[].value":    {why: "another value is another taint", refused: `tolerations: [{key: dedicated, value: db}]`, leave: `tolerations: [{key: dedicated, value: db}]`},
		"tolerations[].effect":   {why: "one toleration can be of one effect", refused: `tolerations: [{key: dedicated, operator: Exists, effect: NoExecute}]`, leave: `tolerations: [{key: dedicated, operator: Exists, effect: NoExecute}]`},
		"tolerations[].tolerationSeconds": {why: "how long is of no matter once the taint is allowed",
			refused: `tolerations: [{key: dedicated, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]`, leave: `tolerations: [{key: dedicated, operator: Exists}]`},

		"affinity.nodeAffinity.*": {why: "as nodeSelector",
			free: `affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [node-7]}]}]}}}`},

		"podSecurityContext.runAsUser": {why: "root in a container is closer to root on its node",
			free: `podSecurityContext: {runAsUser: 1000}`, refused: `podSecurityContext: {runAsUser: 0}`, leave: root},
		"podSecurityContext.runAsNonRoot": {why: "likewise, for the user of an image",
			free: `podSecurityContext: {runAsNonRoot: true}`, refused: `podSecurityContext: {runAsNonRoot: false}`, leave: root},
		"podSecurityContext.runAsGroup":               {why: `"restricted" takes every group: files may belong to it`, free: `podSecurityContext: {runAsGroup: 0}`},
		"podSecurityContext.fsGroup":                  {why: "likewise; it changes the own volumes", free: `podSecurityContext: {fsGroup: 0}`},
		"podSecurityContext.fsGroupChangePolicy":      {why: "likewise", free: `podSecurityContext: {fsGroupChangePolicy: Always}`},
		"podSecurityContext.supplementalGroups[]":     {why: "likewise; a volume of a former namespace is read by its group", free: `podSecurityContext: {supplementalGroups: [0, 1000650000]}`},
		"podSecurityContext.supplementalGroupsPolicy": {why: "likewise", free: `podSecurityContext: {supplementalGroupsPolicy: Strict}`},
		"podSecurityContext.seccompProfile.type": {why: "without a profile every system call of the node is there",
			free: `podSecurityContext: {seccompProfile: {type: RuntimeDefault}}`, refused: `podSecurityContext: {seccompProfile: {type: Unconfined}}`, leave: anything},
		"podSecurityContext.seccompProfile.localhostProfile": {why: `"restricted" takes those that a node's administrator put there`,
			free: `podSecurityContext: {seccompProfile: {type: Localhost, localhostProfile: ours.json}}`},
		"podSecurityContext.appArmorProfile.type": {why: "as seccomp",
			free: `podSecurityContext: {appArmorProfile: {type: RuntimeDefault}}`, refused: `podSecurityContext: {appArmorProfile: {type: Unconfined}}`, leave: anything},
		"podSecurityContext.appArmorProfile.localhostProfile": {why: "as seccomp",
			free: `podSecurityContext: {appArmorProfile: {type: Localhost, localhostProfile: ours}}`},
		"podSecurityContext.seLinuxOptions.type": {why: "a type such as spc_t is not confined",
			free: `podSecurityContext: {seLinuxOptions: {type: container_t}}`, refused: `podSecurityContext: {seLinuxOptions: {type: spc_t}}`, leave: anything},
		"podSecurityContext.seLinuxOptions.user":  {why: "likewise", refused: `podSecurityContext: {seLinuxOptions: {user: system_u}}`, leave: anything},
		"podSecurityContext.seLinuxOptions.role":  {why: "likewise", refused: `podSecurityContext: {seLinuxOptions: {role: sysadm_r}}`, leave: anything},
		"podSecurityContext.seLinuxOptions.level": {why: "the categories keep the pods of a node from each other", refused: `podSecurityContext: {seLinuxOptions: {level: "s0:c123,c456"}}`, leave: anything},
		"podSecurityContext.seLinuxChangePolicy":  {why: "it relabels the own volumes", free: `podSecurityContext: {seLinuxChangePolicy: Recursive}`},
		"podSecurityContext.sysctls[].name": {why: "those of the pod's own namespaces only",
			free: `podSecurityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: "1"}]}`, refused: `podSecurityContext: {sysctls: [{name: kernel.msgmax, value: "65536"}]}`, leave: anything},
		"podSecurityContext.sysctls[].value":  {why: "of those", free: `podSecurityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: "0"}]}`},
		"podSecurityContext.windowsOptions.*": {why: "it reaches no pod: the image is Linux'", free: `podSecurityContext: {windowsOptions: {hostProcess: true}}`},
	}
	for _, kind := range []string{"podAffinity", "podAntiAffinity"} {
		for list, term := range map[string]string{
			"requiredDuringSchedulingIgnoredDuringExecution[]":                  `affinity: {KIND: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, WISH}]}}`,
			"preferredDuringSchedulingIgnoredDuringExecution[].podAffinityTerm": `affinity: {KIND: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, podAffinityTerm: {topologyKey: zone, WISH}}]}}`,
		} {
			wish := func(text string) string { return strings.NewReplacer("KIND", kind, "WISH", text).Replace(term) }
			at := "affinity." + kind + "." + list + "."
			own := "it chooses among the own namespace's pods"
			out[at+"labelSelector"] = field{why: own, free: wish(`labelSelector: {}`)}
			out[at+"matchLabelKeys[]"] = field{why: own, free: wish(`matchLabelKeys: [app]`)}
			out[at+"mismatchLabelKeys[]"] = field{why: own, free: wish(`mismatchLabelKeys: [app]`)}
			out[at+"topologyKey"] = field{why: own, free: wish(`labelSelector: {}`)}
			out[at+"namespaces[]"] = field{why: "where others' pods run tells of them, and keeps them from a node",
				free: wish(`namespaces: [3scale]`), refused: wish(`namespaces: [3scale, victim]`), leave: `affinityNamespaces: [victim]`}
			out[at+"namespaceSelector"] = field{why: "likewise", refused: wish(`namespaceSelector: {}`), leave: `affinityNamespaces: ["*"]`}
		}
		out["affinity."+kind+".preferredDuringSchedulingIgnoredDuringExecution[].weight"] = field{why: "a wish among wishes", free: strings.ReplaceAll(`affinity: {KIND: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: zone}}]}}`, "KIND", kind)}
	}
	return out
}

// TestEachFieldIsDecided walks through the type: a field that Kubernetes or we
// add fails until somebody has said what a claim may ask for there.
func TestEachFieldIsDecided(t *testing.T) {
	t.Parallel()
	rows, used := fields(), map[string]bool{}
	for _, path := range leaves(reflect.TypeFor[v1alpha1.JobSettings](), "") {
		name := rowOf(rows, path)
		assert.NotEmpty(t, name, "spec.job.%s reaches a pod, and nobody has decided what may be asked there", path)
		used[name] = true
	}
	for name, row := range rows {
		assert.True(t, used[name], "%s is no field", name)
		assert.NotEmpty(t, row.why, name)
		assert.True(t, row.free != "" || row.refused != "", "%s has no case", name)
	}
}

func TestEachFieldIsAsDecided(t *testing.T) {
	t.Parallel()
	for name, row := range fields() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if row.free != "" {
				assert.Empty(t, check(t, "", row.free), row.why)
			}
			if row.refused == "" {
				return
			}
			refused := check(t, "", row.refused)
			require.NotEmpty(t, refused, row.why)
			top, _, _ := strings.Cut(name, ".")
			assert.True(t, strings.HasPrefix(refused[0].Field, strings.TrimSuffix(top, "[]")), "it is told of %q", refused[0].Field)
			if row.leave == "" {
				assert.Empty(t, refused[0].Leave, "no leave would help")
				return
			}
			assert.True(t, strings.HasPrefix(row.leave, refused[0].Leave+":"), "told to ask for %q", refused[0].Leave)
			assert.Empty(t, check(t, row.leave, row.refused), "the platform may allow it")
		})
	}
}

// check decides on settings in YAML under a policy in YAML.
func check(t *testing.T, allow, settings string) []podpolicy.Refusal {
	t.Helper()
	var a v1alpha1.Allow
	require.NoError(t, yaml.UnmarshalStrict([]byte(allow), &a), allow)
	var s v1alpha1.JobSettings
	require.NoError(t, yaml.UnmarshalStrict([]byte(settings), &s), settings)
	return podpolicy.Check(a, namespace, specs.SettingsPod(s, false))
}

// rowOf is the row that a leaf belongs to.
func rowOf(rows map[string]field, path string) string {
	if _, ok := rows[path]; ok {
		return path
	}
	for name := range rows {
		if prefix, ok := strings.CutSuffix(name, "*"); ok && strings.HasPrefix(path, prefix) {
			return name
		}
	}
	return ""
}

// leaves are the paths of all fields below a type, in JSON's names.
func leaves(of reflect.Type, path string) []string {
	switch of.Kind() {
	case reflect.Pointer:
		return leaves(of.Elem(), path)
	case reflect.Slice, reflect.Map:
		return leaves(of.Elem(), path+"[]")
	case reflect.Struct:
	default:
		return []string{path}
	}
	if of == reflect.TypeFor[resource.Quantity]() || of == reflect.TypeFor[metav1.LabelSelector]() {
		return []string{path}
	}
	var out []string
	for f := range of.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := strings.TrimPrefix(path+"."+name, ".")
		if name == "" { // inlined
			at = path
		}
		out = append(out, leaves(f.Type, at)...)
	}
	return out
}
