package check

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// Versions of Kubernetes.
const (
	oldestKubernetes = "1.29"
	testedKubernetes = "1.37"
)

// Kubernetes checks the version of an API server.
func Kubernetes(serverVersion string) Finding {
	const a, check = area("Kubernetes"), "version"
	found, err := version.ParseGeneric(serverVersion)
	if err != nil {
		return a.unread(check, fmt.Errorf("cannot read the version %q: %w", serverVersion, err))
	}
	if !found.AtLeast(version.MustParseGeneric(oldestKubernetes)) {
		return a.fail(check,
			fmt.Sprintf("Kubernetes %s is too old: the rules in our CRDs and the Jobs' podFailurePolicy need %s", serverVersion, oldestKubernetes),
			fmt.Sprintf("upgrade the cluster to Kubernetes %s or later (%s is tested)", oldestKubernetes, testedKubernetes))
	}
	return a.ok(check, "Kubernetes %s (%s or later is needed, %s is tested)", serverVersion, oldestKubernetes, testedKubernetes)
}
