package threescale

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
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
func FileStoragePodSelector(threescaleVersion string) *metav1.LabelSelector {
	key := "deployment"
	if precedes(threescaleVersion, 2, 15) {
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
func precedes(threescaleVersion string, major, minor uint) bool {
	v, err := version.ParseGeneric(threescaleVersion)
	return err == nil && v.LessThan(version.MajorMinor(major, minor))
}
