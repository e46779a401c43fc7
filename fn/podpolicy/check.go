// Package podpolicy decides what users who may not create pods may ask for in a
// pod that is created for them. It is pure.
package podpolicy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// maxPodBytes bounds a pod's spec as JSON, without volumes: the scheduler, which
// serves all namespaces, reads each selector of it for each node.
const maxPodBytes = 16 << 10

// everywhere allows all namespaces in Allow.AffinityNamespaces.
const everywhere = "*"

// Refusal is one setting that was asked for and is not allowed.
type Refusal struct {
	// Field of spec.job, such as affinity.
	Field string
	// Problem is what is wrong with it.
	Problem string
	// Leave is the field of Allow that would allow it; "": none would.
	Leave string
}

// Check returns what is not allowed in a pod of the namespace; nil if everything
// is allowed.
func Check(allow v1alpha1.Allow, namespace string, pod corev1.PodTemplateSpec) []Refusal {
	return slices.Concat(
		checkSecurity(allow.PodSecurity, pod),
		checkPriority(allow.PriorityClassNames, pod.Spec.PriorityClassName),
		checkTolerations(allow.Tolerations, pod.Spec.Tolerations),
		checkAffinity(allow.AffinityNamespaces, namespace, pod.Spec.Affinity),
		checkResources(allow.MaxResources, pod.Spec),
		checkSize(pod.Spec),
	)
}

// evaluator holds the checks of the Pod Security admission controller.
var evaluator = sync.OnceValues(func() (policy.Evaluator, error) { return policy.NewEvaluator(policy.DefaultChecks(), nil) })

// checkSecurity runs the checks of the Pod Security admission controller.
func checkSecurity(level v1alpha1.PodSecurityLevel, pod corev1.PodTemplateSpec) []Refusal {
	evaluate, err := evaluator()
	if err != nil {
		return []Refusal{{"podSecurityContext", fmt.Sprintf("cannot be checked: %s", err), ""}}
	}
	level = cmp.Or(level, v1alpha1.PodSecurityRestricted)
	known, err := psa.ParseLevel(string(level))
	if err != nil {
		level = v1alpha1.PodSecurityRestricted // as is known
	}
	var broken []string
	for _, result := range evaluate.EvaluatePod(psa.LevelVersion{Level: known, Version: psa.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			broken = append(broken, strings.TrimSuffix(result.ForbiddenReason+": "+result.ForbiddenDetail, ": "))
		}
	}
	if o := pod.Spec.SecurityContext; known != psa.LevelPrivileged && o != nil && o.SELinuxOptions != nil && o.SELinuxOptions.Level != "" {
		// Every level of the standards allows it, although it is what keeps pods apart.
		broken = append(broken, fmt.Sprintf("seLinuxOptions: a level of its own, %q", o.SELinuxOptions.Level))
	}
	if len(broken) == 0 {
		return nil
	}
	slices.Sort(broken)
	return []Refusal{{"podSecurityContext", fmt.Sprintf("breaks Pod Security %q (%s)", level, strings.Join(broken, "; ")), "podSecurity"}}
}

func checkPriority(allowed []string, class string) []Refusal {
	if class == "" || slices.Contains(allowed, class) {
		return nil
	}
	return []Refusal{{"priorityClassName", fmt.Sprintf("asks for PriorityClass %q, which is not allowed here", class), "priorityClassNames"}}
}

func checkTolerations(allowed, wanted []corev1.Toleration) []Refusal {
	var out []Refusal
	for i, t := range wanted {
		if slices.ContainsFunc(allowed, func(a corev1.Toleration) bool { return covers(a, t) }) {
			continue
		}
		out = append(out, Refusal{fmt.Sprintf("tolerations[%d]", i), fmt.Sprintf("tolerates %s, which is not allowed here", taints(t)), "tolerations"})
	}
	return out
}

// covers reports whether a tolerates every taint that b does.
func covers(a, b corev1.Toleration) bool {
	if a.Effect != "" && a.Effect != b.Effect {
		return false
	}
	exists := func(t corev1.Toleration) bool { return t.Operator == corev1.TolerationOpExists }
	if a.Key == "" {
		return exists(a) // without an operator it is no toleration at all
	}
	if a.Key != b.Key {
		return false
	}
	if exists(a) {
		return true
	}
	return cmp.Or(a.Operator, corev1.TolerationOpEqual) == cmp.Or(b.Operator, corev1.TolerationOpEqual) && a.Value == b.Value
}

