package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"nvr/internal/disk"
	"nvr/internal/media"
	"nvr/internal/store/pool"
	"nvr/internal/store/ring"
)

// VerifyOptions say how Verify reads.
type VerifyOptions struct {
	Rate int64 // bytes per second; 0: as fast as it goes

	// Progress (may be nil) hears of bytes read and of those in all.
	Progress func(done, total int64)

	sealedOnly bool                          // a scrub leaves the pool that is being written alone
	each       func(pool int, p *poolReport) // hears of each pool
}

// VerifyReport is what Verify found.
type VerifyReport struct {
	Pools       int          // that were read
	Kept        int          // files of the vault that were read
	Groups      int64        // that were read
	Records     int64        // whose payload was checked
	Bytes       int64        // that were read
	Overwritten int          // pools that were reused while they were read: nothing is said of them
	Walked      []int        // older pools without a footer that counts: they are walked at each start
	Unusable    []*PoolFault // pool files that are passed over
	Damage      []Damage     // footage that is lost, by camera and time
	Faults      []Fault      // where what lies on the disk is not what was written
}

// Damage is a span of a stream in which records are damaged.
type Damage struct {
	Stream  *media.Stream // nil: what was there is not known, a group's directory is lost
	Span    media.Span
	Records int // 0: not known
	Bytes   int64
	Pools   []int
}

// Fault is a place whose bytes are not what was written.
type Fault struct {
	Pool   int
	File   string // where it is not the ring's pool file, but one in the vault
	Offset int64
	What   string // superblock, group, payload, padding, footer
	Reason string
}

// OK reports whether nothing is damaged.
func (r *VerifyReport) OK() bool { return len(r.Damage)+len(r.Faults)+len(r.Unusable) == 0 }

// DamagedRecords is how many records are known to be lost.
func (r *VerifyReport) DamagedRecords() (n int) {
	for i := range r.Damage {
		n += r.Damage[i].Records
	}
	return n
}

// Verify reads everything in the ring and compares it with its checksums: it
// waits for everybody else at the disk, leaves the page cache alone and changes
// nothing. It works while the ring is recorded into: what is overwritten
// meanwhile is left out, and so is a last commit that is under way.
func (v *Volume) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	return verifyAll(ctx, []*Volume{v}, o)
}

func verifyAll(ctx context.Context, volumes []*Volume, o VerifyOptions) (VerifyReport, error) {
	defer disk.Idle()()
	buf, err := disk.Alloc(pool.MaxGroup)
	if err != nil {
		return VerifyReport{}, err
	}
	defer disk.Free(buf)
	c := &checker{ctx: ctx, o: o, buf: buf, began: time.Now()}
	for _, v := range volumes {
		for _, p := range v.index.Load() {
			c.total += p.Bytes
		}
		c.total += v.kept().used()
	}
	for _, v := range volumes {
		if err := c.volume(v); err != nil {
			return c.report, err
		}
	}
	c.report.Damage = joined(c.report.Damage)
	return c.report, ctx.Err()
}

// checker is one run of Verify.
type checker struct {
	ctx    context.Context
	o      VerifyOptions
	v      *Volume
	buf    []byte // one group
	began  time.Time
	done   int64
	total  int64
	report VerifyReport
}

// poolReport is what is found in one pool. It counts only if the pool still
// holds the same generation when it was read to the end.
type poolReport struct {
	groups, records int64
	damage          []Damage
	faults          []Fault
	walked          bool
}

func (p *poolReport) fault(n int, off int64, what string, err error) {
	reason := err.Error()
	if corrupt := (*pool.CorruptError)(nil); errors.As(err, &corrupt) {
		reason, off = corrupt.Reason, corrupt.Offset
	}
	p.faults = append(p.faults, Fault{Pool: n, Offset: off, What: what, Reason: reason})
}

