//go:build linux

// Command nodeinit runs package node.
package main

import (
	"context"
	"fmt"
	"os"

	"threescale.dev/backup/test/cluster/node"
)

func main() {
	if err := node.Run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nodeinit:", err)
		os.Exit(1)
	}
}