// taints says which taints a toleration is for.
func taints(t corev1.Toleration) string {
	text := "all taints"
	switch {
	case t.Key != "" && t.Operator == corev1.TolerationOpExists:
		text = fmt.Sprintf("taint %q", t.Key)
	case t.Key != "":
		text = fmt.Sprintf("taint %q", t.Key+"="+t.Value)
	}
	if t.Effect != "" {
		text += fmt.Sprintf(" of effect %q", t.Effect)
	}
	return text
}

// checkAffinity allows terms about pods of the own namespace. Terms about nodes
// are always allowed, since a node without a taint takes every pod.
func checkAffinity(allowed []string, namespace string, a *corev1.Affinity) []Refusal {
	if a == nil || slices.Contains(allowed, everywhere) {
		return nil
	}
	var out []Refusal
	check := func(field string, term corev1.PodAffinityTerm) {
		if term.NamespaceSelector != nil {
			out = append(out, Refusal{field + ".namespaceSelector", "selects pods of other namespaces, which is not allowed here", "affinityNamespaces"})
		}
		for _, other := range term.Namespaces {
			if other != namespace && !slices.Contains(allowed, other) {
				out = append(out, Refusal{field + ".namespaces", fmt.Sprintf("names pods of namespace %q, which is not allowed here", other), "affinityNamespaces"})
			}
		}
	}
	checkAll := func(kind string, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i, term := range required {
			check(fmt.Sprintf("affinity.%s.requiredDuringSchedulingIgnoredDuringExecution[%d]", kind, i), term)
		}
		for i, weighted := range preferred {
			check(fmt.Sprintf("affinity.%s.preferredDuringSchedulingIgnoredDuringExecution[%d].podAffinityTerm", kind, i), weighted.PodAffinityTerm)
		}
	}
	if with := a.PodAffinity; with != nil {
		checkAll("podAffinity", with.RequiredDuringSchedulingIgnoredDuringExecution, with.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if without := a.PodAntiAffinity; without != nil {
		checkAll("podAntiAffinity", without.RequiredDuringSchedulingIgnoredDuringExecution, without.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return out
}

// checkResources bounds what the containers ask for.
func checkResources(most corev1.ResourceList, pod corev1.PodSpec) []Refusal {
	var out []Refusal
	for _, c := range pod.Containers {
		for _, list := range []struct {
			field string
			asked corev1.ResourceList
		}{{"resources.requests", c.Resources.Requests}, {"resources.limits", c.Resources.Limits}} {
			for _, name := range slices.Sorted(maps.Keys(list.asked)) {
				if problem := checkQuantity(most, name, list.asked); problem != "" {
					out = append(out, Refusal{fmt.Sprintf("%s[%s]", list.field, name), problem, "maxResources"})
				}
			}
		}
		if len(c.Resources.Claims) > 0 {
			out = append(out, Refusal{"resources.claims", "names ResourceClaims, which these pods cannot have", ""})
		}
	}
	return out
}

// checkQuantity says what is wrong with the requested quantity of a resource; ""
// if nothing is.
func checkQuantity(most corev1.ResourceList, name corev1.ResourceName, asked corev1.ResourceList) string {
	quantity := asked[name]
	limit, bounded := most[name]
	switch {
	case bounded && quantity.Cmp(limit) > 0:
		return fmt.Sprintf("asks for %s, more than the %s that are allowed here", quantity.String(), limit.String())
	case bounded, name == corev1.ResourceCPU, name == corev1.ResourceMemory, name == corev1.ResourceEphemeralStorage:
		return ""
	}
	return "asks for a resource that is not allowed here"
}

func checkSize(pod corev1.PodSpec) []Refusal {
	pod.Volumes = nil
	text, err := json.Marshal(pod)
	if err != nil {
		return []Refusal{{"affinity", fmt.Sprintf("cannot be encoded: %s", err), ""}}
	}
	if len(text) <= maxPodBytes {
		return nil
	}
	return []Refusal{{"affinity", fmt.Sprintf("makes with the other fields a pod of %d bytes, more than the %d allowed; shorten it", len(text), maxPodBytes), ""}}
}
