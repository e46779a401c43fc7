//go:build race

package commit_test

const memoryFactor = 4
