package restore

import "fmt"

// Problem stops a restore for now: what is wrong, where, and what to do.
type Problem struct { //nolint:errname // it is a state of the restore first, and an error where one is returned
	// Reason is one of fn/api/v1alpha1's.
	Reason  string
	Message string
	// Terminal tells that trying again cannot help: somebody has to change
	// something that the restore does not watch. Else it is tried again.
	Terminal bool
}

// Error implements error.
func (p *Problem) Error() string { return p.Reason + ": " + p.Message }

// stalled is a Problem that trying again cannot mend.
func stalled(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Terminal: true}
}

// failing is a Problem that is tried again.
func failing(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
