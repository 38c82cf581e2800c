//go:build race

package store

// defaultCrashStates is how many states are examined where nothing else is
// said: the race detector costs eight times the time.
const defaultCrashStates = 60
