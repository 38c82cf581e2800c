package index

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// What is packed comes out as it went in, however large it is.
func TestPack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int64{0, 1, 1000, 1<<samplesBits - 1, 1 << samplesBits, 1<<32 - 1, 1 << 32, 1<<lengthBits - 1, 1 << lengthBits, 1<<beginBits - 1, 1 << beginBits, 1 << 60}
	size := func() int64 { return sizes[rng.IntN(len(sizes))] }
	for range 500 {
		var parts []Part
		for range rng.IntN(40) {
			p := Part{Stream: media.StreamID(rng.IntN(4)), Run: media.RunID(rng.IntN(3)), Params: uint32(rng.IntN(2)), Pool: 7, Sync: rng.IntN(2) == 0, video: rng.IntN(2) == 0,
				Bytes: size(), Samples: size(), offset: unprovisional}
			p.Span.From = size() * int64(1-2*rng.IntN(2))
			p.Span.To = p.Span.From + size()*int64(1-2*rng.IntN(2)) // a clock that went back
			if rng.IntN(3) == 0 {
				p.offset = time.Duration(rng.Int64N(int64(baseSettles)+int64(time.Second))) - time.Second
				if Provisional(p.offset) && rng.IntN(2) == 0 {
					p.until, p.early = p.offset+time.Duration(rng.Int64N(int64(time.Minute))), true
				}
			}
			parts = append(parts, p)
		}
		var p Pool
		p.Pool = 7
		p.pack(parts, map[lane]*lane{})
		if p.Len() != len(parts) {
			t.Fatalf("%d parts of %d", p.Len(), len(parts))
		}
		for id := range media.StreamID(5) {
			var want []Part
			for _, q := range parts {
				if q.Stream == id {
					want = append(want, q)
				}
			}
			if got := slices.Collect(p.Of(id)); !slices.Equal(got, want) || p.Holds(id) != (want != nil) || slices.Contains(slices.Collect(p.Streams()), id) != (want != nil) {
				t.Fatalf("stream %d: %+v, want %+v", id, got, want)
			}
		}
	}
}

// More runs than 16 bits count have room in a pool.
func TestPackManyRuns(t *testing.T) {
	parts := make([]Part, 1<<16+10)
	for i := range parts {
		parts[i] = Part{Run: media.RunID(i), Pool: 1, Bytes: int64(i), offset: unprovisional}
	}
	p := Pool{Pool: 1}
	p.pack(parts, map[lane]*lane{})
	if got := slices.Collect(p.Of(0)); !slices.Equal(got, parts) {
		t.Error("not what was packed")
	}
}

// Pools that hold the same runs share them, and no pool that readers may have is
// changed by it.
func TestShare(t *testing.T) {
	var ix Index
	put := func(n uint32, runs ...media.RunID) *Pool {
		p := &Pool{Pool: n, Generation: uint64(n)}
		var parts []Part
		for _, r := range runs {
			parts = append(parts, Part{Stream: 1, Run: r, Pool: n, offset: unprovisional})
		}
		p.pack(parts, map[lane]*lane{})
		ix.Put(p)
		return p
	}
	a, c := put(1, 1, 2), put(3, 1, 2, 3)
	before := slices.Clone(c.lanes)
	b := put(2, 1, 2)
	if &a.lanes[0] != &b.lanes[0] || a.lanes[0] != c.lanes[0] || !slices.Equal(c.lanes, before) {
		t.Error("not shared, or changed")
	}
	if d := put(4, 2, 3, 4); d.lanes[0] != c.lanes[1] || d.lanes[1] != c.lanes[2] {
		t.Error("a run that goes on is there twice")
	}
	for _, p := range ix.Load() {
		for i := range p.Len() {
			if q := p.Part(i); q.Pool != p.Pool || q.Stream != 1 {
				t.Errorf("%+v in pool %d", q, p.Pool)
			}
		}
	}
}

// 150 cameras at 1 Mbit/s, a segment a minute: at most 48 bytes for each minute of
// a camera, the index and all, and so at most 100 MB for 10 TB. A tenth of that is
// made here; all of it is measured by make start.
func TestMemory(t *testing.T) {
	const (
		cameras = 150
		pools   = 1024
		segment = time.Minute
	)
	if size := unsafe.Sizeof(packed{}); size != 20 {
		t.Errorf("a part takes %d bytes", size)
	}
	track := &media.Track{Kind: media.Video, Codec: media.H264, ClockRate: 90000}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for _, test := range []struct {
		seconds  int // that a pool lasts for
		flapping int // cameras that connect anew in each pool
		parts    int // that a camera has in a pool
		bytes    int64
	}{
		{57, 0, 1, 48}, // 1 GiB
		{61, 0, 2, 48}, // nothing is worse than a pool that is a little longer than a segment
		{57, cameras / 10, 1, 48},
		{57, cameras, 1, 60}, // none is connected for a minute
	} {
		before := heap()
		var ix Index
		for n := range int64(pools) {
			b := NewBuilder(pool.Identity{Pool: uint32(n), Generation: uint64(n + 1)}, segment, false)
			length := int64(test.seconds) * int64(time.Second)
			for at, end := n*length, (n+1)*length; at < end; { // records of up to a minute
				to := min(end, at+int64(segment))
				for c := range cameras {
					run := media.RunID(c)
					if c < test.flapping {
						run += media.RunID(n) << 16
					}
					r := media.Record{Track: media.VideoTrack, Params: track, Run: run, Start: media.Ticks(at / int64(time.Second) * 90000), Wall: at,
						Buffer: &media.Buffer{Samples: []media.Sample{{Size: 1, Duration: uint32(time.Duration(to-at) * 90000 / time.Second), Flags: media.SampleSync}}}}
					e := pool.SamplesEntry(&r, media.StreamID(c+1), 1)
					b.samples(&e, track)
				}
				at = to
			}
			ix.Put(b.Whole())
		}
		minutes := int64(pools) * int64(test.seconds) * cameras / 60
		parts := 0
		for _, p := range ix.Load() {
			parts += p.Len()
		}
		used := heap() - before
		t.Logf("%d s a pool, %d of %d cameras connect anew in each: %d parts, %d camera-minutes, %.1f bytes for each", test.seconds, test.flapping, cameras, parts, minutes, float64(used)/float64(minutes))
		if parts != test.parts*cameras*pools {
			t.Errorf("%d parts", parts)
		}
		if used > test.bytes*minutes {
			t.Errorf("%d bytes for %d camera-minutes", used, minutes)
		}
		runtime.KeepAlive(&ix)
	}
}
