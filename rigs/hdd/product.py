#!/usr/bin/env python3
"""What nvr asks of a hard disk: 50 simulated cameras of 4 Mbit/s, durable each second, on a 4 TB disk that is modelled.

    product.py --nvr bin/nvr --scratch DIR [--fs ext4,xfs] [--secs 40] [--out table.md] [--keep DIR]

Per file system: the ring's first pass, a later pass, a later pass with 4 exports that are read at the pace of the
recording, and for comparison a file per camera: synced each second (workload.py), and ffmpeg, which never syncs.
Root; ends with 1 when a bar is missed.
"""
import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time

import hddmodel
import hddtrace
import sparse

here = os.path.dirname(os.path.abspath(__file__))

# Bars: busy, and seeks a second (None: no bar). Readers are taken to be a third of the disk away from the writer.
BARS = {'first pass': (15, 5), 'later pass': (12, 5), 'later pass, 4 readers': (40, None)}


class Children:
    """Processes that are gone when the block ends."""

    def __enter__(self):
        self.all = []
        return self

    def start(self, *command, **more):
        child = subprocess.Popen(command, start_new_session=True, **more)
        self.all.append(child)
        return child

    def end(self, *children):
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in children:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def __exit__(self, *_):
        self.end(*reversed(self.all))


class Run:
    def __init__(self, a, disk, children):
        self.a, self.disk, self.children = a, disk, children
        self.results = []

    def measure(self, name, what):
        wall, rows = hddtrace.traced(self.disk.dev, what)
        if self.a.keep:
            os.makedirs(self.a.keep, exist_ok=True)
            hddtrace.save(os.path.join(self.a.keep, (self.disk.fs + ' ' + name).replace(' ', '_').replace(',', '') + '.trace'), wall, rows)
        far = name in BARS and 'readers' in name
        s = hddmodel.model(wall, rows, self.disk.bytes, journal=self.disk.journal, far=far)
        s['near_busy_pct'] = hddmodel.model(wall, rows, self.disk.bytes, journal=self.disk.journal)['busy_pct']
        s['uncached_busy_pct'] = hddmodel.model(wall, rows, self.disk.bytes, cache=False, journal=self.disk.journal, far=far)['busy_pct']
        data = [sector * 512 for _, rwbs, sector, sectors, _ in rows if 'W' in rwbs and sectors >= 256]
        s['at'] = (min(data) / self.disk.bytes, max(data) / self.disk.bytes) if data else (0, 0)
        self.results.append((name, s))
        print(hddmodel.show(self.disk.fs + ' ' + name, s), flush=True)
        return s

    def nvr(self, *args):
        return [self.a.nvr, '--config', self.config, *args]

    def status(self):
        return json.loads(subprocess.run(self.nvr('status', '--json'), check=True, capture_output=True, text=True).stdout)

    def product(self):
        a = self.a
        # The ring is at the root of the file system: ext4 puts other directories of the first level anywhere on the disk,
        # and the figures would depend on where.
        self.config = os.path.join(self.disk.dir, 'nvr.toml')
        with open(self.config, 'w') as f:
            f.write('[storage]\nbase_path = "mnt"\nchunk_size_mb = %d\nmax_pools = %d\n' % (a.pool_mb, a.pools))
            for n, url in enumerate(self.urls):
                f.write('[[cameras]]\nid = "cam%d"\nurl = "%s"\n' % (n + 1, url))
        with open(os.path.join(self.disk.dir, 'record.log'), 'w') as log:
            recorder = self.children.start(*self.nvr('record'), stderr=log, stdout=log)
        self.wait_for('all cameras recording', lambda s: sum(c.get('session', {}).get('state') == 'recording' for c in s['cameras']) >= a.cameras, 30)
        time.sleep(3)
        self.measure('first pass', lambda: time.sleep(a.secs))
        at = self.status()['volume']
        if at['generation'] > a.pools:
            raise SystemExit('the ring wrapped during its first pass: make it larger (--pools)')
        print('waiting for the ring to wrap …', flush=True)
        self.wait_for('the second pass', lambda s: s['volume']['generation'] > a.pools + 1, 300)
        self.measure('later pass', lambda: time.sleep(a.secs))
        self.measure('later pass, 4 readers', self.readers)
        s = self.status()
        lost = s['volume']['refused_records']
        if recorder.poll() is not None or lost:
            raise SystemExit('the recorder ended, or lost %d records' % lost)
        self.children.end(recorder)

    def wait_for(self, what, good, secs):
        for _ in range(secs):
            time.sleep(1)
            try:
                if good(self.status()):
                    return
            except (subprocess.CalledProcessError, KeyError):
                pass
        raise SystemExit('%s: not after %d s\n%s' % (what, secs, open(os.path.join(self.disk.dir, 'record.log')).read()[-2000:]))

    def readers(self):
        """Exports of four cameras, from as long ago as the ring safely has, taken at the pace of the recording."""
        a = self.a
        back = a.secs + 25
        pace = a.mbps * 1e6 / 8
        exports = [self.children.start(*self.nvr('export', '--camera', 'cam%d' % (1 + n * a.cameras // 4), '--from', '-%ds' % back,
                                                 '--to', '-%ds' % (back - a.secs), '-o', '-'), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for n in range(4)]
        got = [0] * 4

        def take(n):
            t0 = time.monotonic()
            while time.monotonic() - t0 < a.secs:
                piece = exports[n].stdout.read1(32 << 10)
                if not piece:
                    break
                got[n] += len(piece)
                time.sleep(max(0, got[n] / pace - (time.monotonic() - t0)))

        threads = [threading.Thread(target=take, args=(n,)) for n in range(4)]
        t0 = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        time.sleep(max(0, a.secs - (time.monotonic() - t0)))
        for e in exports:
            e.kill()  # the rest of the range is not needed
        short = [n for n in got if n < 0.7 * pace * a.secs]
        if short:
            raise SystemExit('an export gave %s bytes, %d were wanted: %s' % (short, pace * a.secs, exports[0].stderr.read()[-500:]))
        self.children.end(*exports)

    def file_per_camera(self):
        a = self.a
        where = os.path.join(self.disk.mnt, 'percam')
        os.mkdir(where)
        self.disk.settle()

        def work():
            subprocess.run([sys.executable, os.path.join(here, 'workload.py'), where, '--kind', 'percamdir', '--secs', str(a.secs_other),
                            '--cams', str(a.cameras), '--mbps', str(a.mbps)], check=True, stdout=subprocess.DEVNULL)
            sparse.run('sync', '-f', self.disk.mnt)
        self.measure('a file per camera, fdatasync each second', work)

    def ffmpeg(self):
        a = self.a
        where = os.path.join(self.disk.mnt, 'ffmpeg')
        os.mkdir(where)
        self.disk.settle()

        def work():
            all = []
            for n, url in enumerate(self.urls):
                os.mkdir(os.path.join(where, 'cam%d' % n))
                all.append(self.children.start(
                    'ffmpeg', '-nostdin', '-loglevel', 'error', '-rtsp_transport', 'tcp', '-i', url, '-c', 'copy', '-f', 'segment', '-segment_time', '10',
                    os.path.join(where, 'cam%d' % n, '%04d.mp4'), stderr=subprocess.DEVNULL))
            time.sleep(a.secs_other)
            self.children.end(*all)
            sparse.run('sync', '-f', self.disk.mnt)
        self.measure('ffmpeg, 10 s files, never synced', work)


def table(a, results):
    lines = ['| file system | what | MB/s | seeks/s | flushes/s | journal writes/s | busy | without write cache | bar |', '|---|---|---|---|---|---|---|---|---|']
    missed = []
    for fs, name, s in results:
        bar, met = '', True
        if name in BARS:
            busy, seeks = BARS[name]
            rate = s['written'] / s['wall'] / 1e6
            wanted = a.cameras * a.mbps / 8
            met = s['busy_pct'] <= busy and (seeks is None or s['seeks'] / s['wall'] <= seeks) and rate >= 0.9 * wanted
            bar = '≤ %d %%' % busy + (', ≤ %d seeks/s' % seeks if seeks else '') + (': met' if met else ': **missed**')
        if not met:
            missed.append(fs + ' ' + name)
        w = s['wall']
        lines.append('| %s | %s | %.1f | %.1f | %.1f | %.1f | **%.1f %%** | %.0f %% | %s |' % (
            fs, name, s['written'] / w / 1e6, s['seeks'] / w, s['flushes'] / w, s['journal_writes'] / w, s['busy_pct'], s['uncached_busy_pct'], bar))
    return '\n'.join(lines), missed


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--nvr', required=True)
    ap.add_argument('--scratch', required=True)
    ap.add_argument('--fs', default='ext4,xfs', help=', '.join(sparse.FILE_SYSTEMS))
    ap.add_argument('--size', default='4T')
    ap.add_argument('--secs', type=int, default=40)
    ap.add_argument('--secs-other', type=int, default=25, help='seconds of each comparison')
    ap.add_argument('--cameras', type=int, default=50)
    ap.add_argument('--mbps', type=float, default=4)
    ap.add_argument('--pool-mb', type=int, default=512)
    ap.add_argument('--pools', type=int, default=6, help='of the ring: its first pass must be longer than --secs')
    ap.add_argument('--fill', type=float, default=0, help='per cent of the disk that is taken before the ring is made')
    ap.add_argument('--skip', default='', help='percam,ffmpeg')
    ap.add_argument('--out', help='file for the table')
    ap.add_argument('--keep', help='directory for the traces')
    a = ap.parse_args()
    if os.geteuid() != 0:
        raise SystemExit('root is needed: loop devices, mounts, tracefs')
    a.nvr = os.path.abspath(a.nvr)
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda *_: sys.exit(1))
    began = datetime.datetime.now(datetime.timezone.utc)
    results = []
    for fs in a.fs.split(','):
        with sparse.Disk(a.scratch, a.size, fs, fill=a.fill) as disk, Children() as children:
            run = Run(a, disk, children)
            simulator = children.start(a.nvr, 'simulate', '--cameras', str(a.cameras), '--bitrate', '%gM' % a.mbps, '--port', '0',
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            run.urls = [simulator.stdout.readline().strip() for _ in range(a.cameras)]
            if not all(run.urls):
                raise SystemExit('the simulator does not start')
            run.product()
            if 'percam' not in a.skip:
                run.file_per_camera()
            if 'ffmpeg' not in a.skip:
                run.ffmpeg()
            results += [(fs, name, s) for name, s in run.results]
            for name, s in run.results:
                print('  %-42s data at %.1f to %.1f %% of the disk; readers near: %.1f %% busy; %.1f MB/s read' % (
                    name, 100 * s['at'][0], 100 * s['at'][1], s['near_busy_pct'], s['read'] / s['wall'] / 1e6), flush=True)
    text, missed = table(a, results)
    version = subprocess.run([a.nvr, 'version'], capture_output=True, text=True).stdout.strip()
    text = '%s, %s, Linux %s, %d CPUs; %d cameras × %g Mbit/s, %s disk%s, ring %d × %d MiB, %d s each\n\n%s' % (
        began.strftime('%Y-%m-%d %H:%M UTC'), version, os.uname().release, os.cpu_count(), a.cameras, a.mbps, a.size, ' filled to %g %% before' % a.fill if a.fill else '', a.pools, a.pool_mb, a.secs, text)
    print('\n' + text)
    if a.out:
        with open(a.out, 'w') as f:
            f.write(text + '\n')
    if missed:
        print('missed: ' + '; '.join(missed))
        sys.exit(1)


if __name__ == '__main__':
    main()