// took paces the reading.
func (c *checker) took(n int64) error {
	c.done += n
	if c.o.Progress != nil {
		c.o.Progress(c.done, max(c.total, c.done))
	}
	if c.o.Rate <= 0 {
		return c.ctx.Err()
	}
	due := c.began.Add(time.Duration(float64(c.done) / float64(c.o.Rate) * float64(time.Second)))
	select {
	case <-c.ctx.Done():
	case <-time.After(time.Until(due)):
	}
	return c.ctx.Err()
}

func (c *checker) volume(v *Volume) error {
	c.v = v
	for _, n := range v.ring.Unread() {
		if _, err := v.ring.Check(n); err != nil && !errors.As(err, new(*ring.PoolFault)) {
			return err
		}
	}
	used := v.ring.Used()
	free := make([]bool, v.ring.Pools()) // after Used: the ring may be growing
	for n := range free {
		free[n] = v.ring.Fault(n) == nil && !v.loose
	}
	for i, s := range used {
		n := int(s.Pool)
		free[n] = false
		if c.o.sealedOnly && i == len(used)-1 {
			continue
		}
		if err := c.pool(n, i == len(used)-1); err != nil {
			return err
		}
	}
	for n := range free {
		if free[n] && !c.o.sealedOnly {
			var p poolReport
			if f, err := c.open(n); err == nil {
				c.slots(f, n, &p)
				f.Close()
			}
			if s, err := v.ring.Check(n); err == nil && s.Generation == 0 {
				c.report.Faults = append(c.report.Faults, p.faults...)
			}
		}
	}
	c.report.Unusable = append(c.report.Unusable, v.ring.Faults()...)
	return c.verifyKept()
}

func (c *checker) open(n int) (disk.File, error) {
	if c.v.letGo() {
		return nil, ring.ErrAway
	}
	return openUncached(c.v.dir, c.v.ring.FileName(n))
}

// pool reads pool n. What was found counts if it was not reused meanwhile.
func (c *checker) pool(n int, newest bool) error {
	before, err := c.v.ring.Check(n)
	if fault := c.v.ring.Fault(n); fault != nil && !fault.Readable {
		return nil
	} else if err != nil && fault == nil {
		return err
	}
	f, err := c.open(n)
	if err != nil {
		return err
	}
	defer f.Close()
	var p poolReport
	c.slots(f, n, &p)
	groups, complete, err := c.directory(f, n, newest, &p)
	if err != nil {
		return err
	}
	for i := range groups {
		if err := c.group(f, n, &groups[i], complete, &p); err != nil {
			return err
		}
	}
	if s, err := c.v.ring.Check(n); err == nil && s.Generation != before.Generation {
		c.report.Overwritten++
		return nil
	}
	r := &c.report
	r.Pools++
	r.Groups += p.groups
	r.Records += p.records
	r.Bytes = c.done
	r.Damage = append(r.Damage, p.damage...)
	r.Faults = append(r.Faults, p.faults...)
	if p.walked {
		r.Walked = append(r.Walked, n)
	}
	if c.o.each != nil {
		c.o.each(n, &p)
	}
	return nil
}

// slots checks both superblocks. One that is being written is looked at again.
func (c *checker) slots(f disk.File, n int, p *poolReport) {
	if fault := c.v.ring.Fault(n); fault != nil {
		return // said already
	}
	c.badSlots(f, n, p)
}

func (c *checker) badSlots(f disk.File, n int, p *poolReport) {
	bad := ring.Slots(f, n, c.buf)
	if len(bad) > 0 {
		time.Sleep(10 * time.Millisecond)
		bad = ring.Slots(f, n, c.buf)
	}
	for off, err := range bad {
		p.fault(n, off, "superblock", err)
	}
}

