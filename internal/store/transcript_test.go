package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nvr/internal/disk/memdisk"
	"nvr/internal/media"
	"nvr/internal/store/ring"
)

var update = flag.Bool("update", false, "rewrite testdata with what the program says now")

// TestTranscript runs the stories in testdata: a command, "----", what it
// prints, an empty line. `go test -run Transcript -update` rewrites the outputs;
// read the difference. The commands are methods of teller.
func TestTranscript(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				got := retell(t, string(want))
				switch {
				case got == string(want):
				case *update:
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				default:
					t.Errorf("%s says\n%s\nand the program\n%s", file, want, got)
				}
			})
		})
	}
}

// retell runs a transcript and returns it with the outputs of now.
func retell(t *testing.T, text string) string {
	s := &teller{rig: newRig(t, 3, 8), told: map[footageKey]*footage{}, next: map[string]int{}, rng: rand.New(rand.NewPCG(1, 1))}
	s.disk.Hook(s.hook)
	defer func() {
		s.left, s.gone = nil, false
		s.close()
	}()
	var out strings.Builder
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		command := lines[i]
		if i+1 >= len(lines) || lines[i+1] != "----" {
			out.WriteString(command) // a comment, or an empty line
			if i+1 < len(lines) {
				out.WriteByte('\n')
			}
			continue
		}
		for i++; i+1 < len(lines) && lines[i+1] != ""; i++ { // the old output
		}
		fmt.Fprintf(&out, "%s\n----\n%s", command, s.run(command))
	}
	return out.String()
}

// teller runs the commands of one transcript.
type teller struct {
	*rig
	rng  *rand.Rand
	told map[footageKey]*footage // what was ever offered
	next map[string]int          // number of the next record, by camera and run

	cutBefore string // the power goes before an operation that begins so,
	cutAfter  int    // when so many of them are done
	cutAs     memdisk.Model
	killAtCut bool         // only the process ends, not the power
	left      *memdisk.Dir // what the cut left
	failing   string       // the kind of operation that fails
	failFrom  int          // from the how manyth on
	failures  int          // and how many of them
	failEach  int          // one of so many
	failError error
	gone      bool
	notes     []string // what happened to the disk during the command
}

func (s *teller) hook(op memdisk.Op) error {
	switch {
	case s.left != nil || s.gone && op.Changes():
		return syscall.ENODEV
	case s.cutBefore != "" && op.Changes() && strings.HasPrefix(op.String(), s.cutBefore):
		if s.cutAfter--; s.cutAfter < 0 {
			s.notes = append(s.notes, fmt.Sprintf("%s before %v", s.end(), op))
			s.left, s.cutBefore = s.crash(), ""
			return syscall.ENODEV
		}
	case s.failing != "" && string(op.Kind) == s.failing:
		if s.failFrom--; s.failFrom <= 0 && s.failFrom%s.failEach == 0 {
			if s.failures--; s.failures == 0 {
				s.failing = ""
			}
			s.notes = append(s.notes, fmt.Sprintf("%v: %v", op, s.failError))
			return s.failError
		}
	}
	return nil
}

// crash is what a power cut now leaves, or, when only the process is to end,
// what that leaves.
func (s *teller) crash() *memdisk.Dir {
	if s.killAtCut {
		return s.disk.Killed()
	}
	return s.disk.Crash(s.rng, s.cutAs)
}

func (s *teller) end() string {
	if s.killAtCut {
		return "killed"
	}
	return "power cut"
}

// args are a command's words of the form name=value.
type args map[string]string

func (a args) num(name string, otherwise int) int {
	if n, err := strconv.Atoi(a[name]); err == nil {
		return n
	}
	return otherwise
}

func (s *teller) run(command string) string {
	words := strings.Fields(command)
	a := args{}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		a[name] = value
	}
	verbs := map[string]func(args) string{
		"open": s.doOpen, "close": s.doClose, "append": s.doAppend, "commit": s.doCommit, "gap": s.doGap, "wait": s.doWait,
		"crash": s.doCrash, "cut": s.doCut, "fail": s.doFail, "disk": s.doDisk, "damage": s.doDamage, "remove": s.doRemove,
		"list": s.doList, "gaps": s.doGaps, "verify": s.doVerify, "status": s.doStatus, "dump": s.doDump, "files": s.doFiles, "scrub": s.doScrub,
	}
	verb := verbs[words[0]]
	if verb == nil {
		s.t.Fatalf("no such command: %s", command)
	}
	s.notes = nil
	out := verb(a)
	if len(s.notes) > 0 {
		out = strings.Join(s.notes, "\n") + "\n" + out
	}
	if out == "" {
		out = "ok\n"
	}
	return out
}

