// Package config turns the TOML file into typed, validated values. It is
// strict: whatever it does not know or cannot be meant is a Problem with file,
// line, key and remedy, and all problems of a file are reported at once.
package config

import (
	"slices"
	"time"
)

// Config is a configuration that can be run: every value is within its limits.
type Config struct {
	Storage Storage
	Cameras []Camera
}

// Storage is the table [storage]: the first volume, what more there are, and
// what holds for all of them.
type Storage struct {
	Volume
	SegmentDuration time.Duration
	WriterQueueSize int
	CommitInterval  time.Duration
	ScrubRate       int64    // bytes per second of each volume; 0: it is not scrubbed
	More            []Volume // [[storage.volumes]]
}

// Volume is a ring of its own, on a disk of its own: [storage] itself, or one of
// the tables [[storage.volumes]].
type Volume struct {
	Name        string
	BasePath    string // absolute
	ChunkSizeMB int
	MaxPools    int
	VaultMaxMB  int  // what kept footage may take beside the ring; 0: none
	Retired     bool // nothing more is written; what is there can be read
}

// PoolBytes is the size of one pool file.
func (v Volume) PoolBytes() int64 { return int64(v.ChunkSizeMB) << 20 }

// VaultBytes is what kept footage may take.
func (v Volume) VaultBytes() int64 { return int64(v.VaultMaxMB) << 20 }

// Volumes are all volumes in the order of the file; [storage] is the first.
func (s *Storage) Volumes() []Volume { return append([]Volume{s.Volume}, s.More...) }

// Find returns the volume of that name.
func (s *Storage) Find(name string) (v Volume, ok bool) {
	for _, v := range s.Volumes() {
		if v.Name == name {
			return v, true
		}
	}
	return Volume{}, false
}

func (s *Storage) names() []string {
	var names []string
	for _, v := range s.Volumes() {
		if v.Name != "" && !slices.Contains(names, v.Name) {
			names = append(names, v.Name)
		}
	}
	return names
}

// Camera is one of the tables [[cameras]].
type Camera struct {
	ID                   string
	Name                 string  // ID where the file says none
	Source               string  // SourceURL, SourceExec or SourceGStreamer
	URL                  string  // of SourceURL: rtsp:// or onvif://, without credentials
	Program              Program // of the others
	Profile              string  // of an onvif:// camera: token or name; empty: the best
	SubURL               string  // of the second stream; empty: there is none
	SubProfile           string
	Record               string // "both", "main", "sub" or "none": see Streams
	Username             string
	Password             Secret
	Transport            string // "auto", "tcp", "udp", "multicast" or "http"
	TLS                  TLS    // of rtsps://
	Audio                bool
	Enabled              bool
	MaxReconnectAttempts int    // 0: no limit
	Volume               string // empty: wherever there is least to write
	MinDays, MaxDays     int    // of footage that is to be kept, and that may be shown; 0: no such promise

	urlSecrets  []Secret
	ownSub      bool // sub_url has credentials of its own:
	subUsername string
	subPassword Secret
}

// The sources of a camera.
const (
	SourceURL       = "url"
	SourceExec      = "exec"
	SourceGStreamer = "gstreamer"
)

// The formats of a program's output.
const (
	FormatMPEGTS = "mpegts"
	FormatRTP    = "rtp"
)

// Program is what is run where the source is no URL.
type Program struct {
	Command []Secret // the program and its arguments
	Format  string   // FormatMPEGTS or FormatRTP
	RTPMap  []string // of FormatRTP, as a=rtpmap has it; nil: one track of H.264
}

// Secrets returns what must not be printed: the passwords of the streams, and those
// in the path or query of their URLs, where some vendors want them.
func (c *Camera) Secrets() []Secret {
	var all []Secret
	if !c.Password.IsZero() {
		all = append(all, c.Password)
	}
	if !c.subPassword.IsZero() {
		all = append(all, c.subPassword)
	}
	return append(all, c.urlSecrets...)
}

// Key is one key of the file as people know it. Decoding, the hints in error
// messages and docs/config.md all use this one table.
type Key struct {
	Name     string
	Type     string // "text", "list of texts", "whole number" or "true or false"
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
	maxPools            = 1 << 16  // as store/ring numbers them
	maxVaultMB          = 64 << 20 // 64 TiB
	maxSegmentSecs      = 3600
	minQueueRecords     = 16
	maxQueueRecords     = 1 << 16
	minCommitMillis     = 500
	maxCommitMillis     = 10_000
	maxScrubMB          = 10_000
	bytesPerMB          = 1_000_000 // as disks are sold
	maxReconnects       = 1_000_000
	maxCameras          = 4096
	maxVolumes          = 64
	maxDays             = 36_500
	maxIDLength         = 64
	maxNameLength       = 256
	maxURLLength        = 2048
	maxArguments        = 1024
	maxCommandBytes     = 64 << 10
	maxRTPMaps          = 16
	maxSecretBytes      = 4096 // a password file is one line
	maxAuthoritiesBytes = 1 << 20
	maxConfigBytes      = 1 << 20
	maxReportedProblems = 100
)

