package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// read is the one line of a file of /sys or /proc; empty when it is not there.
func (e *exam) read(path string) string {
	text, err := e.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// disksBelow names the disks that a mount lies on: more than one below a mirror
// or a logical volume, none where the kernel does not say (a network, zfs).
func (e *exam) disksBelow(m mount) []string {
	var found []string
	add := func(disk string) {
		for _, d := range e.slaves(disk, 0) {
			if !slices.Contains(found, d) {
				found = append(found, d)
			}
		}
	}
	matches := func(sys string) bool {
		return e.read(sys+"/dev") == m.device || strings.HasPrefix(m.device, "0:") && m.source == "/dev/"+path.Base(sys)
	}
	all, _ := e.Names("/sys/block")
	for _, disk := range all {
		if matches("/sys/block/" + disk) {
			add(disk)
			continue
		}
		parts, _ := e.Names("/sys/block/" + disk)
		for _, part := range parts {
			if strings.HasPrefix(part, disk) && matches("/sys/block/"+disk+"/"+part) {
				add(disk)
			}
		}
	}
	slices.Sort(found)
	return found
}

// maxStack is how many layers (a mirror of logical volumes of …) are followed.
const maxStack = 8

// slaves follows md and dm devices down to disks.
func (e *exam) slaves(disk string, depth int) []string {
	below, _ := e.Names("/sys/block/" + disk + "/slaves")
	if len(below) == 0 || depth >= maxStack {
		return []string{disk}
	}
	var found []string
	for _, name := range below {
		found = append(found, e.slaves(e.wholeDisk(name), depth+1)...)
	}
	return found
}

// wholeDisk is the disk of a partition, or the name itself.
func (e *exam) wholeDisk(name string) string {
	if e.read("/sys/block/"+name+"/dev") != "" {
		return name
	}
	all, _ := e.Names("/sys/block")
	for _, disk := range all {
		if strings.HasPrefix(name, disk) && e.read("/sys/block/"+disk+"/"+name+"/dev") != "" {
			return disk
		}
	}
	return name
}

// shingled are drives whose makers said, late, that their tracks overlap:
// beginnings of the model's name.
var shingled = []string{
	"WDC WD20EFAX", "WDC WD30EFAX", "WDC WD40EFAX", "WDC WD60EFAX",
	"ST2000DM008", "ST4000DM004", "ST6000DM003", "ST8000DM004", "ST8000AS0002",
}

func (e *exam) block(v Volume, m mount) {
	disks := e.disksBelow(m)
	if e.disks == nil {
		e.disks = map[string][]string{}
	}
	e.disks[v.Dir] = disks
	if len(disks) == 0 {
		e.find(Advice, "disk", v.Dir, "the kernel does not say which disk this is on", "none needed if this is meant; write cache and kind of disk were not looked at")
	}
	for _, d := range disks {
		e.drive(v, d)
	}
}

func (e *exam) drive(v Volume, d string) {
	sys := "/sys/block/" + d
	queue := func(name string) string { return e.read(sys + "/queue/" + name) }
	rotates, model := queue("rotational") == "1", e.read(sys+"/device/model")
	ata := e.read(sys+"/device/vendor") == "ATA"
	before := len(e.findings)
	find := func(s Severity, message, remedy string) {
		e.find(s, "disk", v.Dir, strings.TrimSpace(d+" "+model)+": "+message, remedy)
	}
	isShingled := slices.ContainsFunc(shingled, func(name string) bool { return strings.HasPrefix(model, name) })
	switch zoned := queue("zoned"); {
	case zoned == "host-managed":
		find(Problem, "a shingled disk that takes writes in sequence only", "use a disk of conventional recording (CMR)")
	case zoned == "host-aware" || isShingled || rotates && ata && queue("discard_max_bytes") > "0":
		find(Warning, "looks like a shingled disk (SMR): a write in a place already written may stop it for seconds", "use a disk of conventional recording (CMR) for footage")
	}
	switch cache := queue("write_cache"); {
	case cache == "write through" && rotates && ata:
		find(Advice, "its write cache is off, which costs turns of the platter; it can be on, because each commit flushes it", "hdparm -W1 /dev/"+d)
	case cache == "write through" && rotates:
		find(Advice, "says that it has no write cache; a controller or hypervisor may have one that cannot be seen from here", "make sure that it has a battery, or is off")
	}
	if e.read(sys+"/loop/backing_file") != "" {
		find(Advice, "is a loop device: footage goes through two file systems", "use a partition or a logical volume")
	}
	if len(e.findings) == before {
		kind := "solid state"
		if rotates {
			kind = "rotating"
		}
		if cache := queue("write_cache"); cache != "" {
			kind += fmt.Sprintf(", write cache: %s", cache)
		}
		e.ok("disk", v.Dir, "%s: %s", strings.TrimSpace(d+" "+model), kind)
	}
}
