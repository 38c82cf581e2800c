package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"nvr/internal/media"
)

// key names a record. All else about it follows from its key, so that what is
// read back is compared with arithmetic and not with what the store kept.
type key struct {
	camera int
	track  uint8
	run    media.RunID
	n      int
}

func (k key) String() string {
	return fmt.Sprintf("camera %d track %d run %d record %d", k.camera, k.track, k.run, k.n)
}

// cameras is how many streams are written at once. The last one's pictures are
// large: its records make groups that reach over several MiB.
const cameras = 3

var (
	video = &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: 90000, Config: []byte{1, 66, 0, 30}, Width: 640, Height: 360}
	audio = &media.Track{Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1, SampleRate: 8000}
)

// samplesPerRecord times 40 ms is what a record lasts.
const samplesPerRecord = 10

func ticksPerRecord(track uint8) media.Ticks {
	return media.Ticks(params(track).ClockRate) * samplesPerRecord / 25
}

func params(track uint8) *media.Track {
	if track == media.AudioTrack {
		return audio
	}
	return video
}

func stream(camera int) *media.Stream {
	id := "cam" + strconv.Itoa(camera)
	return &media.Stream{Camera: media.Camera{UUID: media.CameraUUID(id), ID: id, Name: "Camera " + id}, Name: "main"}
}

// cameraOf is the inverse of stream.
func cameraOf(s *media.Stream) (int, error) {
	number, ok := strings.CutPrefix(s.Camera.ID, "cam")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || *s != *stream(n) {
		return 0, fmt.Errorf("a stream that was never written: %+v", *s)
	}
	return n, nil
}

// samples is the record's sample table; the sizes' sum is its payload's length.
func (k key) samples() []media.Sample {
	r := rand.New(rand.NewPCG(uint64(k.camera)<<8|uint64(k.track), uint64(k.run)<<20+uint64(k.n)))
	size := 500 + r.IntN(16<<10)
	switch {
	case k.track == media.AudioTrack:
		size = 3200
	case k.camera == cameras-1 && r.IntN(15) == 0:
		size = 1<<20 + r.IntN(5<<19)
	case r.IntN(10) == 0:
		size = r.IntN(150<<10) + samplesPerRecord
	}
	list := make([]media.Sample, samplesPerRecord)
	for i := range list {
		list[i] = media.Sample{Size: uint32(size / samplesPerRecord), Duration: uint32(ticksPerRecord(k.track) / samplesPerRecord)}
		if k.track == media.VideoTrack && r.IntN(4) == 0 {
			list[i].Composition = int32(r.IntN(7200))
		}
	}
	list[0].Size += uint32(size % samplesPerRecord)
	if k.track == media.AudioTrack || k.n%5 == 0 {
		list[0].Flags = media.SampleSync
	}
	return list
}

func sizeOf(samples []media.Sample) int {
	size := 0
	for _, s := range samples {
		size += int(s.Size)
	}
	return size
}

// payload appends the record's size bytes to dst.
func (k key) payload(dst []byte, size int) []byte {
	r := rand.NewPCG(uint64(k.run)^uint64(k.camera)<<56^uint64(k.track)<<48, uint64(k.n))
	end := len(dst) + size
	for len(dst) < end {
		dst = binary.LittleEndian.AppendUint64(dst, r.Uint64())
	}
	return dst[:end]
}

// start and wall are the record's times: its run began at the instant that its
// number says (see media.RunID).
func (k key) start() media.Ticks { return media.Ticks(k.n) * ticksPerRecord(k.track) }

func (k key) wall() int64 {
	return int64(k.run)*1000 + int64(k.start().Duration(params(k.track).ClockRate))
}

// record makes the record, owner of its buffer.
func (k key) record(s *media.Stream) media.Record {
	samples := k.samples()
	size := sizeOf(samples)
	b := media.NewBuffer(size + 8)
	b.Samples = append(b.Samples, samples...)
	b.Data = k.payload(b.Data, size)
	return media.Record{Stream: s, Track: k.track, Params: params(k.track), Run: k.run, Start: k.start(), Wall: k.wall(), Buffer: b}
}

// keyOf is the key that an entry of the archive claims.
func keyOf(e *media.Entry) (key, error) {
	camera, err := cameraOf(e.Stream)
	if err != nil {
		return key{}, err
	}
	if e.Track != media.VideoTrack && e.Track != media.AudioTrack || e.Start%ticksPerRecord(e.Track) != 0 {
		return key{}, fmt.Errorf("%s track %d start %d: never written", e.Stream.Camera.ID, e.Track, e.Start)
	}
	return key{camera, e.Track, e.Run, int(e.Start / ticksPerRecord(e.Track))}, nil
}

// place is where a record was when it was acknowledged. A pool is overwritten
// under a higher generation.
type place struct {
	pool       uint32
	generation uint64
}

// acknowledgement is one line of the contract with the rig.
func acknowledgement(k key, p place) string {
	return fmt.Sprintf("%d %d %d %d in %d %d\n", k.camera, k.track, k.run, k.n, p.pool, p.generation)
}

func parseAcknowledgement(line string) (k key, p place, err error) {
	_, err = fmt.Sscanf(line, "%d %d %d %d in %d %d", &k.camera, &k.track, &k.run, &k.n, &p.pool, &p.generation)
	return k, p, err
}
