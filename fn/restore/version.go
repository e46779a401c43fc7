package restore

import (
	"k8s.io/apimachinery/pkg/util/version"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// checkVersion returns why the 3scale operator in the namespace would refuse the backup's version: it
// upgrades by one minor version at a time, and never downgrades. It returns nil if one of the versions
// is unknown.
func checkVersion(backedUp, operator string) *Problem {
	from, unknown := version.ParseGeneric(backedUp)
	to, alsoUnknown := version.ParseGeneric(operator)
	switch {
	case unknown != nil || alsoUnknown != nil:
		return nil
	case from.Major() == to.Major() && (to.Minor() == from.Minor() || to.Minor() == from.Minor()+1):
		return nil
	case from.Major() < to.Major(), from.Major() == to.Major() && from.Minor() < to.Minor():
		return Stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s: it upgrades by one minor version at a time; install the operator for %d.%d, restore, then upgrade step by step", backedUp, operator, from.Major(), from.Minor())
	}
	return Stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s, which is older; install the operator for %d.%d", backedUp, operator, from.Major(), from.Minor())
}
