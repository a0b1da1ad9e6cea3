"""How long a photo takes, where the time goes, and whether memory grows with the number of photos.

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

SOON = 500
"""Photos after which memory should not grow any more."""


def measure(bundle: Path, photos: Path, workers: int, batch: int) -> None:
    """Predict one folder and print what it took."""
    from logicls.predict.folder.runner import predict_folder
    from logicls.predict.input.loader import decode_photo
    from logicls.predict.readers.factory import make_reader
    from logicls.predict.self_test import open_bundle

    opened = open_bundle(bundle)
    names, size = sorted(os.listdir(photos))[:100], make_reader(opened).input_size
    for name in names[:10]:
        decode_photo(photos, size, name)
    began = time.process_time()
    for name in names:
        decode_photo(photos, size, name)
    decoding = (time.process_time() - began) / len(names)
    here, seen, resident = psutil.Process(), [0], {}

    def done(count: int) -> None:
        seen[0] += count
        if seen[0] >= SOON and not resident:
            resident["soon"] = memory(here)

    with tempfile.TemporaryDirectory() as out:
        wall, mine = time.perf_counter(), used()
        count = predict_folder(opened, photos, Path(out), workers=workers, batch=batch, on_start=lambda total: done)
        wall, mine = time.perf_counter() - wall, used() - mine
    print(
        f"workers {workers}, batch {batch}: {count / wall:.1f} photos/s, {1000 * mine / count:.1f} ms of processors"
        f" a photo ({1000 * decoding:.1f} of them to decode), {resident.get('soon', 0):.0f} MiB after {SOON},"
        f" {memory(here):.0f} MiB at the end",
        flush=True,
    )


def used() -> float:
    """Processor seconds of this process and of its children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory(process: psutil.Process) -> float:
    """Resident MiB of the process."""
    return process.memory_info().rss / 2**20


def linked(photos: Path, folder: Path, count: int) -> Path:
    """A folder with so many links to the photos, in turn."""
    originals = sorted(path.resolve() for path in photos.iterdir())
    for number in range(count):
        original = originals[number % len(originals)]
        (folder / f"{number:06d}_{original.name}").symlink_to(original)
    return folder


def main() -> None:
    """Measure everything that was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--here", action="store_true", help="one measurement, in this process, of the folder as it is")
    asked = parser.parse_args()
    if asked.here:
        measure(asked.bundle, asked.photos, asked.workers[0], asked.batch[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        place = linked(asked.photos, Path(folder), asked.count)
        for workers in asked.workers:
            for batch in asked.batch:
                options = ["--here", "--workers", str(workers), "--batch", str(batch)]
                subprocess.run([sys.executable, __file__, str(asked.bundle), str(place), *options], check=True)


if __name__ == "__main__":
    main()
