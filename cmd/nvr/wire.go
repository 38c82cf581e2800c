package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"nvr/internal/config"
	"nvr/internal/ingest"
	"nvr/internal/media"
	"nvr/internal/onvif"
	"nvr/internal/play"
	"nvr/internal/store"
)

// archive is footage that can be read: the volumes of a configuration, or one
// of them, or pool files that lie about.
type archive interface {
	play.Archive
	Streams() []*media.Stream
	List(ctx context.Context, q store.Query) (store.Listing, error)
	Close() error
}

func volumeOptions(conf *config.Config, v config.Volume, epoch time.Time, log *slog.Logger) store.VolumeOptions {
	s := conf.Storage
	if len(s.More) > 0 {
		log = log.With("volume", v.Name)
	}
	return store.VolumeOptions{Name: v.Name, Retired: v.Retired, Options: store.Options{
		Dir:             v.BasePath,
		Pools:           v.MaxPools,
		PoolBytes:       v.PoolBytes(),
		VaultBytes:      v.VaultBytes(),
		QueueRecords:    s.WriterQueueSize,
		CommitInterval:  s.CommitInterval,
		SegmentDuration: s.SegmentDuration,
		Epoch:           epoch,
		ScrubRate:       s.ScrubRate,
		Log:             log,
	}}
}

func archiveOptions(conf *config.Config, epoch time.Time, log *slog.Logger) store.ArchiveOptions {
	o := store.ArchiveOptions{Cameras: map[media.UUID]store.CameraRule{}, Log: log}
	for _, v := range conf.Storage.Volumes() {
		o.Volumes = append(o.Volumes, volumeOptions(conf, v, epoch, log))
	}
	for _, c := range conf.Cameras {
		o.Cameras[media.CameraUUID(c.ID)] = store.CameraRule{Volume: c.Volume, MaxAge: time.Duration(c.MaxDays) * 24 * time.Hour}
	}
	return o
}

// newCamera makes the machine of one stream of a camera. It cuts its records on the
// beat that it shares with the writer: what the writer commits is never older than
// commit_interval.
func newCamera(conf *config.Config, c config.Camera, s config.Stream, epoch time.Time, recorder ingest.Recorder, log *slog.Logger) *ingest.Camera {
	o := ingestOptions(c, s, log)
	o.RecordEvery, o.Epoch = store.Beat(conf.Storage.CommitInterval), epoch
	o.NotBefore = built().UnixNano()
	return ingest.New(o, recorder)
}

// ingestOptions is how a stream is connected to, be it for recording or for a look.
func ingestOptions(c config.Camera, s config.Stream, log *slog.Logger) ingest.Options {
	return ingest.Options{
		Stream:               stream(c, s.Name),
		URL:                  s.URL,
		Program:              program(c),
		Locate:               locate(c, s, log),
		Username:             s.Username,
		Password:             s.Password.Reveal(),
		Transport:            c.Transport,
		TLS:                  ingest.TLS{Fingerprint: c.TLS.Fingerprint, Roots: c.TLS.Roots, Insecure: c.TLS.Insecure, MinVersion: c.TLS.MinVersion},
		Audio:                c.Audio,
		MaxReconnectAttempts: c.MaxReconnectAttempts,
		Log:                  log,
	}
}

// locate is how a stream of an onvif:// camera is found; nil where the URL says it.
func locate(c config.Camera, s config.Stream, log *slog.Logger) func(context.Context) (string, error) {
	if !config.IsONVIF(s.URL) {
		return nil
	}
	l, err := onvif.NewLocator(onvif.LocatorOptions{
		URL: s.URL, Username: s.Username, Password: s.Password.Reveal(), Profile: s.Profile,
		Sub: s.Name == config.Sub, Main: c.Profile, Log: log.With("camera", c.ID, "stream", s.Name),
	})
	return func(ctx context.Context) (string, error) {
		if err != nil { // config has checked the URL, so this is a surprise
			return "", err
		}
		url, err := l.Locate(ctx)
		if errors.Is(err, onvif.ErrUnauthorized) {
			err = refusedError{err}
		}
		return url, err
	}
}

// refusedError is an error about a password, for ingest, which does not know onvif's.
type refusedError struct{ error }

func (e refusedError) Unwrap() error      { return e.error }
func (refusedError) Is(target error) bool { return target == ingest.ErrUnauthorized }

func stream(c config.Camera, name string) *media.Stream {
	return &media.Stream{Camera: media.Camera{UUID: media.CameraUUID(c.ID), ID: c.ID, Name: c.Name}, Name: name}
}

// openForReading opens the volumes of the configuration, also while they are
// being recorded into.
func (c *console) openForReading(conf *config.Config) (*store.Archive, error) {
	a, err := store.OpenArchiveReadOnly(archiveOptions(conf, time.Time{}, c.log))
	if errors.Is(err, store.ErrNotFound) {
		return nil, noRing(conf.Storage.BasePath)
	}
	return a, err
}
