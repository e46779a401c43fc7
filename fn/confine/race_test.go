//go:build race

package confine_test

// raced tells that the race detector, which allocates by itself, is the one that runs out of memory.
const raced = true
