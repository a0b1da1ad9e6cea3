"""How long a photo takes, and whether memory grows with their number.

python tests/bench/predict_speed.py BUNDLE PHOTOS [ROUNDS]

Predicts the folder once, then a folder in which every photo is linked ROUNDS times, each in a process of its own, and
prints seconds a photo and the peak of the resident memory of both.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(bundle: Path, photos: Path) -> None:
    """Predict one folder and print what it took; run in a process of its own."""
    import torch

    from logicls.predict.batch import predict_folder
    from logicls.predict.probe import open_bundle

    opened = open_bundle(bundle)
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        count = predict_folder(opened, photos, Path(out), batch=16)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} photos: {seconds / count:.4f} s a photo, {torch.get_num_threads()} threads, peak {peak:.0f} MiB")


def linked(photos: Path, folder: Path, rounds: int) -> Path:
    """A folder in which every photo is linked `rounds` times."""
    for number in range(rounds):
        for photo in photos.iterdir():
            (folder / f"{number:04d}_{photo.name}").symlink_to(photo.resolve())
    return folder


def main() -> None:
    """Measure once and many times over."""
    bundle, photos = Path(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) > 3 and sys.argv[3] == "only":
        measure(bundle, photos)
        return
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    with tempfile.TemporaryDirectory() as folder:
        for place in (photos, linked(photos, Path(folder), rounds)):
            subprocess.run([sys.executable, __file__, str(bundle), str(place), "only"], check=True)


if __name__ == "__main__":
    main()
