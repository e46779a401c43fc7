package restore

import (
	"fmt"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/specs"
)

// CheckJob refuses settings in spec.job that a pod must not have if the controller creates it with its
// own rights. If a ServiceAccount creates the pod, that account's rights and the namespace's admission
// decide instead.
func CheckJob(r *v1alpha1.ThreeScaleRestore, assignsUID bool) *Problem {
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
