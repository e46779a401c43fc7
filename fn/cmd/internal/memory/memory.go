// Package memory fits a process into its container.
package memory

import "github.com/KimMachineGun/automemlimit/memlimit"

// Limit has the garbage collector work harder once the process holds 90 % of the memory
// of its container (memory.max of its cgroup), so that garbage does not get it killed.
// It sets no lower limit, since a process that needs more than its limit does nothing
// but collect. GOMEMLIMIT, if it is set, takes precedence. Limit returns the limit in
// bytes, [math.MaxInt64] without one.
func Limit() int64 {
	limit, _ := memlimit.Set() // without a readable cgroup there is no limit: it only saves memory
	return limit
}
