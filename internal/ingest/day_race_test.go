//go:build race

package ingest

import "time"

// simulatedDay is how long TestSimulatedDay lasts: the race detector makes it slow.
const simulatedDay = 2 * time.Hour
