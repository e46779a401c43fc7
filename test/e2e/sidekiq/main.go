// Command sidekiq stands for bash in the pod of sidekiq: it waits, or, when told
// to run a command, succeeds if that is the one that has Zync make its routes again.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		if !slices.Equal(os.Args[1:], []string{"-c", "bundle exec rake zync:resync:domains"}) {
			fmt.Fprintln(os.Stderr, "unknown command:", os.Args[1:])
			os.Exit(127)
		}
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
