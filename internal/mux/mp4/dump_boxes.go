package mp4

import (
	"fmt"
	"strings"
)

// leaves prints the boxes that have fields only.
var leaves = map[string]func(fields) string{
	"ftyp": func(f fields) string {
		text := fmt.Sprintf("%s %d for", printable(f.bytes(4)), f.uint(4))
		for len(f.b) >= 4 {
			text += " " + printable(f.bytes(4))
		}
		return text
	},
	"mvhd": func(f fields) string {
		v := f.uint(4) >> 24
		created, _ := f.word(v), f.word(v)
		scale := int64(f.uint(4))
		return fmt.Sprintf("created %s, duration %s", utc(created), seconds(f.word(v), scale))
	},
	"tkhd": func(f fields) string {
		head := f.uint(4)
		v := head >> 24
		f.word(v)
		f.word(v)
		id := f.uint(4)
		f.uint(4)
		duration := f.word(v)
		f.bytes(52)
		return fmt.Sprintf("track %d, flags %d, duration %d, %dx%d", id, head&0xffffff, duration, f.uint(4)>>16, f.uint(4)>>16)
	},
	"elst": func(f fields) string {
		v := f.uint(4) >> 24
		return f.table(12+8*int64(v&1), func(f *fields) string {
			duration, start, rate := f.word(v), f.word(v), f.uint(4)
			if v == 0 {
				start = int64(int32(start))
			}
			if start == -1 {
				return fmt.Sprintf("%d empty", duration)
			}
			return fmt.Sprintf("%d from %d at rate %g", duration, start, float64(rate)/65536)
		})
	},
	"mdhd": func(f fields) string {
		v := f.uint(4) >> 24
		f.word(v)
		f.word(v)
		scale := int64(f.uint(4))
		return "duration " + seconds(f.word(v), scale)
	},
	"hdlr": func(f fields) string {
		f.bytes(8)
		return printable(f.bytes(4))
	},
	"stts": func(f fields) string {
		f.uint(4)
		return f.table(8, func(f *fields) string { return fmt.Sprintf("%d×%d", f.uint(4), f.uint(4)) })
	},
	"ctts": func(f fields) string {
		v := f.uint(4) >> 24
		return f.table(8, func(f *fields) string {
			n, c := f.uint(4), f.uint(4)
			if v == 1 {
				return fmt.Sprintf("%d×%d", n, int32(c))
			}
			return fmt.Sprintf("%d×%d", n, c)
		})
	},
	"stss": func(f fields) string {
		f.uint(4)
		return f.table(4, func(f *fields) string { return fmt.Sprint(f.uint(4)) })
	},
	"stsc": func(f fields) string {
		f.uint(4)
		return f.table(12, func(f *fields) string {
			return fmt.Sprintf("from chunk %d %d of entry %d", f.uint(4), f.uint(4), f.uint(4))
		})
	},
	"stsz": func(f fields) string {
		f.uint(4)
		if size := f.uint(4); size != 0 {
			return fmt.Sprintf("%d samples of %d bytes", f.uint(4), size)
		}
		return f.table(4, func(f *fields) string { return fmt.Sprint(f.uint(4)) })
	},
	"stco": func(f fields) string {
		f.uint(4)
		return f.table(4, func(f *fields) string { return fmt.Sprint(f.uint(4)) })
	},
	"co64": func(f fields) string {
		f.uint(4)
		return f.table(8, func(f *fields) string { return fmt.Sprint(f.uint(8)) })
	},
	"data": func(f fields) string {
		f.bytes(8)
		return fmt.Sprintf("%q", printable(f.b))
	},
	"avcC": hex, "hvcC": hex, "av1C": hex, "esds": hex, "dOps": hex,
}

// hex prints the first bytes of a box.
func hex(f fields) string {
	n := f.left
	b := f.bytes(24)
	if int64(len(b)) < n {
		return fmt.Sprintf("%x… (%d bytes)", b, n)
	}
	return fmt.Sprintf("%x", b)
}

// table prints a counted table: its first entries and how many there are.
func (f *fields) table(width int64, entry func(*fields) string) string {
	count := f.uint(4)
	var shown []string
	for i := uint64(0); i < min(count, maxDumpEntries) && int64(len(f.b)) >= width; i++ {
		shown = append(shown, entry(f))
	}
	text := strings.Join(shown, ", ")
	switch more := count - uint64(len(shown)); {
	case int64(more) > f.left/width:
		text += fmt.Sprintf(" … %d more, but no room for them", more)
	case more > 0:
		text += fmt.Sprintf(" … %d more", more)
	}
	return fmt.Sprintf("%d: %s", count, text)
}

func seconds(ticks, scale int64) string {
	if scale == 0 {
		return fmt.Sprintf("%d/0 s", ticks)
	}
	return fmt.Sprintf("%d/%d = %.6f s", ticks, scale, float64(ticks)/float64(scale))
}
