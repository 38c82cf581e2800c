package mark

import (
	"fmt"
	"slices"
	"strings"
)

// Range is half-open: the sample numbers From ≤ n < To.
type Range struct{ From, To uint64 }

// Len is how many numbers r has.
func (r Range) Len() uint64 { return r.To - r.From }

// Report is what the marks of one camera say about its recording.
type Report struct {
	Camera      int
	Connections int    // how many different ones
	Count       uint64 // different sample numbers seen, damaged ones included
	First, Last uint64 // the lowest and the highest number seen
	Missing     []Range
	Duplicates  uint64 // marks whose number had been seen before
	Damaged     uint64 // marks whose NAL units are not the ones that were sent
	OutOfOrder  uint64 // marks whose number is below one seen earlier, duplicates aside
	Seen        []Range
}

// Lost is how many numbers between First and Last were not seen.
func (r Report) Lost() uint64 {
	var n uint64
	for _, m := range r.Missing {
		n += m.Len()
	}
	return n
}

// Clean reports whether every number from First to Last is there once, in
// order and undamaged.
func (r Report) Clean() bool {
	return len(r.Missing) == 0 && r.Duplicates == 0 && r.Damaged == 0 && r.OutOfOrder == 0
}

// String is one line for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "camera %d: %d samples %d…%d on %d connections", r.Camera, r.Count, r.First, r.Last, r.Connections)
	if r.Clean() {
		b.WriteString(", complete")
		return b.String()
	}
	fmt.Fprintf(&b, ", %d missing", r.Lost())
	for i, m := range r.Missing {
		if i == 8 {
			fmt.Fprintf(&b, " and %d more ranges", len(r.Missing)-i)
			break
		}
		fmt.Fprintf(&b, " [%d…%d]", m.From, m.To-1)
	}
	fmt.Fprintf(&b, ", %d duplicates, %d damaged, %d out of order", r.Duplicates, r.Damaged, r.OutOfOrder)
	return b.String()
}

// Check judges marks in the order in which they were recorded. The reports
// are in the order of the cameras' numbers.
func Check(marks []Mark) []Report {
	var c Checker
	for _, m := range marks {
		c.Add(m)
	}
	return c.Reports()
}

// Checker is Check for marks that come one by one. It keeps ranges, not marks:
// hours of a fleet fit into memory. The zero value is ready; it is not safe
// for concurrent use.
type Checker struct {
	cameras map[int]*tally
}

type tally struct {
	Report
	highest     uint64
	connections map[int]struct{}
}

// Add takes the next mark.
func (c *Checker) Add(m Mark) {
	if c.cameras == nil {
		c.cameras = make(map[int]*tally)
	}
	t := c.cameras[m.Camera]
	if t == nil {
		t = &tally{Report: Report{Camera: m.Camera}, connections: make(map[int]struct{})}
		c.cameras[m.Camera] = t
	}
	t.connections[m.Connection] = struct{}{}
	if m.Damaged {
		t.Damaged++
	}
	switch fresh := insert(&t.Seen, m.Sequence); {
	case !fresh:
		t.Duplicates++
		return
	case t.Count > 0 && m.Sequence < t.highest:
		t.OutOfOrder++
	}
	t.Count++
	t.highest = max(t.highest, m.Sequence)
}

// Reports judges what was added so far.
func (c *Checker) Reports() []Report {
	var all []Report
	for _, t := range c.cameras {
		r := t.Report
		r.Connections = len(t.connections)
		r.Seen = slices.Clone(t.Seen)
		r.First, r.Last = r.Seen[0].From, r.Seen[len(r.Seen)-1].To-1
		for i := 1; i < len(r.Seen); i++ {
			r.Missing = append(r.Missing, Range{r.Seen[i-1].To, r.Seen[i].From})
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Report) int { return a.Camera - b.Camera })
	return all
}

// insert adds n to a sorted list of ranges that do not touch; false: it was in it.
func insert(ranges *[]Range, n uint64) bool {
	s := *ranges
	i := len(s) // the first range that begins above n
	if i > 0 && n < s[i-1].From {
		i, _ = slices.BinarySearchFunc(s, n, func(r Range, n uint64) int {
			if r.From <= n {
				return -1
			}
			return 1
		})
	}
	if i > 0 && n < s[i-1].To {
		return false
	}
	joinsLeft := i > 0 && s[i-1].To == n
	joinsRight := i < len(s) && s[i].From == n+1
	switch {
	case joinsLeft && joinsRight:
		s[i-1].To = s[i].To
		s = slices.Delete(s, i, i+1)
	case joinsLeft:
		s[i-1].To++
	case joinsRight:
		s[i].From--
	default:
		s = slices.Insert(s, i, Range{n, n + 1})
	}
	*ranges = s
	return true
}
