"""Measure the time per photo, its parts, and whether memory grows with the number of photos.

python tests/bench/predict_speed.py BUNDLE PHOTOS [--count 2000] [--workers 0 1 2] [--batch 8 16 32]

Links PHOTOS to one another's names until there are COUNT of them, and predicts that folder once for each number of
processes and each batch, every time in a process of its own. Prints for each: photos a second, processor time a photo
(of all processes, so that other work on the machine counts little), what decoding alone takes of a photo, and the
resident memory after 500 photos and at the end. `--count 100000 --workers 2 --batch 16` is the full size.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

WARM_UP = 500
"""Photos after which memory should no longer grow."""


def measure(bundle: Path, photos: Path, workers: int, batch: int) -> None:
    """Predict one folder, and print time and memory."""
    from logicls.predict.folder.runner import predict_folder
    from logicls.predict.input.loader import decode_photo
    from logicls.predict.readers import make_reader
    from logicls.predict.self_test import open_bundle

    opened = open_bundle(bundle)
    names, size = sorted(os.listdir(photos))[:100], make_reader(opened).input_size
    for name in names[:10]:
        decode_photo(photos, size, name)
    start = time.process_time()
    for name in names:
        decode_photo(photos, size, name)
    decoding = (time.process_time() - start) / len(names)
    process, counts, resident = psutil.Process(), [0], {}

    def on_progress(count: int) -> None:
        counts[0] += count
        if counts[0] >= WARM_UP and not resident:
            resident["warm"] = resident_mib(process)

    with tempfile.TemporaryDirectory() as out:
        wall, cpu = time.perf_counter(), cpu_seconds()
        options = {"workers": workers, "batch": batch, "on_start": lambda total: on_progress}
        count = predict_folder(opened, photos, Path(out), **options)
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    print(
        f"workers {workers}, batch {batch}: {count / wall:.1f} photos/s, {1000 * cpu / count:.1f} ms of processors"
        f" a photo ({1000 * decoding:.1f} of them to decode), {resident.get('warm', 0):.0f} MiB after {WARM_UP},"
        f" {resident_mib(process):.0f} MiB at the end",
        flush=True,
    )


def cpu_seconds() -> float:
    """Return processor seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def resident_mib(process: psutil.Process) -> float:
    """Return the resident memory of the process in MiB."""
    return process.memory_info().rss / 2**20


def link_photos(photos: Path, folder: Path, count: int) -> Path:
    """Fill a folder with `count` links to the photos, in turn; returns it."""
    originals = sorted(path.resolve() for path in photos.iterdir())
    for number in range(count):
        original = originals[number % len(originals)]
        (folder / f"{number:06d}_{original.name}").symlink_to(original)
    return folder


def main() -> None:
    """Measure all requested combinations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--here", action="store_true", help="one measurement, in this process, of the folder as it is")
    args = parser.parse_args()
    if args.here:
        measure(args.bundle, args.photos, args.workers[0], args.batch[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        images = link_photos(args.photos, Path(folder), args.count)
        for workers in args.workers:
            for batch in args.batch:
                options = ["--here", "--workers", str(workers), "--batch", str(batch)]
                subprocess.run([sys.executable, __file__, str(args.bundle), str(images), *options], check=True)


if __name__ == "__main__":
    main()
