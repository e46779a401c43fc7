package main

import (
	"os"

	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/commit/githubapp"
	"threescale.dev/backup/fn/confine"
)

// childName is the first argument of the processes that the controller starts for what tenants control. They are no command for users,
// and confine themselves before anything else is done.
const childName = "child"

// isChild reports whether this process is one.
func isChild() bool { return len(os.Args) > 1 && os.Args[1] == childName }

// child does one thing for the controller, and returns the exit code.
func child() int {
	return confine.Serve(os.Args[2:], os.Stdin, os.Stdout, commit.Worker{GitHubApp: githubapp.Login}.Do)
}
