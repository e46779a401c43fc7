//go:build linux

// Command nodeinit runs package node.
package main

import (
	"fmt"
	"os"

	"threescale.dev/backup/test/cluster/node"
)

func main() {
	if err := node.Run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nodeinit:", err)
		os.Exit(1)
	}
}
