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
	fmt.Fprintln(os.Stderr, "nodeinit:", node.Run(context.Background(), os.Args[1:]))
	os.Exit(1)
}