// directory finds the groups of a pool. complete says that the footer told of
// them, so that what stands in place can be compared with it.
func (c *checker) directory(f disk.File, n int, newest bool, p *poolReport) (groups []pool.Group, complete bool, err error) {
	v := c.v
	if newest && v.writer != nil {
		for _, known := range v.index.Load() {
			if int(known.Pool) == n && known.Directory != nil {
				return known.Directory, false, nil
			}
		}
	}
	if v.ring.Super(n).State == pool.Sealed {
		file, err := v.ring.File(n)
		if err != nil {
			return nil, false, err
		}
		groups, err := readFooter(file, v.ring.Identity(n), v.ring.Size)
		if err == nil {
			return groups, true, c.footerPadding(f, n, v.ring.Size, groups, p)
		}
		if !isDamage(err) {
			return nil, false, err
		}
		p.fault(n, v.ring.Size-pool.TrailerSize, "footer", err)
	}
	p.walked = !newest || v.ring.Super(n).State == pool.Sealed
	if groups, err = v.readDirectory(n); err != nil {
		return nil, false, err
	}
	c.missing(n, groups, p)
	return groups, false, nil
}

// footerPadding looks at what no checksum of the footer covers.
func (c *checker) footerPadding(f disk.File, n int, size int64, groups []pool.Group, p *poolReport) error {
	length := int64(0)
	for i := range groups {
		length += pool.HeaderSize + int64(len(groups[i].Dir))
	}
	at := size - pool.FooterSize(length)
	for _, part := range []struct{ off, from int64 }{{at + length&^(pool.BlockSize-1), length % pool.BlockSize}, {size - pool.TrailerSize, pool.HeaderSize}} {
		if part.off == size-pool.TrailerSize && part.from == 0 {
			continue // the footer fills its blocks
		}
		b := c.buf[:pool.BlockSize]
		if _, err := f.ReadAt(b, part.off); err != nil {
			p.fault(n, part.off, "footer", err)
		} else if !pool.Zero(b[part.from:]) {
			p.fault(n, part.off+part.from, "padding", errors.New("bytes behind the footer are not zero"))
		}
	}
	return c.took(pool.Align(length) + pool.TrailerSize)
}

// missing finds the groups that a walk should have met: the numbers of a start's
// groups follow each other, and durable_seq says up to which they had reached
// the disk.
func (c *checker) missing(n int, groups []pool.Group, p *poolReport) {
	proof := map[uint32]uint64{}
	for i := range groups {
		g := &groups[i]
		proof[g.OpenID] = max(proof[g.OpenID], g.DurableSeq)
	}
	sealed := c.v.ring.Super(n).State == pool.Sealed
	for i := range groups {
		g := &groups[i]
		from, seq, span := int64(pool.FirstGroup), c.v.ring.Super(n).FirstSeq, media.Span{To: g.First}
		if i > 0 {
			last := &groups[i-1]
			if last.OpenID != g.OpenID {
				continue
			}
			from, seq, span.From = last.Offset+int64(last.TotalLen), last.Seq+1, last.Last
		}
		lost := int64(g.Seq) - int64(seq)
		if lost <= 0 || lost >= openJump/2 || g.Offset == from || !sealed && g.Seq-1 > proof[g.OpenID] {
			continue
		}
		if span.From == 0 {
			span.From = span.To
		}
		p.fault(n, from, "group", fmt.Errorf("%d groups are missing before offset %d", lost, g.Offset))
		p.damage = append(p.damage, Damage{Span: span, Bytes: g.Offset - from, Pools: []int{n}})
	}
}

