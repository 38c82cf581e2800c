//go:build !race

package ingest

import "time"

// simulatedDay is how long TestSimulatedDay lasts.
const simulatedDay = 24 * time.Hour
