//go:build !race

package compose_test

// raceDetector tells that all is five times slower.
const raceDetector = false
