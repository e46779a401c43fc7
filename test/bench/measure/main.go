// Command measure runs another program, and prints what it took: nanoseconds, those
// of processor time, the peak memory of its largest process in KiB, and the share of
// the machine's processors that was busy meanwhile. It is a program of its own
// because Linux counts what a process held before it became another program to that
// one's peak, and this one is small.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("nothing to do: give a program and its arguments")
	}
	command := exec.Command(args[0], args[1:]...) //nolint:noctx // whoever waits for it may end both
	command.Stderr = os.Stderr
	idle := idleTime()
	start := time.Now()
	if err := command.Run(); err != nil {
		return fmt.Errorf("cannot run %q: %w", args[0], err)
	}
	wall := time.Since(start)
	busy := 1 - (idleTime()-idle)/wall.Seconds()/float64(runtime.NumCPU())
	usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("no resource usage on this system")
	}
	processor := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	fmt.Println(wall.Nanoseconds(), processor.Nanoseconds(), usage.Maxrss, max(0, min(busy, 1)))
	return nil
}

// idleTime is for how many seconds the processors of the machine had nothing to do, since it started.
func idleTime() float64 {
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	var up, idle float64
	if _, err := fmt.Sscan(string(uptime), &up, &idle); err != nil {
		return 0
	}
	return idle
}
