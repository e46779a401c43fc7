//go:build !race

package sops_test

// raceFlag makes the sops command of packages that are compiled already for this test.
const raceFlag = "-race=false"