// group reads a group and checks its records.
func (c *checker) group(f disk.File, n int, g *pool.Group, complete bool, p *poolReport) error {
	b := c.buf[:g.TotalLen]
	bad, err := readBlocks(f, b, g.Offset)
	if err != nil {
		return err
	}
	p.groups++
	if complete {
		var header [pool.HeaderSize]byte
		g.Encode(header[:])
		if !bytes.Equal(b[:pool.HeaderSize], header[:]) {
			p.fault(n, g.Offset, "group", errors.New("the header is damaged; the footer has it"))
		}
		if !bytes.Equal(b[pool.HeaderSize:pool.HeaderSize+int(g.DirLen)], g.Dir) {
			p.fault(n, g.Offset+pool.HeaderSize, "group", errors.New("the directory is damaged; the footer has it"))
		}
	}
	end := pool.HeaderSize + int(g.DirLen)
	dirErr := g.Entries(func(e *pool.Entry) bool {
		end = max(end, int(e.Offset+e.Length))
		if e.Kind != pool.KindSamples {
			return true
		}
		p.records++
		reason := error(nil)
		if pool.PayloadCRC(g.Identity, g.Offset, b[e.Offset:e.Offset+e.Length]) != e.CRC {
			reason = errors.New("wrong checksum")
			if spot := bad.in(int(e.Offset), int(e.Offset+e.Length)); spot != nil {
				reason = spot
			}
		} else if err := e.Decode(); err != nil {
			reason = err
		}
		if reason != nil {
			p.fault(n, g.Offset+int64(e.Offset), "payload", reason)
			p.damage = append(p.damage, Damage{c.stream(e.Stream), media.Span{From: e.Wall, To: e.WallEnd}, 1, int64(e.Length), []int{n}})
		}
		return true
	})
	if dirErr != nil {
		p.fault(n, g.Offset, "group", dirErr)
	} else if !pool.Zero(b[min(end, len(b)):]) {
		p.fault(n, g.Offset+int64(end), "padding", errors.New("bytes behind the records are not zero"))
	}
	return c.took(int64(g.TotalLen))
}

// stream is what a stream number means; of one that nobody describes the number
// is all there is.
func (c *checker) stream(id media.StreamID) *media.Stream {
	if s := c.v.names.stream(id); s != nil {
		return s
	}
	return &media.Stream{Camera: media.Camera{ID: fmt.Sprintf("stream %016x", uint64(id))}}
}

// spots are the blocks of a group that cannot be read, by their offset in it.
type spots map[int]error

func (s spots) in(from, to int) error {
	for off, err := range s {
		if off < to && from < off+pool.BlockSize {
			return err
		}
	}
	return nil
}

// readBlocks fills b. Blocks that the disk does not give back are zero, and told
// of; the error is one that is not of a place.
func readBlocks(f disk.File, b []byte, off int64) (bad spots, err error) {
	n, err := f.ReadAt(b, off)
	if err == nil {
		return nil, nil
	}
	if errors.Is(err, io.EOF) { // a file that was cut off
		clear(b[n:])
		return nil, nil
	}
	if !pool.BadSpot(err) {
		return nil, err
	}
	bad = spots{}
	for at := 0; at < len(b); at += pool.BlockSize {
		block := b[at:min(at+pool.BlockSize, len(b))]
		if _, err := f.ReadAt(block, off+int64(at)); err != nil {
			clear(block)
			bad[at] = err
		}
	}
	return bad, nil
}

// nearby is up to what distance damaged records are told of as one span.
const nearby = 2 * time.Second

// joined puts the damage of each stream in the order of time, and together what
// is near each other.
func joined(all []Damage) []Damage {
	name := func(d *Damage) string {
		if d.Stream == nil {
			return ""
		}
		return d.Stream.Camera.ID + "/" + d.Stream.Name
	}
	slices.SortStableFunc(all, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(name(&a), name(&b)), cmp.Compare(a.Span.From, b.Span.From))
	})
	var list []Damage
	for _, d := range all {
		if n := len(list); n > 0 {
			last := &list[n-1]
			if name(last) == name(&d) && d.Stream != nil && d.Span.From-last.Span.To < int64(nearby) {
				last.Span.To = max(last.Span.To, d.Span.To)
				last.Records += d.Records
				last.Bytes += d.Bytes
				if !slices.Contains(last.Pools, d.Pools[0]) {
					last.Pools = append(last.Pools, d.Pools...)
				}
				continue
			}
		}
		list = append(list, d)
	}
	return list
}