// open pools=3 mb=8: opens the ring, or creates it.
func (s *teller) doOpen(a args) string {
	s.o.Pools, s.o.PoolBytes = a.num("pools", s.o.Pools), int64(a.num("mb", int(s.o.PoolBytes/mib)))*mib
	if err := s.rig.open(); err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	return s.position()
}

func (s *teller) position() string {
	st := s.v.Status()
	down := ""
	if st.Down {
		down = " DOWN"
	}
	return fmt.Sprintf("pool=%d generation=%d position=%d%s\n", st.ActivePool, st.Generation, st.Position, down)
}

// close: a clean end.
func (s *teller) doClose(args) string {
	if err := s.rig.close(); err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	return ""
}

// append cam=1 run=1 records=5 bytes=40000: offers records of a second.
func (s *teller) doAppend(a args) string {
	key := a["cam"] + "/" + a["run"]
	for range a.num("records", 1) {
		f := &footage{camera(a.num("cam", 1)), media.RunID(a.num("cam", 1)*1000 + a.num("run", 1)), s.next[key], a.num("bytes", 1000), videoTrack}
		s.next[key]++
		s.told[f.key()] = f
		if !s.v.Offer(f.record()) {
			return fmt.Sprintf("record %d was refused\n", f.n)
		}
		synctest.Wait()
	}
	return ""
}

// gap cam=1 from=5 to=7 reason=no_media: seconds of the camera's first run.
func (s *teller) doGap(a args) string {
	f := footage{run: media.RunID(a.num("cam", 1)*1000 + 1)}
	at := func(name string) int64 { return f.wall() + int64(a.num(name, 0))*second }
	if !s.v.OfferGap(media.Gap{Stream: camera(a.num("cam", 1)), Span: media.Span{From: at("from"), To: at("to")}, Reason: media.Reason(a["reason"])}) {
		return "refused\n"
	}
	return ""
}

// commit: lets a second pass, in which the writer commits.
func (s *teller) doCommit(args) string {
	s.beat()
	return s.position()
}

// wait secs=60: lets time pass.
func (s *teller) doWait(a args) string {
	s.sleep(time.Duration(a.num("secs", 1)) * time.Second)
	return s.position()
}

// crash seed=7 model=torn: the power goes; the next open finds what it left.
// When a cut came, this only says that nothing runs any more.
func (s *teller) doCrash(a args) string {
	if s.left == nil {
		model, err := memdisk.ParseModel(a["model"])
		if err != nil {
			return err.Error() + "\n" // a cut was armed, and did not come
		}
		s.left = s.disk.Crash(rand.New(rand.NewPCG(uint64(a.num("seed", 1)), 0)), model)
	}
	s.rig.close() // the disk is gone: what it says does not matter
	s.on(s.left)
	s.left, s.failing, s.cutBefore = nil, "", ""
	s.disk.Hook(s.hook)
	return ""
}

// cut before=write/pool_001 after=2 seed=7 model=torn: arms a power cut;
// model=killed: the end of the process.
func (s *teller) doCut(a args) string {
	model, err := memdisk.ParseModel(a["model"])
	if s.killAtCut = a["model"] == "killed"; err != nil && !s.killAtCut {
		return err.Error() + "\n"
	}
	s.cutBefore, s.cutAfter, s.cutAs = strings.ReplaceAll(a["before"], "/", " "), a.num("after", 0), model
	s.rng = rand.New(rand.NewPCG(uint64(a.num("seed", 1)), 0))
	return ""
}

// fail op=write n=3 count=2 each=2 err=EIO: errors to come, counted from now, here
// of the third and the fifth write.
func (s *teller) doFail(a args) string {
	s.failError = map[string]error{"EIO": syscall.EIO, "EROFS": syscall.EROFS, "ENODEV": syscall.ENODEV}[a["err"]]
	s.failing, s.failFrom, s.failures, s.failEach = a["op"], a.num("n", 1), a.num("count", 1), a.num("each", 1)
	return ""
}

// disk state=gone, disk state=back.
func (s *teller) doDisk(a args) string {
	s.gone = a["state"] == "gone"
	return ""
}

// damage pool=0 off=1048576 len=1, damage file=catalogue off=70: bits flip.
func (s *teller) doDamage(a args) string {
	name := ring.Name(a.num("pool", 0))
	if a["file"] != "" {
		name = a["file"]
	}
	f, err := s.disk.Open(name, false)
	if err != nil {
		return err.Error() + "\n"
	}
	b := make([]byte, a.num("len", 1))
	f.ReadAt(b, int64(a.num("off", 0)))
	for i := range b {
		b[i] ^= 0x10
	}
	s.disk.Rot(name, int64(a.num("off", 0)), b)
	return ""
}