// firstVolume is what [storage] is called where it has no name.
const firstVolume = "main"

// The limits of a ring's shape.
const (
	whyChunkSize = "a smaller pool is mostly headers, a larger one is too coarse a step for the ring"
	whyPools     = "one pool is being overwritten while the others keep their footage"
)

// docVault is what vault_max_mb means.
const docVault = "Disk space in MiB that locked footage (`nvr lock`) may take beside the ring, in `vault/`. It is taken when something is locked, not before. `0`: nothing can be locked."

// StorageKeys are the keys of [storage].
var StorageKeys = []Key{
	{Name: "name", Type: typeText, Default: `"main"`,
		Doc: "What cameras and commands call this volume, where there are several: letters, digits, `-`, `_` and `.`; at most 64."},
	{Name: "base_path", Type: typeText,
		Doc: "Directory of the pool files. Relative to the directory of the configuration file. Created when absent."},
	{Name: "chunk_size_mb", Type: typeNumber, Default: "512", Min: minChunkSizeMB, Max: maxChunkSizeMB,
		Why: whyChunkSize,
		Doc: "Size of each pool file in MiB. Cannot be changed for a ring that exists."},
	{Name: "max_pools", Type: typeNumber, Default: "20", Min: minPools, Max: maxPools,
		Why: whyPools,
		Doc: "Number of pool files: `chunk_size_mb × max_pools` is all the disk space that the ring ever uses. Can be raised for a ring that exists (`nvr volume grow`), never lowered."},
	{Name: "vault_max_mb", Type: typeNumber, Default: "1024", Min: 0, Max: maxVaultMB, Why: "0 means that nothing can be locked", Doc: docVault},
	{Name: "retired", Type: typeFlag, Default: "false",
		Doc: "`true`: nothing more is written here; what is there can be read."},
	{Name: "segment_duration_secs", Type: typeNumber, Default: "60", Min: 1, Max: maxSegmentSecs,
		Why: "segments are the lines of `nvr list`",
		Doc: "Length of a listed segment in seconds. It begins with a picture that can be decoded alone, so it may be a little longer."},
	{Name: "writer_queue_size", Type: typeNumber, Default: "256", Min: minQueueRecords, Max: maxQueueRecords,
		Why: "fewer overflow at every commit, more cost memory when the disk stalls",
		Doc: "Records (about a second of one track each) that may wait for the disk. What exceeds it is dropped, counted and listed as a gap."},
	{Name: "commit_interval_ms", Type: typeNumber, Default: "1000", Min: minCommitMillis, Max: maxCommitMillis,
		Why: "shorter keeps the disk busy with syncing, longer loses more in a power cut",
		Doc: "Footage that a power cut may cost, at most, in milliseconds."},
	{Name: "scrub_rate_mb", Type: typeNumber, Default: "0", Min: 0, Max: maxScrubMB,
		Why: "0 means off",
		Doc: "Megabytes per second at which each volume reads its footage again while recording, and compares it with its checksums ([damage.md](damage.md)); 0: not at all. 10 TB take 58 days at 2."},
}

// VolumeKeys are the keys of [[storage.volumes]].
var VolumeKeys = []Key{
	{Name: "name", Type: typeText,
		Doc: "What cameras and commands call this volume: letters, digits, `-`, `_` and `.`; at most 64."},
	{Name: "base_path", Type: typeText,
		Doc: "Directory of its pool files, on a disk of its own. Relative to the directory of the configuration file. Created when absent."},
	{Name: "chunk_size_mb", Type: typeNumber, Default: "512", Min: minChunkSizeMB, Max: maxChunkSizeMB, Why: whyChunkSize,
		Doc: "As in `[storage]`; volumes may differ."},
	{Name: "max_pools", Type: typeNumber, Default: "20", Min: minPools, Max: maxPools, Why: whyPools,
		Doc: "As in `[storage]`; volumes may differ."},
	{Name: "vault_max_mb", Type: typeNumber, Default: "1024", Min: 0, Max: maxVaultMB, Why: "0 means that nothing can be locked",
		Doc: "As in `[storage]`; volumes may differ."},
	{Name: "retired", Type: typeFlag, Default: "false",
		Doc: "As in `[storage]`."},
}

