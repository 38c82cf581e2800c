package play

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"nvr/internal/media"
	"nvr/internal/mux/mp4"
)

// Clip is footage made ready as one progressive MP4 file: every size is known,
// no payload was read yet. Close it. It is not for concurrent use.
type Clip struct {
	archive  Archive
	file     *mp4.Builder
	manifest *manifest
	result   Result
	progress func(done, total int64)
	buf      []byte // a record's payload; grows to 4 MiB at most
}

// Size of the file in bytes.
func (c *Clip) Size() int64 { return c.file.Size() }

// Result is what the clip shows. Damaged counts what was met so far.
func (c *Clip) Result() Result { return c.result }

// Close gives temporary files back.
func (c *Clip) Close() error {
	return errors.Join(c.file.Close(), c.manifest.spool.Close())
}

// WriteTo writes the whole file.
func (c *Clip) WriteTo(ctx context.Context, w io.Writer) error {
	return c.WriteRange(ctx, w, 0, c.Size())
}

// WriteRange writes size bytes of the file from offset on. Bytes of records
// that turn out damaged are replaced: zeros, in PCM silence; players conceal.
// Footage that was overwritten meanwhile ends it with media.ErrOverwritten:
// the sizes are promised, so the file is of no use then.
func (c *Clip) WriteRange(ctx context.Context, w io.Writer, offset, size int64) error {
	if offset < 0 || size < 0 || size > c.Size()-offset {
		return fmt.Errorf("range %d+%d of a clip of %d bytes", offset, size, c.Size())
	}
	out := &window{w: w, skip: offset, left: size, total: size, progress: c.progress}
	if offset < c.file.HeaderSize() {
		if err := c.file.WriteHeader(out); err != nil {
			return err
		}
	} else {
		out.skip = 0
	}
	payload := max(0, offset-c.file.HeaderSize())
	first, err := c.manifest.find(payload)
	if err != nil {
		return err
	}
	return c.manifest.from(first, func(p piece) (bool, error) {
		if out.left == 0 {
			return false, nil
		}
		if p.offset < payload { // the piece in which the range begins
			out.skip = payload - p.offset
		}
		if err := c.writePiece(ctx, out, p); err != nil {
			return false, err
		}
		out.report()
		return true, nil
	})
}

func (c *Clip) writePiece(ctx context.Context, w io.Writer, p piece) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !p.recorded {
		return fill(w, p.fill, p.size)
	}
	data, err := c.archive.Payload(ctx, p.ref, c.buf[:0])
	var damaged *media.DamagedError
	switch {
	case err != nil && !errors.As(err, &damaged):
		return fmt.Errorf("read footage: %w", err)
	case err != nil, int64(len(data)) < int64(p.skip)+p.size: // shorter than its sample table
		c.result.Damaged++
		return fill(w, p.fill, p.size)
	}
	c.buf = data
	_, err = w.Write(data[p.skip:][:p.size])
	return err
}

// fill writes n times b.
func fill(w io.Writer, b byte, n int64) error {
	block := bytes.Repeat([]byte{b}, int(min(n, 32<<10)))
	for n > 0 {
		k := min(n, int64(len(block)))
		if _, err := w.Write(block[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// window lets through what lies behind skip bytes, left bytes of it.
type window struct {
	w          io.Writer
	skip, left int64
	total      int64
	progress   func(done, total int64)
}

func (o *window) Write(p []byte) (int, error) {
	n := len(p)
	if o.skip >= int64(n) {
		o.skip -= int64(n)
		return n, nil
	}
	p = p[o.skip:]
	o.skip = 0
	p = p[:min(int64(len(p)), o.left)]
	if len(p) == 0 {
		return n, nil
	}
	m, err := o.w.Write(p)
	o.left -= int64(m)
	if err != nil {
		return m, err
	}
	return n, nil
}

func (o *window) report() {
	if o.progress != nil {
		o.progress(o.total-o.left, o.total)
	}
}
