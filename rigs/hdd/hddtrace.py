#!/usr/bin/env python3
"""Record the block requests of one device, below the file system, while a command runs.

    hddtrace.py --dev /dev/loop0 --out trace.txt -- COMMAND...

Uses a private tracefs instance: root needed, nothing to install. Lines of the output:

    time_s rwbs sector sectors comm
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

LINE = re.compile(r'^\s*(?P<comm>.{1,16})-\d+\s+.*?\s(?P<t>\d+\.\d+): block_rq_issue: '
                  r'(?P<dev>\d+,\d+) (?P<rw>\S+) \d+ \(.*?\) (?P<sec>\d+) \+ (?P<n>\d+)')
BUFFER_KB = 8192  # per CPU: about 80,000 requests, read every 20 ms


class Tracer:
    """start, then stop: rows of (time, rwbs, sector, sectors, comm), and wall, the seconds between the two."""

    def __init__(self, dev):
        st = os.stat(dev)
        self.dev = '%d,%d' % (os.major(st.st_rdev), os.minor(st.st_rdev))
        kernel_dev = (os.major(st.st_rdev) << 20) | os.minor(st.st_rdev)
        self.rows, self.wall, self.stopping = [], 0.0, False
        self.mnt = tempfile.mkdtemp(prefix='hddtrace')
        try:
            subprocess.check_call(['mount', '-t', 'tracefs', 'nodev', self.mnt])
        except BaseException:
            os.rmdir(self.mnt)
            raise
        self.instance = os.path.join(self.mnt, 'instances', 'hdd%d' % os.getpid())
        os.mkdir(self.instance)
        self._set('buffer_size_kb', str(BUFFER_KB))
        self._set('trace_clock', 'mono')
        self._set('events/block/block_rq_issue/filter', 'dev == %d' % kernel_dev)

    def _set(self, name, value):
        with open(os.path.join(self.instance, name), 'w') as f:
            f.write(value)

    def start(self):
        self._set('events/block/block_rq_issue/enable', '1')
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.t0 = time.monotonic()

    def _read(self):
        fd = os.open(os.path.join(self.instance, 'trace_pipe'), os.O_RDONLY | os.O_NONBLOCK)
        rest = b''
        while True:
            try:
                got = os.read(fd, 1 << 16)
            except BlockingIOError:
                got = b''
            if not got:
                if self.stopping:
                    break
                time.sleep(0.02)
                continue
            *lines, rest = (rest + got).split(b'\n')
            for line in lines:
                m = LINE.match(line.decode('utf8', 'replace'))
                if m and m['dev'] == self.dev:
                    self.rows.append((float(m['t']), m['rw'], int(m['sec']), int(m['n']), m['comm'].strip().replace(' ', '_')))
        os.close(fd)

    def stop(self):
        self.wall = time.monotonic() - self.t0
        self._set('events/block/block_rq_issue/enable', '0')
        time.sleep(0.1)
        self.stopping = True
        self.reader.join()
        lost = 0
        for path in glob.glob(os.path.join(self.instance, 'per_cpu', '*', 'stats')):
            with open(path) as f:
                lost += sum(int(n) for n in re.findall(r'(?:overrun|dropped events): (\d+)', f.read()))
        self._take_down()
        if lost:
            raise RuntimeError('%d requests were lost: the trace proves nothing' % lost)
        return self.rows

    def _take_down(self):
        os.rmdir(self.instance)
        subprocess.call(['umount', self.mnt])
        os.rmdir(self.mnt)


def traced(dev, what):
    """Runs what() and returns (wall, rows)."""
    tracer = Tracer(dev)
    tracer.start()
    try:
        what()
    finally:
        rows = tracer.stop()
    return tracer.wall, rows


def save(path, wall, rows):
    with open(path, 'w') as f:
        f.write('# wall %.3f\n' % wall)
        for row in rows:
            f.write('%.6f %s %d %d %s\n' % row)


if __name__ == '__main__':
    ap = argparse.ArgumentParser()
    ap.add_argument('--dev', required=True)
    ap.add_argument('--out', required=True)
    ap.add_argument('cmd', nargs=argparse.REMAINDER)
    a = ap.parse_args()
    code = []
    wall, rows = traced(a.dev, lambda: code.append(subprocess.call([word for word in a.cmd if word != '--'])))
    save(a.out, wall, rows)
    print('%d requests in %.1f s -> %s' % (len(rows), wall, a.out))
    sys.exit(code[0])
