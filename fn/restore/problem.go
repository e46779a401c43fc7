package restore

import "fmt"

// Problem stops a restore for now. It says what is wrong, where, and what to do.
type Problem struct { //nolint:errname // it is a state of the restore first, and an error where one is returned
	// Reason is one of the constants of package v1alpha1.
	Reason  string
	Message string
	// Terminal means that trying again cannot help: somebody has to change something that the
	// controller does not watch. Other problems are tried again.
	Terminal bool
}

// Error implements error.
func (p *Problem) Error() string { return p.Reason + ": " + p.Message }

// stalled returns a terminal Problem.
func stalled(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Terminal: true}
}

// failing returns a Problem that is tried again.
func failing(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
