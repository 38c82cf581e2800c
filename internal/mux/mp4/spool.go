package mp4

import (
	"errors"
	"fmt"
	"io"
)

// maxSpoolMemory is how much of one table stays in memory: 45 minutes of
// sample sizes at 25 pictures a second. A file has about eight tables a track.
const maxSpoolMemory = 256 << 10

// TempFile is where a table goes that outgrows memory. *os.File is one.
type TempFile interface {
	io.WriterAt
	io.ReaderAt
	io.Closer
}

// CreateTemp makes an empty temporary file that nobody else can see and that
// is gone when it is closed (on Unix: created and at once unlinked).
type CreateTemp func() (TempFile, error)

// Spool is a table that grows by appending and can be read any number of
// times: in memory while it is small, then in a temporary file. An error of
// that file sticks: Err, Reader and ReadAt return it, Write goes on silently.
type Spool struct {
	create  CreateTemp
	file    TempFile // nil while everything is in tail
	flushed int64    // bytes in file
	tail    []byte   // what comes behind them
	err     error
}

// NewSpool returns an empty spool. With a nil create it stays in memory
// whatever it grows to (tests).
func NewSpool(create CreateTemp) *Spool { return &Spool{create: create} }

// Size is how many bytes were written.
func (s *Spool) Size() int64 { return s.flushed + int64(len(s.tail)) }

// Err is the first error of the temporary file.
func (s *Spool) Err() error { return s.err }

// Write appends p. It returns an error only once the spool is broken.
func (s *Spool) Write(p []byte) (int, error) {
	s.room(len(p))
	s.tail = append(s.tail, p...)
	return len(p), s.err
}

// room makes place for n bytes more in tail.
func (s *Spool) room(n int) {
	if len(s.tail)+n <= maxSpoolMemory || s.create == nil {
		return
	}
	if s.err == nil {
		s.err = s.flush()
	}
	if s.err == nil {
		s.flushed += int64(len(s.tail))
	}
	s.tail = s.tail[:0] // when broken: what is lost is lost, but memory is bounded
}

func (s *Spool) flush() error {
	if s.file == nil {
		f, err := s.create()
		if err != nil {
			return fmt.Errorf("create temporary file: %w", err)
		}
		s.file = f
	}
	if _, err := s.file.WriteAt(s.tail, s.flushed); err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	return nil
}

// ReadAt implements io.ReaderAt over all that was written so far.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if off < 0 {
		return 0, errors.New("mp4: negative offset")
	}
	n := 0
	if off < s.flushed {
		m, err := s.file.ReadAt(p[:min(int64(len(p)), s.flushed-off)], off)
		n += m
		if err != nil && (err != io.EOF || off+int64(m) < s.flushed) {
			return n, fmt.Errorf("read temporary file: %w", err)
		}
	}
	if n < len(p) && off+int64(n) < s.Size() {
		n += copy(p[n:], s.tail[off+int64(n)-s.flushed:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Reader reads the spool from its beginning.
func (s *Spool) Reader() io.Reader { return io.NewSectionReader(s, 0, s.Size()) }

// Close gives the temporary file back. The spool is empty and of no use then.
func (s *Spool) Close() error {
	f := s.file
	s.file, s.tail, s.flushed = nil, nil, 0
	if s.err == nil {
		s.err = errors.New("mp4: spool is closed")
	}
	if f == nil {
		return nil
	}
	return f.Close()
}
