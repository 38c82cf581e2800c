#!/usr/bin/env python3
"""Turn a block trace into the modelled time of a hard disk.

    hddmodel.py trace.txt --size 4T [--cache on|off] [--far] [--smr] [--journal SECTOR-SECTOR]

A 3.5" disk of 7200 rpm, conventional recording. Seek 0.5 ms + 10.94*sqrt(x) + 3.56*x ms for a fraction x of the full
stroke (about 8 ms at a third, 15 ms full); half a turn, 4.17 ms, after every reposition; 250 MB/s at the outer edge,
falling to 120 MB/s at the inner.

cache on : the drive holds writes until a flush (or 32 MiB), then writes them in the order of their addresses. That is
           what drives do whose write cache is enabled. off: every request in the order in which it was issued.
far      : what is read lies a third of the disk further on than it did, as in a ring that fills the disk and is read
           where the writer is not. Without it a small ring on a large disk flatters its readers.
"""
import argparse
import math

from sparse import size

ROTATION = 60.0 / 7200
SAME_TRACK = 128 << 10  # bytes: so near that the head need not move
DRIVE_CACHE = 32 << 20
SMR_ZONE = 256 << 20


class HDD:
    def __init__(self, nbytes, outer=250e6, inner=120e6):
        self.nbytes, self.outer, self.inner = nbytes, outer, inner
        self.position = 0
        self.seek_s = self.rotate_s = self.transfer_s = self.strokes = 0.0
        self.seeks = 0

    @property
    def busy_s(self):
        return self.seek_s + self.rotate_s + self.transfer_s

    def io(self, offset, length, streaming):
        gap = offset - self.position
        rate = self.outer - (self.outer - self.inner) * min(1.0, offset / self.nbytes)
        if streaming and 0 <= gap <= SAME_TRACK:  # go on; the gap passes under the head
            self.transfer_s += gap / rate
        else:
            self.seeks += 1
            self.rotate_s += ROTATION / 2
            if abs(gap) > SAME_TRACK:
                x = abs(gap) / self.nbytes
                self.seek_s += (0.5 + 10.94 * math.sqrt(x) + 3.56 * x) / 1e3
                self.strokes += x
        self.transfer_s += length / rate
        self.position = offset + length


def load(path):
    wall, rows = None, []
    with open(path) as f:
        for line in f:
            words = line.split()
            if line.startswith('# wall'):
                wall = float(words[2])
            elif words:
                rows.append((float(words[0]), words[1], int(words[2]), int(words[3]), words[4] if len(words) > 4 else ''))
    return (rows[-1][0] - rows[0][0] if wall is None else wall), rows


def model(wall, rows, nbytes, cache=True, journal=None, smr=False, far=False):
    """Figures by name: counts, and busy_pct."""
    disk = HDD(nbytes)
    pending, pending_bytes = [], 0
    s = dict(reads=0, writes=0, flushes=0, written=0, read=0, journal_writes=0, small_writes=0)
    zones, dirty = {}, set()
    last = None

    def drain():  # one upward sweep, then the rest from the start
        nonlocal pending, pending_bytes
        pending.sort()
        ahead, behind = [p for p in pending if p[0] >= disk.position], [p for p in pending if p[0] < disk.position]
        for i, (offset, length) in enumerate(ahead + behind):
            disk.io(offset, length, i > 0)
        pending, pending_bytes = [], 0

    for t, rwbs, sector, sectors, _ in rows:
        offset, length = sector * 512, sectors * 512
        if rwbs.startswith('F') or sectors == 0:
            s['flushes'] += 1
            if cache:
                drain()
            if sectors == 0:
                continue
        if 'D' in rwbs:  # discard
            continue
        if 'R' in rwbs:
            s['reads'] += 1
            s['read'] += length
            if far:
                offset = (offset + nbytes // 3) % nbytes
            if cache:
                drain()
            disk.io(offset, length, False)
            last = t
            continue
        s['writes'] += 1
        s['written'] += length
        s['small_writes'] += length <= 16 << 10
        s['journal_writes'] += bool(journal and journal[0] <= sector < journal[1])
        if smr:  # not at the zone's write pointer: to the media cache, and a rewrite of the zone later
            zone = offset // SMR_ZONE
            if zone in zones and offset != zones[zone]:
                dirty.add(zone)
            zones[zone] = offset + length
        if cache:
            pending.append((offset, length))
            pending_bytes += length
            if pending_bytes >= DRIVE_CACHE:
                drain()
        else:
            disk.io(offset, length, last is not None and t - last < 0.0005)
        last = t
    drain()
    s.update(wall=wall, seeks=disk.seeks, strokes=disk.strokes, seek_s=disk.seek_s, rotate_s=disk.rotate_s,
             transfer_s=disk.transfer_s, busy_pct=100 * disk.busy_s / wall)
    if smr:  # each such zone is rewritten once a minute
        s['smr_zones'] = len(dirty)
        s['smr_busy_pct'] = s['busy_pct'] + 100 * len(dirty) * 2 * SMR_ZONE / 200e6 / 60
    return s


def show(name, s):
    w = s['wall']
    text = ('%-34s %5.1f MB/s wr, %6.1f wr/s (%3.0f%% <=16K), %5.1f flush/s, journal %5.1f wr/s, %6.1f seeks/s, %5.2f strokes/s, '
            'head %4.1f%% + rot %4.1f%% + xfer %4.1f%% = BUSY %5.1f%%' % (
                name, s['written'] / w / 1e6, s['writes'] / w, 100 * s['small_writes'] / max(1, s['writes']), s['flushes'] / w,
                s['journal_writes'] / w, s['seeks'] / w, s['strokes'] / w, 100 * s['seek_s'] / w, 100 * s['rotate_s'] / w,
                100 * s['transfer_s'] / w, s['busy_pct']))
    if 'smr_busy_pct' in s:
        text += '; SMR %d zone rewrites -> %.0f%%' % (s['smr_zones'], s['smr_busy_pct'])
    return text


if __name__ == '__main__':
    ap = argparse.ArgumentParser()
    ap.add_argument('trace')
    ap.add_argument('--size', default='4T')
    ap.add_argument('--cache', default='on')
    ap.add_argument('--far', action='store_true')
    ap.add_argument('--smr', action='store_true')
    ap.add_argument('--journal')
    a = ap.parse_args()
    journal = tuple(int(x) for x in a.journal.split('-')) if a.journal else None
    wall, rows = load(a.trace)
    print(show(a.trace, model(wall, rows, size(a.size), a.cache == 'on', journal, a.smr, a.far)))
