package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"nvr/internal/config"
	"nvr/internal/ingest"
	"nvr/internal/media"
	"nvr/internal/store"
)

// streamName is the only stream of a camera so far.
const streamName = "main"

func storeOptions(conf *config.Config, epoch time.Time, log *slog.Logger) store.Options {
	s := conf.Storage
	return store.Options{
		Dir:             s.BasePath,
		Pools:           s.MaxPools,
		PoolBytes:       s.PoolBytes(),
		QueueRecords:    s.WriterQueueSize,
		CommitInterval:  s.CommitInterval,
		SegmentDuration: s.SegmentDuration,
		Epoch:           epoch,
		Log:             log,
	}
}

// newCamera makes the machine of one camera. It cuts its records on the beat
// that it shares with the writer: what the writer commits is never older than
// commit_interval.
func newCamera(conf *config.Config, c config.Camera, epoch time.Time, recorder ingest.Recorder, log *slog.Logger) *ingest.Camera {
	return ingest.New(ingest.Options{
		Stream:               stream(c),
		URL:                  c.URL,
		Username:             c.Username,
		Password:             c.Password.Reveal(),
		Transport:            c.Transport,
		Audio:                c.Audio,
		MaxReconnectAttempts: c.MaxReconnectAttempts,
		RecordEvery:          store.Beat(conf.Storage.CommitInterval),
		Epoch:                epoch,
		Log:                  log,
	}, recorder)
}

func stream(c config.Camera) *media.Stream {
	return &media.Stream{Camera: media.Camera{UUID: media.CameraUUID(c.ID), ID: c.ID, Name: c.Name}, Name: streamName}
}

// openForReading opens the ring of the configuration, also while it is being
// recorded into.
func (c *console) openForReading(conf *config.Config) (*store.Volume, error) {
	v, err := store.OpenReadOnly(storeOptions(conf, time.Time{}, c.log))
	if errors.Is(err, store.ErrNotFound) {
		return nil, &notFoundError{fmt.Errorf("no recordings in %s: nvr record makes the ring there", conf.Storage.BasePath)}
	}
	return v, err
}
