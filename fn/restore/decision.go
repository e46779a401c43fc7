package restore

import (
	"fmt"
	"time"
)

// Decision is what to do next: an Act, a Wait, a Stop or an End.
type Decision interface{ decision() }

// Act is an action to do now, before the next decision.
type Act struct{ Action Action }

// Wait tells that others have to do something; a watch wakes the restore.
type Wait struct {
	// Message says what goes on, for the condition.
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

// End tells that there is nothing more to do.
type End struct {
	// Message is about a dry run's plan.
	Message string
}

func (Act) decision()  {}
func (Wait) decision() {}
func (Stop) decision() {}
func (End) decision()  {}

func wait(format string, args ...any) Wait { return Wait{Message: fmt.Sprintf(format, args...)} }
