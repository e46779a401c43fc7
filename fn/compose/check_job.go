package compose

import (
	"fmt"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/specs"
)

// checkJob looks at what spec.job asks for. Crossplane makes the pods, so that
// what the claim's author may do in the cluster bounds nothing.
func checkJob(c *composition) []finding {
	if c.observed.InputError != nil {
		return findingf(v1alpha1.ReasonInvalidSpec, "The Composition's input does not decode: %s; ask whoever installed it to correct it", c.observed.InputError)
	}
	if c.observed.Composite.SpecError != nil {
		return nil // which is told by itself
	}
	var out []finding
	for _, r := range podpolicy.Check(c.observed.Allow, c.namespace, specs.SettingsPod(c.spec.Job, c.assignsUID())) {
		do := "correct it, or leave it out"
		if r.Leave != "" {
			do = fmt.Sprintf("leave it out, or ask whoever installed the Composition to allow it (input.allow.%s)", r.Leave)
		}
		out = append(out, findingf(v1alpha1.ReasonJobRefused, "%s", job.Sentence(fmt.Sprintf("spec.job.%s %s; %s", r.Field, r.Problem, do)))...)
	}
	return out
}
