package restore

import (
	"fmt"
	"time"
)

// Decision is what to do next: Act, Wait, Stop or End.
type Decision interface{ decision() }

// Act is an action to do now. Another decision follows it.
type Act struct{ Action Action }

// Wait waits for somebody else; a watch wakes the restore.
type Wait struct {
	// Message says what the restore waits for; it becomes the condition's message.
	Message string
	// Retry is when to look again, if nothing else wakes the restore; zero for the usual interval.
	Retry time.Duration
}

// Stop is a problem that stops the restore for now.
type Stop struct {
	Problem *Problem
	// Retry is when to try again at the latest; zero leaves it to the number of failures.
	Retry time.Duration
}

// End means that there is nothing more to do.
type End struct {
	// Message describes the plan of a dry run.
	Message string
}

func (Act) decision()  {}
func (Wait) decision() {}
func (Stop) decision() {}
func (End) decision()  {}

func wait(format string, args ...any) Wait { return Wait{Message: fmt.Sprintf(format, args...)} }

// Problem stops a restore for now. It says what is wrong, where, and what to do.
type Problem struct { //nolint:errname // it is a state of the restore first, and an error where one is returned
	// Reason is one of the constants of package v1alpha1.
	Reason  string
	Message string
	// Terminal means that trying again cannot help: somebody has to change something that the
	// controller does not watch. Other problems are tried again.
	Terminal bool
}

func (p *Problem) Error() string { return p.Reason + ": " + p.Message }

// Stalled returns a terminal Problem.
func Stalled(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Terminal: true}
}

// Failing returns a Problem that is tried again.
func Failing(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
