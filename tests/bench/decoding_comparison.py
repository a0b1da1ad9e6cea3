"""Compare parallel decoding of all questions with three other methods that give the same answers.

python tests/bench/decoding_comparison.py BUNDLE PHOTOS [ROUNDS]

BUNDLE is a trained nano bundle; a tiny random hub model (Qwen3-VL) with the same rules is measured as well. All methods
use the same weights, grammars and preprocessing:

    one pass        all questions in parallel; nano: batches of 16 photos, hub model: of 8
    (a) one by one  one call per question, which encodes the photo again
    (b) five votes  the same with five phrasings of each question, and a vote (LogicQA, arXiv 2503.20252)
    (c) one text    greedy `generate` of transformers for all answers as one text, one photo at a time

For hub models, (a) and (b) are decoded by transformers within our grammar; for nano by its own reader. For (c) the
tokens are given, so that the answers are equal and only the time is measured. The text is that of the chain of thought;
"in short" stands for a vocabulary that nano does not have: one token per question and value, and four per box. nano
gets letterboxed photos, as from the decoders of `logicls predict`. Rounds are interleaved, so that other work on the
machine affects all methods equally. OMP_NUM_THREADS sets the number of threads.
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
from decoding_hub import hub_methods, make_hub_bundle
from decoding_nano import nano_methods
from forced_generation import Method
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from logicls.models.bundle import load_bundle
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays

SLOW_PHOTOS = 3
"""Photos per round of the slow methods."""


def read_clock() -> float:
    """Return seconds: processor time with one thread, which other work does not affect; else wall-clock time."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def compare(title: str, methods: dict[str, Method], photos: list[np.ndarray], rounds: int) -> float:
    """Print the milliseconds per photo of each method, its ratio to one pass, and the number of equal answers."""
    slow, times = photos[:SLOW_PHOTOS], {name: [] for name in methods}
    expected = methods["one pass"](photos)
    equal: dict[str, str] = {}
    for number in range(rounds + 1):  # the first warms up
        for name, method in methods.items():
            given = slow if name.startswith("(") else photos
            start = read_clock()
            answers = method(given)
            if number:
                times[name].append((read_clock() - start) / len(given) * 1e3)
            pairs = [
                pair for one, other in zip(expected, answers, strict=False) for pair in zip(one, other, strict=False)
            ]
            equal[name] = f"{sum(a == b for a, b in pairs)} of {len(pairs)}"
    best = statistics.median(times["one pass"])
    print(f"{title}, {torch.get_num_threads()} threads, {rounds} rounds")
    for name, each in times.items():
        middle = statistics.median(each)
        print(f"  {name:<20} {middle:9.2f} ms a photo  x {middle / best:7.2f}  equal answers {equal[name]}")
    return best


def print_lower_bound(reader: NanoReader, files: list[Path], photos: list[np.ndarray], milliseconds: float) -> None:
    """Print the ratio to a lower bound: the time of the multiplications and of decoding the photos alone."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        predict_arrays(reader, photos)
    one = torch.randn(1536, 1536)
    rate = 2 * 1536**3 / min(_seconds(lambda: one @ one) for _ in range(8))
    decode = min(_seconds(lambda: [np.asarray(Image.open(f).convert("RGB")) for f in files]) for _ in range(3))
    work, opened = counter.get_total_flops() / len(photos), decode / len(files) * 1e3
    bound = work / rate * 1e3
    estimate = f"{work / 1e9:.2f} GFLOP a photo at {rate / 1e9:.0f} GFLOP/s = {bound:.2f} ms"
    print(f"  lower bound: {estimate}; the decoding of photos {opened:.2f} ms;")
    total = milliseconds + opened
    print(f"  with decoding {total:.2f} ms a photo, {total / (bound + opened):.2f} times the lower bound")


def _seconds(work: Callable[[], object]) -> float:
    start = read_clock()
    work()
    return read_clock() - start


def main() -> None:
    """Compare the methods for both models."""
    bundle, rounds = load_bundle(Path(sys.argv[1])), int(sys.argv[3]) if len(sys.argv) > 3 else 5
    files = sorted(p for p in Path(sys.argv[2]).iterdir() if p.suffix in (".jpg", ".png"))[:16]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    letterboxed = [bundle.processor.image_processor.letterbox(photo) for photo in photos]
    milliseconds = compare(f"nano, {bundle.spec.product.name}", nano_methods(bundle), letterboxed, rounds)
    print_lower_bound(NanoReader(bundle), files, letterboxed, milliseconds)
    with tempfile.TemporaryDirectory() as folder:
        hub = make_hub_bundle(Path(folder), bundle.path / "spec.yaml")
        compare("tiny Qwen3-VL, the same rules", hub_methods(hub), photos[:8], rounds)


if __name__ == "__main__":
    main()
