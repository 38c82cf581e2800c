package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"nvr/internal/media"
	"nvr/internal/store/pool"
)

// Dump prints the text twin of a pool file: its superblocks, its groups and
// their records, its footer. It needs nothing but the file, and says of what
// it finds damaged where and why. Payloads are read and checked.
func Dump(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	defer out.Flush()
	size := st.Size()
	if size < pool.FirstGroup {
		return fmt.Errorf("%s: %d bytes are no pool file: its groups begin at %d", path, size, pool.FirstGroup)
	}
	fmt.Fprintf(out, "file size=%d\n", size)
	var super pool.Super
	block := make([]byte, pool.BlockSize)
	for slot, off := range []int64{0, pool.SuperSlot1} {
		if _, err := f.ReadAt(block, off); err != nil {
			fmt.Fprintf(out, "super slot=%d %v\n", slot, err)
			continue
		}
		s, err := pool.DecodeSuper(block, poolOf(block), off)
		var version *pool.VersionError
		if errors.As(err, &version) {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err != nil {
			fmt.Fprintf(out, "super slot=%d %v\n", slot, err)
			continue
		}
		fmt.Fprintf(out, "super slot=%d ring=%s pool=%03d/%d generation=%d state=%s first_seq=%d open=%d counter=%d size=%d\n",
			slot, s.Ring, s.Pool, s.Pools, s.Generation, s.State, s.FirstSeq, s.OpenID, s.Counter, s.Size)
		for _, v := range s.Voids {
			fmt.Fprintf(out, "  void pool=%03d generation=%d above=%d\n", v.Pool, v.Generation, v.Above)
		}
		if s.Counter > super.Counter {
			super = s
		}
	}
	if super.Counter == 0 {
		first, ok, err := pool.Survey(f, size, func(pool.Identity) bool { return true })
		if err != nil || !ok {
			return fmt.Errorf("%s: no readable superblock, and no group: not a pool file", path)
		}
		super = pool.Super{Ring: first.Ring, Pool: first.Pool, Generation: first.Generation}
		fmt.Fprintf(out, "super none; by the groups ring=%s pool=%03d generation=%d\n", super.Ring, super.Pool, super.Generation)
	}
	id := pool.Identity{Ring: super.Ring, Pool: super.Pool, Generation: super.Generation}
	buf := make([]byte, pool.MaxGroup)
	at := int64(pool.FirstGroup)
	err = pool.Scan(f, id, pool.FirstGroup, size, size, func(g pool.Group) bool {
		if g.Offset > at {
			fmt.Fprintf(out, "hole from=%d to=%d\n", at, g.Offset)
		}
		at = g.Offset + int64(g.TotalLen)
		dumpGroup(out, f, &g, buf)
		return true
	})
	if spots := (*pool.UnreadableError)(nil); errors.As(err, &spots) {
		fmt.Fprintf(out, "unreadable %v\n", err)
	} else if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch t, err := dumpFooter(f, id, size); {
	case errors.Is(err, pool.ErrEmpty):
		fmt.Fprintf(out, "footer none\n")
	case err != nil:
		fmt.Fprintf(out, "footer %v\n", err)
	default:
		fmt.Fprintf(out, "footer offset=%d len=%d groups=%d seq=%d..%d\n", t.FooterOffset, t.FooterLen, t.Groups, t.FirstSeq, t.LastSeq)
	}
	return out.Flush()
}

// poolOf peeks at the pool number, so that messages carry it.
func poolOf(block []byte) uint32 {
	return uint32(block[12]) | uint32(block[13])<<8 | uint32(block[14])<<16 | uint32(block[15])<<24
}

func dumpFooter(f io.ReaderAt, id pool.Identity, size int64) (pool.Trailer, error) {
	block := make([]byte, pool.TrailerSize)
	if _, err := f.ReadAt(block, size-pool.TrailerSize); err != nil {
		return pool.Trailer{}, err
	}
	t, err := pool.DecodeTrailer(block, id, size)
	if err != nil {
		return t, err
	}
	_, err = readFooter(f, id, size)
	return t, err
}

func dumpGroup(out io.Writer, f io.ReaderAt, g *pool.Group, buf []byte) {
	fmt.Fprintf(out, "group offset=%d len=%d seq=%d open=%d durable=%d records=%d\n", g.Offset, g.TotalLen, g.Seq, g.OpenID, g.DurableSeq, g.Records)
	payloads := buf[:g.TotalLen]
	if _, err := f.ReadAt(payloads, g.Offset); err != nil {
		fmt.Fprintf(out, "  unreadable: %v\n", err)
		return
	}
	err := g.Entries(func(e *pool.Entry) bool {
		dumpEntry(out, g, e, payloads)
		return true
	})
	if err != nil {
		fmt.Fprintf(out, "  %v\n", err)
	}
}

func dumpEntry(out io.Writer, g *pool.Group, e *pool.Entry, payloads []byte) {
	stamp := func(ns int64) string {
		if ns == 0 {
			return "open"
		}
		return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	switch e.Kind {
	case pool.KindStream:
		fmt.Fprintf(out, "  stream %016x %s\n", e.Stream, e.Text)
	case pool.KindTrack:
		fmt.Fprintf(out, "  track %08x %s\n", e.Params, e.Text)
	case pool.KindGap:
		fmt.Fprintf(out, "  gap stream=%016x from=%s to=%s %s\n", e.Stream, stamp(e.Wall), stamp(e.WallEnd), e.Text)
	case pool.KindSamples:
		check := "ok"
		if pool.PayloadCRC(g.Identity, g.Offset, payloads[e.Offset:e.Offset+e.Length]) != e.CRC {
			check = "DAMAGED"
		}
		if err := e.Decode(); err != nil {
			check = err.Error()
		}
		fmt.Fprintf(out, "  samples stream=%016x track=%d run=%d params=%08x start=%d wall=%s end=%s offset=%d len=%d crc=%08x n=%d %s %s\n",
			e.Stream, e.Track, e.Run, e.Params, e.Start, stamp(e.Wall), stamp(e.WallEnd), g.Offset+int64(e.Offset), e.Length, e.CRC, e.SampleCount(), pictures(e.Samples), check)
	default:
		fmt.Fprintf(out, "  kind=%d len=%d (of a newer program)\n", e.Kind, e.Length)
	}
}

// pictures is a record's samples in one word: a letter each, S where decoding
// can begin, d where something is missing.
func pictures(samples []media.Sample) string {
	var b strings.Builder
	for _, s := range samples {
		switch {
		case s.Sync():
			b.WriteByte('S')
		case s.Flags&media.SampleDamaged != 0:
			b.WriteByte('d')
		default:
			b.WriteByte('.')
		}
	}
	return b.String()
}