// remove file=catalogue.
func (s *teller) doRemove(a args) string {
	s.disk.Vanish(a["file"])
	return ""
}

// list cam=1: the segments.
func (s *teller) doList(a args) string {
	l, err := s.v.List(context.Background(), Query{Camera: "cam" + a["cam"]})
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, seg := range l.Segments {
		f := footage{run: seg.Run}
		fmt.Fprintf(&b, "run=%d from=%v to=%v samples=%d bytes=%d pool=%d\n", seg.Run%1000, time.Duration(seg.Span.From-f.wall()), time.Duration(seg.Span.To-f.wall()), seg.Samples, seg.Bytes, seg.Pool)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// gaps cam=1: what has no samples, and why; seconds of the camera's first run.
func (s *teller) doGaps(a args) string {
	l, err := s.v.List(context.Background(), Query{Camera: "cam" + a["cam"]})
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	f := footage{run: media.RunID(a.num("cam", 1)*1000 + 1)}
	for _, g := range l.Gaps {
		to := "open"
		if g.Span.To != 0 {
			to = time.Duration(g.Span.To - f.wall()).String()
		}
		fmt.Fprintf(&b, "from=%v to=%s %s\n", time.Duration(g.Span.From-f.wall()), to, g.Reason)
	}
	if b.Len() == 0 {
		return "none\n"
	}
	return b.String()
}

// verify: reads all there is and compares it with what was offered.
func (s *teller) doVerify(args) string {
	streams := s.v.Streams()
	slices.SortFunc(streams, func(a, b *media.Stream) int { return strings.Compare(a.Camera.ID, b.Camera.ID) })
	var b strings.Builder
	for _, stream := range streams {
		list, err := entries(s.v, stream)
		if err != nil {
			return err.Error() + "\n"
		}
		var good []*media.Entry
		var bad []string
		for _, e := range list {
			f := s.told[entryKey(e)]
			if f == nil {
				bad = append(bad, fmt.Sprintf("%s run=%d record=%d: FOREIGN", stream.Camera.ID, e.Run%1000, int(e.Start/90000)))
				continue
			}
			if err := f.check(s.v, e); err != nil {
				bad = append(bad, fmt.Sprintf("%s run=%d record=%d: %v", stream.Camera.ID, e.Run%1000, f.n, err))
				continue
			}
			good = append(good, e)
		}
		if err := totals(s.v, stream, list); err != nil {
			bad = append(bad, err.Error())
		}
		fmt.Fprintf(&b, "%s:%s\n", stream.Camera.ID, ranges(good))
		for _, line := range bad {
			fmt.Fprintln(&b, line)
		}
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// scrub: compares everything with its checksums.
func (s *teller) doScrub(args) string {
	report, err := s.v.Verify(context.Background(), VerifyOptions{})
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, f := range report.Faults {
		fmt.Fprintf(&b, "pool=%d offset=%d %s: %s\n", f.Pool, f.Offset, f.What, f.Reason)
	}
	fmt.Fprintf(&b, "records=%d damaged=%d\n", report.Records, report.DamagedRecords())
	return b.String()
}

// ranges tells which records there are: " run=1 0-4,7".
func ranges(list []*media.Entry) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		from := int(list[i].Start / 90000)
		if i == 0 || list[i].Run != list[i-1].Run {
			fmt.Fprintf(&b, " run=%d ", list[i].Run%1000)
		} else {
			b.WriteByte(',')
		}
		to := from
		for i++; i < len(list) && list[i].Run == list[i-1].Run && int(list[i].Start/90000) == to+1; i++ {
			to++
		}
		fmt.Fprint(&b, from)
		if to > from {
			fmt.Fprintf(&b, "-%d", to)
		}
	}
	return b.String()
}

// status: what the volume says of itself.
func (s *teller) doStatus(args) string {
	st := s.v.Status()
	return fmt.Sprintf("used=%d indexed=%t down=%t queued=%d refused=%d failures=%d\n%s", st.UsedPools, st.Indexed, st.Down, st.QueuedRecords, st.Refused, st.Failures, s.position())
}

// dump pool=0: superblocks, groups and footer.
func (s *teller) doDump(a args) string { return twin(s.disk, ring.Name(a.num("pool", 0))) }

// files: what lies in the directory.
func (s *teller) doFiles(args) string {
	names, err := s.disk.Names()
	if err != nil || len(names) == 0 {
		return fmt.Sprintln("none", errors.Join(err))
	}
	var b strings.Builder
	for _, name := range names {
		f, _ := s.disk.Open(name, false)
		n, _ := f.Size()
		fmt.Fprintf(&b, "%s %d\n", name, n)
	}
	return b.String()
}
