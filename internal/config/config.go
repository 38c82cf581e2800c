// Package config turns the TOML file into typed, validated values. It is
// strict: whatever it does not know or cannot be meant is a Problem with file,
// line, key and remedy, and all problems of a file are reported at once.
package config

import (
	"time"
)

// Config is a configuration that can be run: every value is within its limits.
type Config struct {
	Storage Storage
	Cameras []Camera
}

// Storage is the table [storage].
type Storage struct {
	BasePath        string // absolute
	ChunkSizeMB     int
	MaxPools        int
	SegmentDuration time.Duration
	WriterQueueSize int
	CommitInterval  time.Duration
}

// PoolBytes is the size of one pool file.
func (s Storage) PoolBytes() int64 { return int64(s.ChunkSizeMB) << 20 }

// Camera is one of the tables [[cameras]].
type Camera struct {
	ID                   string
	Name                 string // ID where the file says none
	URL                  string // without credentials
	Username             string
	Password             Secret
	Transport            string // "auto" or "tcp"
	Audio                bool
	Enabled              bool
	MaxReconnectAttempts int // 0: no limit

	urlSecrets []Secret
}

// Secrets returns what must not be printed: the password, and passwords in the
// path or query of the URL, where some vendors want them.
func (c *Camera) Secrets() []Secret {
	var all []Secret
	if !c.Password.IsZero() {
		all = append(all, c.Password)
	}
	return append(all, c.urlSecrets...)
}

// Key is one key of the file as people know it. Decoding, the hints in error
// messages and docs/config.md all use this one table.
type Key struct {
	Name     string
	Type     string // "text", "whole number" or "true or false"
	Default  string // as written in TOML; empty: none
	Min, Max int64  // of whole numbers
	Why      string // of the limits
	Doc      string
}

// The limits of numbers.
const (
	minChunkSizeMB      = 8
	maxChunkSizeMB      = 64 << 10 // 64 GiB
	minPools            = 2
	maxPools            = 1 << 16 // as store/ring numbers them
	maxSegmentSecs      = 3600
	minQueueRecords     = 16
	maxQueueRecords     = 1 << 16
	minCommitMillis     = 500
	maxCommitMillis     = 10_000
	maxReconnects       = 1_000_000
	maxCameras          = 4096
	maxIDLength         = 64
	maxNameLength       = 256
	maxURLLength        = 2048
	maxSecretBytes      = 4096 // a password file is one line
	maxConfigBytes      = 1 << 20
	maxReportedProblems = 100
)

// StorageKeys are the keys of [storage].
var StorageKeys = []Key{
	{Name: "base_path", Type: typeText,
		Doc: "Directory of the pool files. Relative to the directory of the configuration file. Created when absent."},
	{Name: "chunk_size_mb", Type: typeNumber, Default: "512", Min: minChunkSizeMB, Max: maxChunkSizeMB,
		Why: "a smaller pool is mostly headers, a larger one is too coarse a step for the ring",
		Doc: "Size of each pool file in MiB. Cannot be changed for a ring that exists."},
	{Name: "max_pools", Type: typeNumber, Default: "20", Min: minPools, Max: maxPools,
		Why: "one pool is being overwritten while the others keep their footage",
		Doc: "Number of pool files: `chunk_size_mb × max_pools` is all the disk space that is ever used. Cannot be changed for a ring that exists."},
	{Name: "segment_duration_secs", Type: typeNumber, Default: "60", Min: 1, Max: maxSegmentSecs,
		Why: "segments are the lines of `nvr list`",
		Doc: "Length of a listed segment in seconds. It begins with a picture that can be decoded alone, so it may be a little longer."},
	{Name: "writer_queue_size", Type: typeNumber, Default: "256", Min: minQueueRecords, Max: maxQueueRecords,
		Why: "fewer overflow at every commit, more cost memory when the disk stalls",
		Doc: "Records (about a second of one track each) that may wait for the disk. What exceeds it is dropped, counted and listed as a gap."},
	{Name: "commit_interval_ms", Type: typeNumber, Default: "1000", Min: minCommitMillis, Max: maxCommitMillis,
		Why: "shorter keeps the disk busy with syncing, longer loses more in a power cut",
		Doc: "Footage that a power cut may cost, at most, in milliseconds."},
}

// CameraKeys are the keys of [[cameras]].
var CameraKeys = []Key{
	{Name: "id", Type: typeText,
		Doc: "Names the camera in commands and on disk: letters, digits, `-`, `_` and `.`; at most 64. A new id is a new camera."},
	{Name: "name", Type: typeText, Default: `the id`,
		Doc: "What people call it."},
	{Name: "url", Type: typeText,
		Doc: "`rtsp://[user:password@]host[:port]/path`. Special characters in user and password percent-encoded, or use the keys below. `${NAME}` is replaced by that environment variable."},
	{Name: "max_reconnect_attempts", Type: typeNumber, Default: "0", Min: 0, Max: maxReconnects,
		Why: "0 means for ever",
		Doc: "Failed connections in a row after which the camera is given up; 0: never."},
	{Name: "username", Type: typeText,
		Doc: "As it is, nothing encoded; `${NAME}` is replaced by that environment variable."},
	{Name: "password", Type: typeText,
		Doc: "As it is, nothing encoded; `${NAME}` is replaced by that environment variable."},
	{Name: "password_file", Type: typeText,
		Doc: "File whose first line is the password. Relative to the directory of the configuration file. Only its owner should be able to read it."},
	{Name: "transport", Type: typeText, Default: `"auto"`,
		Doc: "`\"auto\"` or `\"tcp\"` (RTP inside the RTSP connection; in this version both mean the same)."},
	{Name: "audio", Type: typeFlag, Default: "true",
		Doc: "Record the camera's sound, if it has any."},
	{Name: "enabled", Type: typeFlag, Default: "true",
		Doc: "`false`: keep the camera in the file and its footage in the ring, but do not connect."},
}

// The types of a Key.
const (
	typeText   = "text"
	typeNumber = "whole number"
	typeFlag   = "true or false"
)
