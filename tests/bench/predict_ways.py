"""One pass against three other ways to get the same answers, side by side in one run.

python tests/bench/predict_ways.py BUNDLE PHOTOS [ROUNDS]

BUNDLE is a trained nano bundle; beside it stands a tiny random model of a hub architecture (Qwen3-VL) with the same
rules. The ways, all with the same weights, the same allowed words and the same preparation of photos:

    one pass        nano: 16 photos a batch; hub: 8 photos a batch; all questions side by side
    (a) one by one  a call for each question, the photo read anew in each
    (b) five votes  the same with five wordings of each question, and a vote (LogicQA, arXiv 2503.20252)
    (c) one text    the library's own greedy `generate` of all answers as one text, one photo at a time

(a) and (b) are decoded by the library within our grammar for hub models, and by our own pass for nano. For (c) the text
is given, word by word, so that the answers are equal, and only its time is measured. It is the trail as it is written;
"in short" stands for a vocabulary that nano has not: a word for each question and value, and four for a box.
nano is given photos in its input's size, as `logicls predict` gives them: its processes that decode them see to that.
Rounds are interleaved, so that other work on the machine weighs on all ways alike. OMP_NUM_THREADS sets the threads.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from ways_hub import hub_bundle, hub_ways
from ways_nano import nano_ways
from ways_told import Way

from logicls.models.bundle import load_bundle
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays

FEW = 3
"""Photos a round of the slow ways."""


def clock() -> float:
    """Seconds: of this process's work on one thread, which other work leaves alone; on more, as they pass."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def compare(title: str, ways: dict[str, Way], photos: list[np.ndarray], rounds: int) -> float:
    """Print milliseconds a photo of each way, against one pass, and how many of its answers are the same."""
    slow, times = photos[:FEW], {name: [] for name in ways}
    wanted = ways["one pass"](photos)
    alike: dict[str, str] = {}
    for number in range(rounds + 1):  # the first warms up
        for name, way in ways.items():
            some = slow if name.startswith("(") else photos
            began = clock()
            answers = way(some)
            if number:
                times[name].append((clock() - began) / len(some) * 1e3)
            pairs = [
                pair for one, other in zip(wanted, answers, strict=False) for pair in zip(one, other, strict=False)
            ]
            alike[name] = f"{sum(a == b for a, b in pairs)} of {len(pairs)}"
    best = statistics.median(times["one pass"])
    print(f"{title}, {torch.get_num_threads()} threads, {rounds} rounds")
    for name, each in times.items():
        middle = statistics.median(each)
        print(f"  {name:<20} {middle:9.2f} ms a photo  x {middle / best:7.2f}  equal answers {alike[name]}")
    return best


def floor(reader: NanoReader, files: list[Path], photos: list[np.ndarray], took: float) -> None:
    """How far the pass is from what its multiplications and the decoding of the photos take by themselves."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        predict_arrays(reader, photos)
    one = torch.randn(1536, 1536)
    rate = 2 * 1536**3 / min(_seconds(lambda: one @ one) for _ in range(8))
    decode = min(_seconds(lambda: [np.asarray(Image.open(f).convert("RGB")) for f in files]) for _ in range(3))
    work, opened = counter.get_total_flops() / len(photos), decode / len(files) * 1e3
    least = work / rate * 1e3
    told = f"{work / 1e9:.2f} GFLOP a photo at {rate / 1e9:.0f} GFLOP/s = {least:.2f} ms"
    print(f"  floor: {told}; the decoding of photos {opened:.2f} ms;")
    print(f"  with decoding {took + opened:.2f} ms a photo, {(took + opened) / (least + opened):.2f} times the floor")


def _seconds(work: Callable[[], object]) -> float:
    began = clock()
    work()
    return clock() - began


def main() -> None:
    """Both models."""
    bundle, rounds = load_bundle(Path(sys.argv[1])), int(sys.argv[3]) if len(sys.argv) > 3 else 5
    files = sorted(p for p in Path(sys.argv[2]).iterdir() if p.suffix in (".jpg", ".png"))[:16]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    fitted = [bundle.processor.image_processor.fitted(photo) for photo in photos]
    took = compare(f"nano, {bundle.spec.product.name}", nano_ways(bundle), fitted, rounds)
    floor(NanoReader(bundle), files, fitted, took)
    with tempfile.TemporaryDirectory() as folder:
        made = hub_bundle(Path(folder), bundle.path / "spec.yaml")
        compare("tiny Qwen3-VL, the same rules", hub_ways(made), photos[:8], rounds)


if __name__ == "__main__":
    main()
