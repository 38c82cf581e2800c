package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"nvr/internal/config"
	"nvr/internal/control"
)

// ask asks the running recorder, as control.Ask does, on any of the volumes: some
// may not be there.
func ask(ctx context.Context, conf *config.Config, do string, args any, progress func(done, total int64)) (answer json.RawMessage, err error) {
	var failed error
	for _, v := range conf.Storage.Volumes() {
		answer, err = control.Ask(ctx, v.BasePath, do, args, progress)
		var refusal *control.Error
		switch {
		case err == nil:
			return answer, nil
		case errors.As(err, &refusal):
			return nil, err
		case !errors.Is(err, control.ErrNotRunning):
			failed = cmp.Or(failed, err)
		}
	}
	return nil, cmp.Or(failed, err)
}
