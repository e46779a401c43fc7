// Package memory fits a process into its container.
package memory

import "github.com/KimMachineGun/automemlimit/memlimit"

// Limit has the garbage collector work harder once a process holds 90 % of what
// its container may (memory.max of its cgroup), so that it is not killed for what
// is garbage. Nothing else is limited: who holds more than a limit that was
// chosen for him collects all the time. GOMEMLIMIT, where it is set, counts
// instead. Limit returns the limit in bytes, [math.MaxInt64] without one.
func Limit() int64 {
	limit, _ := memlimit.Set() // a cgroup that cannot be read is as good as none: the limit is soft
	return limit
}
