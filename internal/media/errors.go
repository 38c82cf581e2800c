package media

import (
	"errors"
	"fmt"
)

// ErrOverwritten is what a reader gets for footage whose pool was reused since
// it was looked up: it goes on at the oldest time that is still there.
var ErrOverwritten = errors.New("footage was overwritten")

// DamagedError is what a reader gets for a record whose bytes are not the ones
// that were written. It costs the record, not what lies beside it.
type DamagedError struct {
	Ref    Ref
	Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("pool %03d offset %d: damaged record: %s", e.Ref.Pool, e.Ref.Group+int64(e.Ref.Offset), e.Reason)
}
