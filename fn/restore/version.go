package restore

import (
	"strconv"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// release is a 3scale version such as 2.16.
type release struct{ major, minor int }

// parseRelease reads the first two numbers of a version; ok is false without them.
func parseRelease(version string) (r release, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return release{}, false
	}
	minor, _, _ := strings.Cut(parts[1], "-")
	var errs [2]error
	r.major, errs[0] = strconv.Atoi(parts[0])
	r.minor, errs[1] = strconv.Atoi(minor)
	return r, errs[0] == nil && errs[1] == nil && r.major >= 0 && r.minor >= 0
}

// checkVersion returns why the 3scale operator in the namespace would refuse the backup's version: it
// upgrades by one minor version at a time, and never downgrades. It returns nil if one of the versions
// is unknown.
func checkVersion(backedUp, operator string) *Problem {
	from, ok := parseRelease(backedUp)
	if !ok {
		return nil
	}
	to, ok := parseRelease(operator)
	if !ok {
		return nil
	}
	switch {
	case from.major == to.major && (to.minor == from.minor || to.minor == from.minor+1):
		return nil
	case from.major < to.major, from.major == to.major && from.minor < to.minor:
		return stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s: it upgrades by one minor version at a time; install the operator for %d.%d, restore, then upgrade step by step", backedUp, operator, from.major, from.minor)
	}
	return stalled(v1alpha1.ReasonVersionRefused, "The backup is of 3scale %s and the operator of this namespace is for %s, which is older; install the operator for %d.%d", backedUp, operator, from.major, from.minor)
}
