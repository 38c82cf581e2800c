package mark

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	marks := func(numbers ...uint64) (all []Mark) {
		for _, n := range numbers {
			all = append(all, Mark{Camera: 1, Connection: 1, Sequence: n})
		}
		return all
	}
	damaged := marks(5, 6, 7)
	damaged[1].Damaged = true
	reconnected := marks(5, 6, 7)
	reconnected[2].Connection = 2
	cases := []struct {
		name  string
		marks []Mark
		want  []Report
		text  string
	}{
		{"nothing", nil, nil, ""},
		{"complete", marks(5, 6, 7),
			[]Report{{Camera: 1, Connections: 1, Count: 3, First: 5, Last: 7, Seen: []Range{{5, 8}}}},
			"camera 1: 3 samples 5…7 on 1 connections, complete"},
		{"two connections", reconnected,
			[]Report{{Camera: 1, Connections: 2, Count: 3, First: 5, Last: 7, Seen: []Range{{5, 8}}}},
			"camera 1: 3 samples 5…7 on 2 connections, complete"},
		{"missing", marks(0, 1, 4, 9),
			[]Report{{Camera: 1, Connections: 1, Count: 4, Last: 9, Missing: []Range{{2, 4}, {5, 9}}, Seen: []Range{{0, 2}, {4, 5}, {9, 10}}}},
			"camera 1: 4 samples 0…9 on 1 connections, 6 missing [2…3] [5…8], 0 duplicates, 0 damaged, 0 out of order"},
		{"twice", marks(1, 2, 2, 1, 3),
			[]Report{{Camera: 1, Connections: 1, Count: 3, First: 1, Last: 3, Duplicates: 2, Seen: []Range{{1, 4}}}},
			"camera 1: 3 samples 1…3 on 1 connections, 0 missing, 2 duplicates, 0 damaged, 0 out of order"},
		{"out of order", marks(1, 4, 2, 3, 5),
			[]Report{{Camera: 1, Connections: 1, Count: 5, First: 1, Last: 5, OutOfOrder: 2, Seen: []Range{{1, 6}}}},
			"camera 1: 5 samples 1…5 on 1 connections, 0 missing, 0 duplicates, 0 damaged, 2 out of order"},
		{"backwards", marks(3, 2, 1),
			[]Report{{Camera: 1, Connections: 1, Count: 3, First: 1, Last: 3, OutOfOrder: 2, Seen: []Range{{1, 4}}}},
			"camera 1: 3 samples 1…3 on 1 connections, 0 missing, 0 duplicates, 0 damaged, 2 out of order"},
		{"damaged counts as seen", damaged,
			[]Report{{Camera: 1, Connections: 1, Count: 3, First: 5, Last: 7, Damaged: 1, Seen: []Range{{5, 8}}}},
			"camera 1: 3 samples 5…7 on 1 connections, 0 missing, 0 duplicates, 1 damaged, 0 out of order"},
	}
	for _, c := range cases {
		got := Check(c.marks)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s:\n%s", c.name, d)
			continue
		}
		if len(got) > 0 && got[0].String() != c.text {
			t.Errorf("%s: %s\nwant %s", c.name, got[0], c.text)
		}
	}
}

func TestCheckKeepsCamerasApart(t *testing.T) {
	got := Check([]Mark{{Camera: 2, Connection: 1, Sequence: 10}, {Camera: 1, Connection: 1, Sequence: 3}, {Camera: 2, Connection: 1, Sequence: 11}})
	if len(got) != 2 || got[0].Camera != 1 || got[1].Camera != 2 || !got[0].Clean() || got[1].Count != 2 {
		t.Errorf("got %v", got)
	}
}

// Any order of any numbers leaves the ranges sorted, apart and complete.
func TestInsert(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var ranges []Range
		seen := map[uint64]bool{}
		for range 100 {
			n := r.Uint64N(60)
			if insert(&ranges, n) == seen[n] {
				t.Fatalf("%d in %v: seen %v", n, ranges, seen[n])
			}
			seen[n] = true
		}
		total := uint64(0)
		for i, x := range ranges {
			if i > 0 && x.From <= ranges[i-1].To || x.From >= x.To {
				t.Fatalf("not apart: %v", ranges)
			}
			for n := x.From; n < x.To; n++ {
				if !seen[n] {
					t.Fatalf("%d was never inserted: %v", n, ranges)
				}
			}
			total += x.Len()
		}
		if total != uint64(len(seen)) {
			t.Fatalf("%d numbers in %v, want %d", total, ranges, len(seen))
		}
	}
}
