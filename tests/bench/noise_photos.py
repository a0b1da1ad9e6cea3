"""Benchmark: is every answer readable, whatever the photo shows?

python tests/bench/noise_photos.py BUNDLE [COUNT]

Predicts COUNT synthetic photos (10,000 by default): noise, patches, stripes, one colour, and pieces of noise of all
sizes and proportions. Every answer is formatted as text, parsed again, and checked against the options of its query.
Prints the number of invalid answers, and exits with 1 if there is one.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from logicls import answer_format
from logicls.records import Answer, Subquery


def make_photos(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield photos, uint8 RGB [height width 3], 16 to 160 pixels on a side, of seven kinds in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = rng.integers(16, 161, 2)
        patch = [1, 4, 16][number % 3]
        coarse = rng.integers(0, 256, (-(-height // patch), -(-width // patch), 3), np.uint8)
        noise = coarse.repeat(patch, 0).repeat(patch, 1)[:height, :width]
        plain = np.broadcast_to(rng.integers(0, 256, 3, np.uint8), noise.shape)
        stripes = np.broadcast_to(noise[:1], noise.shape)
        piece = np.where((np.indices(noise.shape[:2]).sum(0) % height < height // 3)[..., None], noise, plain)
        kinds = (noise, plain, stripes, piece, noise // 16, 255 - noise // 16, np.zeros_like(noise))
        yield np.ascontiguousarray(kinds[number % 7])


def invalid_answers(queries: tuple[Subquery, ...], answers: tuple[Answer, ...]) -> list[str]:
    """Return the ids of the queries with an invalid answer."""
    invalid = [] if [a.query for a in answers] == [q.id for q in queries] else ["the queries"]
    for query, answer in zip(queries, answers, strict=False):
        text = answer_format.parse_answers(answer_format.format_answers([answer]))
        parsed = text.answers[0] if len(text.answers) == 1 and not text.invalid_lines else None
        is_same = parsed is not None and (parsed.values, len(parsed.boxes)) == (answer.values, len(answer.boxes))
        is_permitted = set(answer.values) <= set(query.options) and not (answer.boxes and query.kind != "locate")
        numbers = [answer.confidence, *(edge for b in answer.boxes for edge in (b.x1, b.y1, b.x2, b.y2))]
        if not (answer.readable and is_same and is_permitted and all(map(math.isfinite, numbers))):
            invalid.append(query.id)
    return invalid


def main() -> int:
    """Predict all photos, and print the number of invalid answers."""
    import torch

    from logicls.constraints.checker.decomposition import decompose
    from logicls.models.bundle import load_bundle
    from logicls.predict.readers import make_reader
    from logicls.predict.readers.protocol import predict_arrays

    reader, count = make_reader(load_bundle(Path(sys.argv[1]))), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    torch.set_num_threads(min(torch.get_num_threads(), 2))
    queries = decompose(reader.bundle.spec)
    counts = Counter[str]()
    photos = make_photos(count)
    while batch := list(islice(photos, 16)):
        for prediction in predict_arrays(reader, batch):
            answers = (*prediction.answers, prediction.stated)
            counts["answers"] += len(answers)
            counts["boxes"] += sum(len(answer.boxes) for answer in answers)
            counts["values"] += sum(len(answer.values) for answer in answers)
            counts["invalid"] += len(invalid_answers(queries, answers))
    totals = ", ".join(f"{counts[name]} {name}" for name in ("answers", "boxes", "values", "invalid"))
    print(f"{count} photos: {totals}")
    return int(counts["invalid"] > 0)


if __name__ == "__main__":
    sys.exit(main())
