package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	maxDumpDepth   = 16      // of boxes: real files have 9
	maxDumpBoxes   = 10_000  // printed
	maxDumpBody    = 4 << 10 // bytes of a box that are looked at
	maxDumpEntries = 8       // printed of a table
)

// Dump prints the tree of boxes in r with their essential fields: a file's
// text twin. It reads r once from its beginning, in constant memory. Contents
// that make no sense are said so in the text; the error is r's or w's.
func Dump(w io.Writer, r io.Reader) error {
	d := &dumper{w: w, r: r}
	err := d.boxes(-1, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		d.printf(0, "the file ends here, at byte %d", d.at)
		err = nil
	}
	return errors.Join(err, d.err)
}

type dumper struct {
	w    io.Writer
	r    io.Reader
	at   int64 // bytes read
	boxN int
	err  error // of w
}

func (d *dumper) printf(depth int, format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, strings.Repeat("  ", depth)+format+"\n", args...)
	}
}

// read fills p; io.EOF only when nothing was left.
func (d *dumper) read(p []byte) error {
	n, err := io.ReadFull(d.r, p)
	d.at += int64(n)
	return err
}

// skip goes on to byte end.
func (d *dumper) skip(end int64) error {
	n, err := io.CopyN(io.Discard, d.r, end-d.at)
	d.at += n
	return err
}

// boxes prints boxes up to byte end (-1: to the end of the file).
func (d *dumper) boxes(end int64, depth int) error {
	for end < 0 || d.at+8 <= end {
		begin := d.at
		var head [16]byte
		if err := d.read(head[:8]); err != nil {
			if end < 0 && errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size, headSize := int64(binary.BigEndian.Uint32(head[:])), int64(8)
		if size == 1 { // largesize (§4.2.2)
			if err := d.read(head[8:]); err != nil {
				return err
			}
			size, headSize = int64(binary.BigEndian.Uint64(head[8:])), 16
		}
		name := printable([]byte(strings.ReplaceAll(string(head[4:8]), "\xa9", "©")))
		d.boxN++
		switch stop := begin + size; {
		case d.boxN > maxDumpBoxes:
			d.printf(depth, "more than %d boxes", maxDumpBoxes)
			return d.skipRest(end)
		case size == 0 && end < 0:
			d.printf(depth, "%s up to the end of the file", name)
			return d.skipRest(end)
		case size < headSize, stop < begin, end >= 0 && stop > end:
			d.printf(depth, "%s with an impossible size of %d bytes at %d", name, size, begin)
			return d.skipRest(end)
		default:
			if err := d.box(string(head[4:8]), name, size, stop, depth); err != nil {
				return err
			}
		}
	}
	return d.skipRest(end)
}

func (d *dumper) skipRest(end int64) error {
	if end >= 0 {
		return d.skip(end)
	}
	n, err := io.Copy(io.Discard, d.r)
	d.at += n
	return err
}

// box prints one box whose header was read and that ends at stop.
func (d *dumper) box(typ, name string, size, stop int64, depth int) error {
	if depth < maxDumpDepth {
		if lead, ok := containers[typ]; ok && d.at+lead <= stop {
			body := make([]byte, lead)
			if err := d.read(body); err != nil {
				return err
			}
			d.printf(depth, "%s %d%s", name, size, containerFields(typ, body))
			return d.boxes(stop, depth+1)
		}
	}
	left := stop - d.at
	body := make([]byte, min(left, maxDumpBody))
	if err := d.read(body); err != nil {
		return err
	}
	text := ""
	if print := leaves[typ]; print != nil {
		text = ": " + print(fields{b: body, left: left})
	}
	d.printf(depth, "%s %d%s", name, size, text)
	return d.skip(stop)
}

// containers has the boxes that are made of boxes, and how many bytes of
// fields come before those.
var containers = map[string]int64{
	"moov": 0, "trak": 0, "edts": 0, "mdia": 0, "minf": 0, "dinf": 0, "stbl": 0, "udta": 0, "ilst": 0, "\xa9nam": 0,
	"mvex": 0, "moof": 0, "traf": 0, "meta": 4, "dref": 8, "stsd": 8,
	"avc1": 78, "avc3": 78, "hvc1": 78, "hev1": 78, "av01": 78, "mp4v": 78,
	"mp4a": 28, "alaw": 28, "ulaw": 28, "twos": 28, "Opus": 28,
}

func containerFields(typ string, b []byte) string {
	be := binary.BigEndian
	switch len(b) {
	case 78:
		return fmt.Sprintf(": %dx%d", be.Uint16(b[24:]), be.Uint16(b[26:]))
	case 28:
		return fmt.Sprintf(": %d channels, %d bits, %d Hz", be.Uint16(b[16:]), be.Uint16(b[18:]), be.Uint32(b[24:])>>16)
	case 8:
		return fmt.Sprintf(": %d entries", be.Uint32(b[4:]))
	}
	return ""
}

// fields reads the fields of a box one by one. Behind its end all are 0.
type fields struct {
	b    []byte
	left int64 // bytes of the box that b begins with
}

func (f *fields) bytes(n int) []byte {
	n = min(n, len(f.b))
	v := f.b[:n]
	f.b, f.left = f.b[n:], f.left-int64(n)
	return v
}

func (f *fields) uint(n int) (v uint64) {
	for _, b := range f.bytes(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// word reads 32 bits, or 64 in version 1.
func (f *fields) word(version uint64) int64 {
	if version == 1 {
		return int64(f.uint(8))
	}
	return int64(f.uint(4))
}

func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}

func utc(since1904 int64) string {
	if since1904 == 0 {
		return "never"
	}
	if since1904 < 0 || since1904 > 1<<36 {
		return fmt.Sprintf("at %d s", since1904)
	}
	return time.Unix(since1904+epoch1904, 0).UTC().Format(time.RFC3339)
}
