"""Whether every answer can be read, whatever is on the photo.

python tests/bench/noise_photos.py BUNDLE [COUNT]

Reads COUNT photos (10,000 unless told) that nobody would take: noise, patches, stripes, one colour, pieces of noise in
all sizes and proportions. Every answer is written as text and read back, and held against what its question allows.
Prints how many answers could not be read, and exits with 1 if there is one.
"""

import math
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from logicls import answer_format
from logicls.records import Answer, Subquery


def odd_photos(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """So many photos, uint8 RGB [height width 3], 16 to 160 pixels a side, seven kinds in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = rng.integers(16, 161, 2)
        grain = [1, 4, 16][number % 3]
        rough = rng.integers(0, 256, (-(-height // grain), -(-width // grain), 3), np.uint8)
        noise = rough.repeat(grain, 0).repeat(grain, 1)[:height, :width]
        plain = np.broadcast_to(rng.integers(0, 256, 3, np.uint8), noise.shape)
        stripes = np.broadcast_to(noise[:1], noise.shape)
        piece = np.where((np.indices(noise.shape[:2]).sum(0) % height < height // 3)[..., None], noise, plain)
        kinds = (noise, plain, stripes, piece, noise // 16, 255 - noise // 16, np.zeros_like(noise))
        yield np.ascontiguousarray(kinds[number % 7])


def faults(queries: tuple[Subquery, ...], answers: tuple[Answer, ...]) -> list[str]:
    """What is wrong with the answers to these questions, by the question's id."""
    wrong = [] if [a.query for a in answers] == [q.id for q in queries] else ["the questions"]
    for query, answer in zip(queries, answers, strict=False):
        text = answer_format.parse_answers(answer_format.format_answers([answer]))
        again = text.answers[0] if len(text.answers) == 1 and not text.invalid_lines else None
        same = again is not None and (again.values, len(again.boxes)) == (answer.values, len(answer.boxes))
        allowed = set(answer.values) <= set(query.options) and not (answer.boxes and query.kind != "locate")
        numbers = [answer.confidence, *(edge for b in answer.boxes for edge in (b.x1, b.y1, b.x2, b.y2))]
        if not (answer.readable and same and allowed and all(map(math.isfinite, numbers))):
            wrong.append(query.id)
    return wrong


def main() -> int:
    """Read them all."""
    import torch

    from logicls.constraints.checker.decomposition import decompose
    from logicls.models.bundle import load_bundle
    from logicls.predict.readers.factory import make_reader
    from logicls.predict.readers.protocol import predict_arrays

    reader, count = make_reader(load_bundle(Path(sys.argv[1]))), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    torch.set_num_threads(min(torch.get_num_threads(), 2))
    queries = decompose(reader.bundle.spec)
    asked = unreadable = things = said = 0
    photos = odd_photos(count)
    while some := list(islice(photos, 16)):
        for look in predict_arrays(reader, some):
            answers = (*look.answers, look.stated)
            asked, unreadable = asked + len(answers), unreadable + len(faults(queries, answers))
            things, said = things + sum(len(a.boxes) for a in answers), said + sum(len(a.values) for a in answers)
    print(f"{count} photos, {asked} answers with {things} boxes and {said} values: {unreadable} unreadable")
    return int(unreadable > 0)


if __name__ == "__main__":
    sys.exit(main())
