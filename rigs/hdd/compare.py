#!/usr/bin/env python3
"""Compare ways of recording on a sparse image as big as a real disk: trace below the file system, model the disk.

    compare.py --scratch DIR [--size 4T] [--fs ext4|ext4-default|xfs|xfs-default] [--secs 15] [--only NAME] [--keep DIR]
"""
import argparse
import os
import subprocess
import sys

import hddmodel
import hddtrace
import sparse

here = os.path.dirname(os.path.abspath(__file__))
POOL = ['--kind', 'pool', '--block', '1024']
INDEX = POOL + ['--start', '1048576']
CASES = [  # name, mount options, how the pool is prepared, flags of workload.py
    ('percam same dir, fdatasync each/s', 'relatime', None, ['--kind', 'percam']),
    ('percam own dir, fdatasync each/s', 'relatime', None, ['--kind', 'percamdir']),
    ('percam own dir, 10 s clips, no sync', 'relatime', None, ['--kind', 'segdir', '--seg', '10', '--sync', 'none']),
    ('pool fallocate, 1M, fdatasync/s', 'noatime', 'fallocate', POOL),
    ('pool fallocate, 1M, ditto lazytime', 'noatime,lazytime', 'fallocate', POOL),
    ('pool fallocate O_DIRECT 1M', 'noatime,lazytime', 'fallocate', POOL + ['--direct']),
    ('pool written, 1M, fdatasync/s', 'noatime', 'zero', POOL),
    ('pool written, 1M, ditto lazytime', 'noatime,lazytime', 'zero', POOL),
    ('pool written, 4M, O_DIRECT', 'noatime,lazytime', 'zero', ['--kind', 'pool', '--block', '4096', '--direct']),
    ('pool written, 1M, O_DIRECT', 'noatime,lazytime', 'zero', POOL + ['--direct']),
    ('pool written, 1M, O_DIRECT|O_DSYNC', 'noatime,lazytime', 'zero', POOL + ['--direct', '--dsync', '--sync', 'none']),
    ('pool written, 1M, sync_file_range', 'noatime,lazytime', 'zero', POOL + ['--sync', 'range']),
    ('idx: in band only', 'noatime,lazytime', 'zero', INDEX),
    ('idx: 4K at pool head each s', 'noatime,lazytime', 'zero', INDEX + ['--index', 'head']),
    ('idx: 4K append side file each s', 'noatime,lazytime', 'zero', INDEX + ['--index', 'file']),
    ('idx: 4K in prewritten side file', 'noatime,lazytime', 'zero', INDEX + ['--index', 'filepre']),
    ('pool written, 64K O_DSYNC', 'noatime,lazytime', 'zero', ['--kind', 'pool', '--block', '64', '--dsync', '--sync', 'none']),
]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--scratch', required=True)
    ap.add_argument('--size', default='4T')
    ap.add_argument('--fs', default='ext4', choices=sparse.FILE_SYSTEMS)
    ap.add_argument('--secs', default='15')
    ap.add_argument('--cams', default='50')
    ap.add_argument('--fill', type=float, default=0, help='per cent of the disk that are taken before')
    ap.add_argument('--only', default='')
    ap.add_argument('--keep', default='')
    a = ap.parse_args()
    for name, options, prepare, flags in CASES:
        if a.only in name:
            case(a, name, options, prepare, flags)


def case(a, name, options, prepare, flags):
    if a.fs.startswith('ext4'):
        options += ',noinit_itable,no_prefetch_block_bitmaps'
    with sparse.Disk(a.scratch, a.size, a.fs, mount=options, fill=a.fill) as disk:
        workload = [sys.executable, os.path.join(here, 'workload.py'), disk.mnt]
        if prepare:
            mb = int(float(a.cams) * 0.5 * float(a.secs) * 1.1) + 64
            subprocess.run(workload + ['--prep', prepare, '--prepmb', str(mb)], check=True)
        disk.settle()
        said = []

        def work():
            said.append(sparse.run(*workload, '--secs', a.secs, '--cams', a.cams, *flags))
            sparse.run('sync', '-f', disk.mnt)
        wall, rows = hddtrace.traced(disk.dev, work)
        if a.keep:
            hddtrace.save(os.path.join(a.keep, name.replace(' ', '_').replace(',', '').replace('/', '_') + '.trace'), wall, rows)
        print(hddmodel.show(name, hddmodel.model(wall, rows, disk.bytes, True, disk.journal, True)), flush=True)
        uncached = hddmodel.model(wall, rows, disk.bytes, False, disk.journal)
        print('%-34s   cache off: BUSY %.1f%%;  app: %s' % ('', uncached['busy_pct'], said[0]), flush=True)


if __name__ == '__main__':
    main()
