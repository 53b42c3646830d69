//go:build race

package e2e_test

// raceBuild makes the binary under test a race-checked one where the test is.
const raceBuild = true
