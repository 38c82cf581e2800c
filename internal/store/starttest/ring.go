package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/disk/direct"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// shape is a ring that has been recorded into for a long time, in its second
// pass: every pool is sealed but the one in the middle, which is half full.
type shape struct {
	dir     string
	pools   int
	size    int64 // of a pool file
	cameras int
	bitrate int // of each
}

// What cameras send, and how the recorder cuts it: see docs/format.md, What it costs.
const (
	beat           = 800 * time.Millisecond // a record each
	perSecond      = 25                     // pictures
	perRecord      = int(beat * perSecond / time.Second)
	clockRate      = 90000
	ticksPerRecord = int64(perRecord) * clockRate / perSecond
	everySync      = 2 // records
)

// sparse is a directory whose pool files take no room until they are written.
type sparse struct{ *direct.Dir }

func (sparse) Free() (int64, error) { return math.MaxInt64, nil }

func (d sparse) Allocate(_ context.Context, name string, size int64) error {
	f, err := os.Create(filepath.Join(d.Path(), name))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// template is the groups of one pool: all pools hold the same, at other times.
type template struct {
	groups []pool.Group
	beats  int64 // that a pool has room for
	at     int64 // beat of the run with which the groups begin
}

// make writes the ring. Superblocks, headers, directories and footers are the
// store's; the payloads are zeros, and of the sealed pools' groups only the footers
// have been written: nobody reads the others at a start.
func (s shape) make() error {
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return err
	}
	dir := sparse{direct.New(s.dir, slog.New(slog.DiscardHandler))}
	if err := ring.Create(context.Background(), dir, s.pools, s.size, nil); err != nil {
		return err
	}
	r, err := ring.Open(dir, false)
	if err != nil {
		return err
	}
	uuid := r.UUID
	r.Close()

	block, err := disk.Alloc(pool.BlockSize)
	if err != nil {
		return err
	}
	group, err := disk.Alloc(pool.MaxGroup)
	if err != nil {
		return err
	}
	began := time.Unix(0, 0)
	t, err := s.template(began, group)
	if err != nil {
		return err
	}
	// Now that it is known how long a pool lasts: so that it ends a while ago.
	began = time.Now().Add(-time.Duration(s.pools) * time.Duration(t.beats) * beat).Truncate(time.Microsecond)
	if t, err = s.template(began, group); err != nil {
		return err
	}
	head := s.pools / 2
	var footer []byte
	for i := range s.pools { // from the oldest on
		n := (head + 1 + i) % s.pools
		id := pool.Identity{Ring: uuid, Pool: uint32(n), Generation: uint64(s.pools-head-1) + uint64(i) + 1}
		super := pool.Super{Ring: uuid, Pool: uint32(n), Pools: uint32(s.pools), Size: s.size, Generation: id.Generation, State: pool.Sealed,
			OpenID: 1, FirstSeq: id.Generation << 12, DurableSeq: id.Generation<<12 - 1, Counter: 2 * id.Generation}
		f, err := dir.Open(ring.Name(n), true)
		if err != nil {
			return err
		}
		if n == head {
			super.State, super.Counter = pool.Active, super.Counter+1
			err = s.fill(f, id, super.FirstSeq, began, int64(i)*t.beats, s.size/2, group)
		} else {
			t.move(id, super.FirstSeq, int64(i)*t.beats)
			length := int64(0)
			for g := range t.groups {
				length += int64(pool.HeaderSize + len(t.groups[g].Dir))
			}
			if size := pool.FooterSize(length); int64(len(footer)) < size {
				if footer, err = disk.Alloc(int(size)); err != nil {
					return err
				}
			}
			trailer := pool.Trailer{Identity: id}
			_, err = f.WriteAt(pool.EncodeFooter(footer, &trailer, t.groups, s.size), s.size-pool.FooterSize(length))
		}
		if err != nil {
			return err
		}
		super.Encode(block)
		if _, err := f.WriteAt(block, pool.SuperOffset(super.Counter)); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// catalogue writes the catalogue, as the recorder does when it has read all pools.
func (s shape) catalogue() error {
	r, err := ring.Open(direct.New(s.dir, slog.New(slog.DiscardHandler)), false)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.ReadAll(); err != nil {
		return err
	}
	if faults := r.Faults(); len(faults) > 0 {
		return faults[0]
	}
	return r.WriteCatalogue()
}

func stream(n int) *media.Stream {
	id := fmt.Sprintf("old%03d", n)
	return &media.Stream{Camera: media.Camera{UUID: media.CameraUUID(id), ID: id, Name: id}, Name: "main"}
}

var track = &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: clockRate, Config: []byte{1, 2, 3}, Width: 1920, Height: 1080}

// record is the k-th of a camera's run, which began when the ring did. Its first
// picture is the largest.
func (s shape) record(camera *media.Stream, began time.Time, k int64) *media.Record {
	size := int(int64(s.bitrate) / 8 * int64(beat) / int64(time.Second))
	r := &media.Record{Stream: camera, Track: media.VideoTrack, Params: track, Run: media.RunID(began.UnixMicro()),
		Start: media.Ticks(k * ticksPerRecord), Wall: began.UnixNano() + k*int64(beat), Buffer: &media.Buffer{Data: make([]byte, size)}}
	first := media.Sample{Size: uint32(size), Duration: clockRate / perSecond}
	if k%everySync == 0 {
		first.Flags = media.SampleSync
	}
	r.Buffer.Samples = append(r.Buffer.Samples, first)
	for i := range perRecord - 1 {
		sample := media.Sample{Size: uint32(size / (2 * perRecord) * (2 + i%3) / 3), Duration: clockRate / perSecond}
		r.Buffer.Samples = append(r.Buffer.Samples, sample)
		r.Buffer.Samples[0].Size -= sample.Size
	}
	return r
}

// groups hands the groups of a pool to write, in their order, until done says that
// it is enough. What write gets is valid until it returns.
func (s shape) groups(id pool.Identity, seq uint64, began time.Time, first int64, buf []byte, done func(k, off, directories int64) bool, write func(h pool.Header, b []byte) error) (records int64, err error) {
	var b pool.Builder
	off, directories := int64(pool.FirstGroup), int64(0)
	flush := func() error {
		h := pool.Header{Identity: id, Offset: off, Seq: seq, OpenID: 1, DurableSeq: seq - 1}
		n := b.Encode(buf, &h)
		b.Reset()
		seq++
		off += int64(n)
		directories += int64(pool.HeaderSize) + int64(h.DirLen)
		return write(h, buf[:n])
	}
	add := func(item pool.Item) error {
		if _, _, ok := b.SizeWith(item); !ok {
			if err := flush(); err != nil {
				return err
			}
		}
		b.Add(item)
		return nil
	}
	described := pool.TrackEntry(track)
	for k := int64(0); !done(k, off, directories); k++ {
		for c := range s.cameras {
			camera := stream(c)
			if k == 0 {
				if err := add(pool.Item{Entry: pool.StreamEntry(camera)}); err != nil {
					return k, err
				}
				if err := add(pool.Item{Entry: described}); err != nil {
					return k, err
				}
			}
			r := s.record(camera, began, first+k)
			if err := add(pool.Item{Entry: pool.SamplesEntry(r, camera.ID(), described.Params), Payload: r.Buffer.Data}); err != nil {
				return k, err
			}
		}
		if err := flush(); err != nil { // the beat
			return k, err
		}
		records = k + 1
	}
	return records, nil
}

// fill writes groups until the pool is full to some part.
func (s shape) fill(f disk.File, id pool.Identity, seq uint64, began time.Time, first int64, to int64, buf []byte) error {
	_, err := s.groups(id, seq, began, first, buf, func(_, off, _ int64) bool { return off > to }, func(h pool.Header, b []byte) error {
		// The payload is zeros, as is what was never written.
		_, err := f.WriteAt(b[:pool.Align(int64(pool.HeaderSize)+int64(h.DirLen))], h.Offset)
		return err
	})
	return err
}

// template fills a pool in memory, and keeps the directories.
func (s shape) template(began time.Time, buf []byte) (*template, error) {
	t := &template{}
	second := int64(s.cameras) * int64(s.bitrate/8) // more than a beat
	n, err := s.groups(pool.Identity{}, 1, began, 0, buf, func(_, off, directories int64) bool {
		return off+second+pool.FooterSize(directories+1<<20) > s.size
	}, func(h pool.Header, b []byte) error {
		t.groups = append(t.groups, pool.Group{Header: h, Dir: slices.Clone(b[pool.HeaderSize : pool.HeaderSize+h.DirLen])})
		return nil
	})
	t.beats = n
	return t, err
}

// Where the times of an entry stand: docs/format.md, Directory entry.
const (
	entryLength = 4
	entryStart  = 24
	entryWall   = 32
	entryEnd    = 40
)

// move makes of the groups those of another pool, which begins at beat k of the run.
func (t *template) move(id pool.Identity, seq uint64, k int64) {
	le := binary.LittleEndian
	add := func(b []byte, n int64) { le.PutUint64(b, le.Uint64(b)+uint64(n)) }
	beats := k - t.at
	for i := range t.groups {
		g := &t.groups[i]
		for e := g.Dir; len(e) > 0; e = e[le.Uint32(e[entryLength:]):] {
			if pool.EntryKind(e[0]) == pool.KindSamples {
				add(e[entryStart:], beats*ticksPerRecord)
				add(e[entryWall:], beats*int64(beat))
				add(e[entryEnd:], beats*int64(beat))
			}
		}
		g.Identity, g.Seq, g.DurableSeq, g.DirCRC = id, seq+uint64(i), seq+uint64(i)-1, pool.CRC(g.Dir)
		g.First, g.Last = g.First+beats*int64(beat), g.Last+beats*int64(beat)
	}
	t.at = k
}
