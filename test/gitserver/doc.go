// Package gitserver runs a real Git server in the test's own process, on the
// loopback address: HTTP and HTTPS with a user and a password, and SSH with a
// key. Start with [Start]. By HTTP, another process can serve the same: see
// [ServeAlone].
//
// The servers are those of github.com/fluxcd/pkg/gittestserver, behind which the
// machine's own git does the work. What a test reads and writes goes through git
// as well, with none of the user's configuration.
package gitserver
