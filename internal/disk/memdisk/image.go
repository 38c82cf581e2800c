package memdisk

// pageBytes is the unit in which images share memory.
const pageBytes = 64 << 10

type page = [pageBytes]byte

// image is the contents of one file at one moment. Pages that were never
// written are nil and read as zero; pages that another image refers to as well
// are copied before they are changed, so that a clone costs a pointer a page.
type image struct {
	size  int64
	pages []*page
	own   []bool // by page: nobody else refers to it
}

// clone returns the same contents. Both sides lose the pages they owned.
func (m *image) clone() image {
	clear(m.own)
	return image{m.size, append([]*page(nil), m.pages...), make([]bool, len(m.pages))}
}

// resize cuts the file or lengthens it with zeros.
func (m *image) resize(size int64) {
	n := int((size + pageBytes - 1) / pageBytes)
	for len(m.pages) < n {
		m.pages, m.own = append(m.pages, nil), append(m.own, false)
	}
	m.pages, m.own = m.pages[:n], m.own[:n]
	if rest := int(size % pageBytes); size < m.size && rest > 0 && m.pages[n-1] != nil {
		clear(m.writable(n-1, false)[rest:])
	}
	m.size = size
}

// writable is page i, to be changed; whole says that all of it will be.
func (m *image) writable(i int, whole bool) *page {
	if !m.own[i] {
		fresh := new(page)
		if old := m.pages[i]; old != nil && !whole {
			*fresh = *old
		}
		m.pages[i], m.own[i] = fresh, true
	}
	return m.pages[i]
}

// write puts b at off. What reaches past the end is cut off: the length of a
// file is a matter of its own.
func (m *image) write(b []byte, off int64) {
	b = b[:max(0, min(int64(len(b)), m.size-off))]
	for len(b) > 0 {
		i, at := int(off/pageBytes), int(off%pageBytes)
		part := b[:min(len(b), pageBytes-at)]
		copy(m.writable(i, len(part) == pageBytes)[at:], part)
		b, off = b[len(part):], off+int64(len(part))
	}
}

// read fills b from off as far as the file goes and returns how far that was.
func (m *image) read(b []byte, off int64) int {
	b = b[:max(0, min(int64(len(b)), m.size-off))]
	n := len(b)
	for len(b) > 0 {
		i, at := int(off/pageBytes), int(off%pageBytes)
		part := b[:min(len(b), pageBytes-at)]
		if p := m.pages[i]; p != nil {
			copy(part, p[at:])
		} else {
			clear(part)
		}
		b, off = b[len(part):], off+int64(len(part))
	}
	return n
}
