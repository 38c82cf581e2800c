package simulate

import (
	"bytes"
	"testing"

	"nvr/internal/media"
	"nvr/internal/simulate/clips"
	"nvr/internal/simulate/mark"
)

var sources = map[media.Codec][]byte{media.H264: clips.H264, media.H265: clips.H265}

func loadClip(t testing.TB, codec media.Codec) *clip {
	t.Helper()
	c, err := parseClip(codec, sources[codec])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheClipsAreWhatTheyShouldBe(t *testing.T) {
	total := len(clips.AAC)
	for codec, b := range sources {
		c := loadClip(t, codec)
		if len(c.pictures) != 120 || c.gop != 30 {
			t.Errorf("%s: %d pictures in GOPs of %d, want 120 and 30", codec, len(c.pictures), c.gop)
		}
		natural := c.naturalBytes() * 8 * defaultFPS / len(c.pictures)
		if natural < 150_000 || natural > 500_000 {
			t.Errorf("%s: %d bit/s", codec, natural)
		}
		total += len(b)
	}
	if total > 700_000 {
		t.Errorf("%d bytes of clips, want at most 700000", total)
	}
}

func TestParseClipRefuses(t *testing.T) {
	aud, sps, pps := "\x00\x00\x01\x09\x10", "\x00\x00\x01\x67\x64\x00", "\x00\x00\x01\x68\xee"
	idr, slice := "\x00\x00\x01\x65\x88", "\x00\x00\x01\x41\x9a"
	cases := []struct{ name, b string }{
		{"nothing", ""},
		{"zeros", string(make([]byte, 100))},
		{"no pictures", sps + pps},
		{"no parameter sets", aud + idr + aud + slice},
		{"no delimiter", sps + pps + idr},
		{"parameter sets change", aud + sps + pps + idr + aud + sps + "\x01" + pps + idr},
		{"no sync sample at the start", aud + sps + pps + slice + aud + idr},
		{"GOPs of two lengths", aud + sps + pps + idr + aud + slice + aud + idr},
		{"an empty access unit", aud + sps + pps + idr + aud + aud + slice},
	}
	for _, c := range cases {
		if _, err := parseClip(media.H264, []byte(c.b)); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
	good := aud + sps + pps + idr + aud + slice + aud + sps + pps + idr + aud + slice
	if c, err := parseClip(media.H264, []byte(good)); err != nil || c.gop != 2 {
		t.Errorf("good clip: %v", err)
	}
}

// Every template depacketizes to the clip's slices behind a mark that fits.
func TestTemplates(t *testing.T) {
	for codec := range sources {
		for _, bitrate := range []int{0, 512_000, 4_000_000} {
			c := loadClip(t, codec)
			all, err := c.templates(defaultFPS, bitrate, true)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				tp := &all[i]
				tp.patch(4, 65530, 77, 0xabcdef01)
				mark.Set(tp.wire[tp.text:], 12, 3, uint64(1000+i))
				d := &depacketizer{codec: codec}
				sets := 0
				for k := range tp.packets {
					p := tp.rtp(k)
					last := k == len(tp.packets)-1
					if len(p) > mtu || p[0] != 0x80 || p[1]&0x7f != videoPayloadType || (p[1]&0x80 != 0) != last ||
						uint16(p[2])<<8|uint16(p[3]) != 65530+uint16(k) || !bytes.Equal(p[4:12], []byte{0, 0, 0, 77, 0xab, 0xcd, 0xef, 1}) {
						t.Fatalf("%s picture %d packet %d: %d bytes, header %x", codec, i, k, len(p), p[:12])
					}
					if err := d.push(p[12:]); err != nil {
						t.Fatalf("%s picture %d packet %d: %v", codec, i, k, err)
					}
				}
				var slices [][]byte
				for _, n := range d.nals {
					switch kindOf(codec, n) {
					case parameterSetNAL:
						sets++
					case sliceNAL, syncSliceNAL:
						slices = append(slices, n)
					}
				}
				if want := len(c.sets); c.pictures[i].sync && sets != want || !c.pictures[i].sync && sets != 0 {
					t.Errorf("%s picture %d: %d parameter sets", codec, i, sets)
				}
				if !bytes.Equal(bytes.Join(slices, nil), bytes.Join(c.pictures[i].slices, nil)) {
					t.Fatalf("%s picture %d: other slices", codec, i)
				}
				au := d.accessUnit(t)
				if len(au) != tp.sample {
					t.Errorf("%s picture %d: %d bytes, said to be %d", codec, i, len(au), tp.sample)
				}
				marks := 0
				mark.Find(au, func(m mark.Mark) {
					marks++
					if m.Damaged || m.Camera != 12 || m.Connection != 3 || m.Sequence != uint64(1000+i) {
						t.Errorf("%s picture %d: %+v", codec, i, m)
					}
				})
				if marks != 1 {
					t.Errorf("%s picture %d: %d marks", codec, i, marks)
				}
			}
		}
	}
}

func TestBitrateIsExact(t *testing.T) {
	for codec := range sources {
		c := loadClip(t, codec)
		for _, bitrate := range []int{320_000, 512_000, 1_000_000, 1_234_560, 4_000_000} {
			for _, fps := range []int{15, 25} {
				all, err := c.templates(fps, bitrate, true)
				if err != nil {
					t.Fatal(err)
				}
				total := 0
				for i := range all {
					total += all[i].sample
				}
				natural := c.naturalBytes() + len(all)*(nalLengthSize+markBytes(codec))
				if want := max(bitrate*len(all)/8/fps, natural); total != want {
					t.Errorf("%s, %d bit/s at %d pictures/s: %d bytes, want %d", codec, bitrate, fps, total, want)
				}
			}
		}
	}
}

func TestFillerSizesAddUp(t *testing.T) {
	for _, codec := range []media.Codec{media.H264, media.H265} {
		for extra := 0; extra < 20_000; extra += 7 {
			sum := 0
			for _, n := range fillerSizes(codec, 5, extra) {
				if n > 0 {
					sum += n + nalLengthSize
				}
			}
			if least := mark.FillerMin(codec) + nalLengthSize; sum != extra && (extra >= least*5 || sum > extra) {
				t.Errorf("%s: %d bytes of filler, want %d", codec, sum, extra)
			}
		}
	}
}