// CameraKeys are the keys of [[cameras]].
var CameraKeys = []Key{
	{Name: "id", Type: typeText,
		Doc: "Names the camera in commands and on disk: letters, digits, `-`, `_` and `.`; at most 64. A new id is a new camera."},
	{Name: "name", Type: typeText, Default: `the id`,
		Doc: "What people call it."},
	{Name: "url", Type: typeText,
		Doc: "Not with another `source`. `rtsp://[user:password@]host[:port]/path`, or `rtsps://` for TLS; or `onvif://[user:password@]host[:port]` or `onvif://urn:uuid:…`: the camera is asked where its stream is ([onvif.md](onvif.md)). Special characters in user and password percent-encoded, or use the keys below. `${NAME}` is replaced by that environment variable."},
	{Name: "source", Type: typeText, Default: `"url"`,
		Doc: "What the camera is: `\"url\"`, or a program that writes its stream: `\"exec\"` or `\"gstreamer\"` ([sources.md](sources.md)). A file that names programs must not be writable by others."},
	{Name: "command", Type: typeTexts,
		Doc: "With `source = \"exec\"`: the program and its arguments, one text each; no shell reads them. `${NAME}` is replaced by that environment variable."},
	{Name: "pipeline", Type: typeText,
		Doc: "With `source = \"gstreamer\"`: what `gst-launch-1.0` is given. Where it has no `fdsink`, the muxer and the sink are added. `${NAME}` is replaced by that environment variable."},
	{Name: "format", Type: typeText, Default: `"mpegts"`,
		Doc: "What the program writes to its standard output: `\"mpegts\"` (MPEG-TS, ISO/IEC 13818-1) or `\"rtp\"` (RTP packets behind their lengths, RFC 4571)."},
	{Name: "rtpmap", Type: typeTexts,
		Doc: "With `format = \"rtp\"`: what the payload types are, as in SDP: `[\"96 H264/90000\", \"97 OPUS/48000/2\"]`. Without it, the type of the first packet is H.264."},
	{Name: "profile", Type: typeText,
		Doc: "With `onvif://`: which of the camera's profiles is recorded, by name or token as `nvr probe` shows them. Without it, the one with the largest picture."},
	{Name: "sub_url", Type: typeText,
		Doc: "Not with another `source`. Where the camera's second, smaller stream is; written as `url`. User and password are the camera's, unless the URL has its own. It is a stream with runs and gaps of its own; commands show it with `--stream sub`."},
	{Name: "sub_profile", Type: typeText,
		Doc: "With `sub_url = \"onvif://…\"`: which profile that is, by name or token. Without it, the best one below the main stream's."},
	{Name: "record", Type: typeText, Default: `"main"`,
		Doc: "Which streams are recorded: `\"both\"` (the default where there is a `sub_url`), `\"main\"`, `\"sub\"` or `\"none\"`. This version connects to what it records and to nothing else: with `\"none\"` the camera is left alone. What is not recorded is not expected either ([ledger.md](ledger.md))."},
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
		Doc: "How the media travel: `\"tcp\"` in the RTSP connection, `\"udp\"`, `\"multicast\"`, `\"http\"` (all of RTSP in HTTP), or `\"auto\"`: TCP, and UDP where the camera refuses that or sends nothing ([cameras.md](cameras.md))."},
	{Name: "tls_fingerprint", Type: typeText,
		Doc: "With `rtsps://`: the SHA-256 fingerprint of the camera's certificate, 64 hexadecimal digits, with or without colons. No other certificate is believed."},
	{Name: "tls_ca_file", Type: typeText,
		Doc: "With `rtsps://`: file of certificate authorities (PEM) to believe instead of the system's. Relative to the directory of the configuration file."},
	{Name: "tls_insecure", Type: typeFlag, Default: "false",
		Doc: "With `rtsps://`, `true`: believe any certificate. The log and `nvr status` say so."},
	{Name: "tls_min_version", Type: typeText, Default: `"1.2"`,
		Doc: "With `rtsps://`: the oldest version of TLS that is spoken. `\"1.0\"` and `\"1.1\"`, for old cameras, also allow their ciphers."},
	{Name: "audio", Type: typeFlag, Default: "true",
		Doc: "Record the camera's sound, if it has any."},
	{Name: "enabled", Type: typeFlag, Default: "true",
		Doc: "`false`: keep the camera in the file and its footage in the ring, but do not connect."},
	{Name: "volume", Type: typeText,
		Doc: "Name of the volume that the camera is recorded into. Without it, the one where it was before, or else the one with the least to write. While the disk is down, another one takes over."},
	{Name: "min_days", Type: typeNumber, Default: "0", Min: 0, Max: maxDays, Why: "0 means no promise",
		Doc: "Days of footage that are to be kept. `nvr status`, `plan` and `check-config` say whether the volume can; the ring is shared, so only a volume of its own guarantees it."},
	{Name: "max_days", Type: typeNumber, Default: "0", Min: 0, Max: maxDays, Why: "0 means no limit",
		Doc: "Footage older than so many days is neither listed nor exported; it is overwritten in its turn."},
}

// The types of a Key.
const (
	typeText   = "text"
	typeTexts  = "list of texts"
	typeNumber = "whole number"
	typeFlag   = "true or false"
)
