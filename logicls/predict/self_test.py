"""The probe: photos that travel with a bundle, and the answers it must still give to them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from logicls.errors import BundleError, Problem
from logicls.io.atomic import write_text
from logicls.io.run_manifest import claimed
from logicls.models.bundle import Bundle, describe_version_changes, load_bundle
from logicls.predict.readers.protocol import make_reader
from logicls.records import Answer

PROBE_COUNT = 4
EDGE_TOLERANCE = 1.5
"""How far an edge may be from where it was, pixels of the probe photo."""
CONFIDENCE_TOLERANCE = 0.02
"""How far a confidence may be from what it was."""


def write_probe(bundle: Bundle, synth: Path) -> None:
    """Take the first photos of the dataset, and write down what the bundle answers to them.

    Beside them it is written how the photos are stored that it learned from.
    """
    import pyarrow.parquet as pq

    folder = bundle.path / "probe"
    folder.mkdir(exist_ok=True)
    shard = sorted((synth / "data").glob("*.parquet"))[0]
    rows = pq.read_table(shard, columns=["image"]).slice(0, PROBE_COUNT).to_pylist()
    names = [f"{number}.jpg" for number in range(len(rows))]
    for name, row in zip(names, rows, strict=True):
        (folder / name).write_bytes(row["image"]["bytes"])
    expected = dict(zip(names, _replayed(bundle, names), strict=True))
    write_text(folder / "expected.json", json.dumps(expected, indent=1))
    write_text(folder / "stored.json", json.dumps(claimed(synth / "synth.json").get("stored", [])))


def read_storage_kinds(bundle: Bundle) -> frozenset[str]:
    """What is unusual about how the photos are stored that it learned from; nothing for a bundle that does not say."""
    try:
        return frozenset(json.loads((bundle.path / "probe" / "stored.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return frozenset()


def open_bundle(path: Path) -> Bundle:
    """Load a bundle and replay its probe. Raises `BundleError` where an answer is not what it was."""
    bundle = load_bundle(path)
    file = path / "probe" / "expected.json"
    try:
        expected = json.loads(file.read_text(encoding="utf-8"))
        found = dict(zip(expected, _replayed(bundle, list(expected)), strict=True))
    except (OSError, ValueError) as error:
        problem = Problem("LC504", f"its probe cannot be replayed: {error}.", str(path), advice="Train it again.")
        raise BundleError(problem) from error
    changed = describe_version_changes(bundle)
    advice = "Do not use it; train it again" + (f", or go back: {changed} is here." if changed else ".")
    problems = [
        Problem("LC505", f"probe {name}, {query}: {difference}.", str(path), advice=advice)
        for name in expected
        for query, difference in _differences(expected[name], found[name])
    ]
    if problems or not expected:
        raise BundleError(problems or Problem("LC504", "its probe is empty.", str(path), advice="Train it again."))
    return bundle


def _replayed(bundle: Bundle, names: list[str]) -> list[dict[str, list[object]]]:
    photos = [_photo(bundle.path / "probe" / name) for name in names]
    if not photos:
        return []
    return [
        {a.query: _plain(a) for a in (*look.answers, look.stated)}
        for look in make_reader(bundle).predict_pixels(photos)
    ]


def _photo(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def _plain(answer: Answer) -> list[object]:
    boxes = [[round(v, 2) for v in (b.x1, b.y1, b.x2, b.y2)] for b in answer.boxes]
    return [list(answer.values), boxes, round(answer.confidence, 4)]


def _differences(expected: dict[str, list[object]], found: dict[str, list[object]]) -> list[tuple[str, str]]:
    out = []
    for query in sorted({*expected, *found}):
        before, now = expected.get(query), found.get(query)
        if before is None or now is None or not _alike(before, now):
            out.append((query, f"answered {before} when it was made, {now} now"))
    return out


def _alike(before: list[object], now: list[object]) -> bool:
    (values, boxes, chance), (values2, boxes2, chance2) = before, now
    edges, edges2 = np.asarray(boxes, float), np.asarray(boxes2, float)
    same = values == values2 and edges.shape == edges2.shape
    near = same and (not edges.size or float(np.abs(edges - edges2).max()) <= EDGE_TOLERANCE)
    return bool(near and abs(float(str(chance)) - float(str(chance2))) <= CONFIDENCE_TOLERANCE)
