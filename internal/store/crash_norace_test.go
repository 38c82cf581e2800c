//go:build !race

package store

// defaultCrashStates is how many states are examined where nothing else is said.
const defaultCrashStates = 300
