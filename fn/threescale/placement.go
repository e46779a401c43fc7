package threescale

import (
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FileStoragePodSelector returns the labels by which the pods that mount the
// file storage are found, system-app and system-sidekiq (component/system.go:547
// and 940; the hook Jobs of system-app mount it too, but end). A Job that needs
// the same node, because the volume is ReadWriteOnce, takes it as the selector
// of a required pod affinity over kubernetes.io/hostname.
//
// The label that the operator puts last, so that no user label replaces it, is
// `deployment` since 3scale 2.15 (operator/system_options_provider.go:601, 623)
// and was `deploymentConfig` up to 2.14 (v0.11.0: 549, 571). The version is the
// one that Version returns; an unknown one counts as a new one.
func FileStoragePodSelector(version string) *metav1.LabelSelector {
	key := "deployment"
	if precedes(version, 2, 15) {
		key = "deploymentConfig"
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key:      key,
		Operator: metav1.LabelSelectorOpIn,
		Values:   []string{"system-app", "system-sidekiq"},
	}}}
}

// precedes reports whether a 3scale version is lower than major.minor. A
// version that cannot be read is not lower than any.
func precedes(version string, major, minor int) bool {
	first, _, _ := strings.Cut(version, ".")
	a, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	b, err := minorOf(version)
	if err != nil {
		return false
	}
	return a < major || a == major && b < minor
}
