"""A file system on a sparse image as big as a real disk, under a loop device.

Everything is taken down when the block ends, however it ends:

    with sparse.Disk(scratch, '4T', 'ext4') as disk:
        ... disk.dev, disk.mnt, disk.journal ...
"""
import os
import re
import shutil
import subprocess
import tempfile
import time

# What docs/operate.md recommends, and what a person gets who types mkfs and mount.
# The journal's size is fixed and the inode tables small, so nothing is written behind our back.
FILE_SYSTEMS = {
    'ext4': dict(
        mkfs=['mkfs.ext4', '-q', '-F', '-m', '0', '-T', 'largefile4', '-E', 'packed_meta_blocks=1,lazy_itable_init=0,nodiscard'],
        mount='noatime,lazytime,no_prefetch_block_bitmaps'),
    'ext4-unpacked': dict(  # the journal in the middle of the disk
        mkfs=['mkfs.ext4', '-q', '-F', '-m', '0', '-T', 'largefile4', '-E', 'lazy_itable_init=0,nodiscard'],
        mount='noatime,lazytime,no_prefetch_block_bitmaps'),
    'ext4-default': dict(
        mkfs=['mkfs.ext4', '-q', '-F', '-E', 'nodiscard'],
        mount='relatime,noinit_itable'),  # else the inode tables are written for hours: not what is asked here
    'xfs': dict(mkfs=['mkfs.xfs', '-q', '-f', '-K'], mount='noatime,lazytime'),
    'xfs-default': dict(mkfs=['mkfs.xfs', '-q', '-f', '-K'], mount='relatime'),
}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit('%s: %s' % (' '.join(command), done.stderr.strip()))
    return done.stdout.strip()


def size(text):
    units = {'K': 10, 'M': 20, 'G': 30, 'T': 40}
    return int(float(text[:-1]) * (1 << units[text[-1].upper()])) if text[-1].upper() in units else int(text)


class Disk:
    """dev: the loop device; mnt: where it is mounted; journal: its sectors (first, end) or None; bytes: its size."""

    def __init__(self, scratch, size_text, fs, mount=None, fill=0):
        kind = FILE_SYSTEMS[fs]
        self.fs, self.mkfs, self.options = fs, kind['mkfs'], mount or kind['mount']
        self.fill = fill  # per cent of the disk that are taken before anything else is written
        self.size_text, self.bytes = size_text, size(size_text)
        self.scratch = scratch
        self.dir = self.dev = self.journal = None
        self.mounted = False

    def __enter__(self):
        os.makedirs(self.scratch, exist_ok=True)
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        self.dir = tempfile.mkdtemp(prefix='hdd-', dir=self.scratch)
        image, self.mnt = os.path.join(self.dir, 'disk.img'), os.path.join(self.dir, 'mnt')
        os.mkdir(self.mnt)
        run('truncate', '-s', self.size_text, image)
        self.dev = run('losetup', '-f', '--show', '--direct-io=on', image)
        os.unlink(image)  # the loop device holds it; its room is free as soon as that is gone
        try:
            with open('/sys/block/%s/queue/scheduler' % os.path.basename(self.dev), 'w') as f:
                f.write('mq-deadline')
        except OSError:
            pass
        run(*self.mkfs, self.dev)
        run('mount', '-o', self.options, self.dev, self.mnt)
        self.mounted = True
        self.journal = self._find_journal()
        if self.fill:
            run('fallocate', '-l', str(int(self.bytes * self.fill / 100)), os.path.join(self.mnt, 'fill'))

    def _find_journal(self):
        if not self.fs.startswith('ext4'):
            return None
        extents = run('debugfs', '-R', 'stat <8>', self.dev).split('EXTENTS')[-1]
        blocks = [(int(a), int(b)) for a, b in re.findall(r':(\d+)-(\d+)', extents)]
        return (min(a for a, _ in blocks) * 8, (max(b for _, b in blocks) + 1) * 8) if blocks else None

    def settle(self):
        run('sync', '-f', self.mnt)
        time.sleep(0.3)

    def __exit__(self, *_):
        if self.mounted:
            for last in (False, False, False, True):
                if subprocess.run(['umount'] + (['-l'] if last else []) + [self.mnt], capture_output=True).returncode == 0:
                    break
                time.sleep(1)
        if self.dev:
            subprocess.run(['losetup', '-d', self.dev])
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
