//go:build race

package engine_test

// raceDetector says that the tests run with it.
const raceDetector = true
