"""Self-test of a bundle: its probe, a few photos with the answers that the bundle must reproduce."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from logicls.constraints.families.angles import are_close, period_of_options
from logicls.constraints.spec.models import Spec
from logicls.errors import BundleError, PhotoError, Problem
from logicls.io.atomic import write_text
from logicls.io.run_manifest import read_manifest
from logicls.models.bundle import Bundle, describe_version_changes, load_bundle, replace_spec
from logicls.predict.readers import make_reader
from logicls.predict.readers.protocol import predict_arrays
from logicls.records import Answer

PROBE_COUNT = 4
"""Photos of a probe."""
ANGLE_TOLERANCE = 1.0
"""Degrees by which an angle may differ: the next whole number."""
EDGE_TOLERANCE = 1.5
"""Largest difference of a box's edge, in pixels of the probe photo."""
CONFIDENCE_TOLERANCE = 0.02
"""Largest difference of a confidence."""


def write_probe(bundle: Bundle, synth: Path) -> None:
    """Write the probe: the first photos of the dataset, the bundle's answers, and the storage issues of its photos."""
    import pyarrow.parquet as pq

    folder = bundle.path / "probe"
    folder.mkdir(exist_ok=True)
    shard = sorted((synth / "data").glob("*.parquet"))[0]
    rows = pq.read_table(shard, columns=["image"]).slice(0, PROBE_COUNT).to_pylist()
    names = [f"{number}.jpg" for number in range(len(rows))]
    for name, row in zip(names, rows, strict=True):
        (folder / name).write_bytes(row["image"]["bytes"])
    expected = dict(zip(names, _predict_probe(bundle, names), strict=True))
    write_text(folder / "expected.json", json.dumps(expected, indent=1))
    write_text(folder / "stored.json", json.dumps(read_manifest(synth / "synth.json").get("stored", [])))


def read_storage_kinds(bundle: Bundle) -> frozenset[str]:
    """Read the storage issues of the training photos; empty for a bundle without a record of them."""
    try:
        return frozenset(json.loads((bundle.path / "probe" / "stored.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return frozenset()


def open_bundle(path: Path, spec: Path | None = None) -> Bundle:
    """Load a bundle and replay its probe. `spec`: file of other rules than those of the bundle.

    Raises:
        SpecError: The spec is invalid, or needs questions that the model was not trained to answer (LC630).
        BundleError: It cannot be loaded, its probe is unreadable (LC504), or an answer differs (LC505).
    """
    bundle = load_bundle(path)
    file = path / "probe" / "expected.json"
    try:
        expected = json.loads(file.read_text(encoding="utf-8"))
        found = dict(zip(expected, _predict_probe(bundle, list(expected)), strict=True))
    except (OSError, ValueError, PhotoError) as error:
        problem = Problem("LC504", f"its probe cannot be replayed: {error}.", str(path), advice="Train again.")
        raise BundleError(problem) from error
    changes = describe_version_changes(bundle)
    advice = "Train again" + (f", or restore the library versions: {changes}." if changes else ".")
    problems = [
        Problem("LC505", f"probe {name}, {query}: {difference}.", str(path), advice=advice)
        for name in expected
        for query, difference in _compare_answers(expected[name], found[name], bundle.question_spec)
    ]
    if problems or not expected:
        raise BundleError(problems or Problem("LC504", "its probe is empty.", str(path), advice="Train again."))
    return bundle if spec is None else replace_spec(bundle, spec)


def _predict_probe(bundle: Bundle, names: list[str]) -> list[dict[str, list[object]]]:
    photos = [_read_rgb(bundle.path / "probe" / name) for name in names]
    if not photos:
        return []
    predictions = predict_arrays(make_reader(bundle), photos)
    return [{a.query: _answer_to_json(a) for a in (*one.answers, one.stated)} for one in predictions]


def _read_rgb(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def _answer_to_json(answer: Answer) -> list[object]:
    boxes = [[round(v, 2) for v in (b.x1, b.y1, b.x2, b.y2)] for b in answer.boxes]
    return [list(answer.values), boxes, round(answer.confidence, 4)]


def _compare_answers(
    expected: dict[str, list[object]], found: dict[str, list[object]], spec: Spec
) -> list[tuple[str, str]]:
    """List the queries whose answers differ, with a description of the difference."""
    differences = []
    periods = {query.id: period_of_options(query.options) for query in spec.queries if query.kind == "orientation"}
    for query in sorted({*expected, *found}):
        before, now = expected.get(query), found.get(query)
        if before is None or now is None or not _is_close(before, now, periods.get(query)):
            differences.append((query, f"the answer was {before} when the bundle was made, and is {now} now"))
    return differences


def _is_close(before: list[Any], now: list[Any], period: int | None) -> bool:
    """Compare two answers. `period`: of the angles of an orientation query, which are rounded to degrees."""
    (values, boxes, confidence), (values2, boxes2, confidence2) = before, now
    edges, edges2 = np.asarray(boxes, float), np.asarray(boxes2, float)
    is_same = values == values2 if period is None else are_close(values, values2, period, ANGLE_TOLERANCE)
    if not is_same or edges.shape != edges2.shape:
        return False
    if edges.size and float(np.abs(edges - edges2).max()) > EDGE_TOLERANCE:
        return False
    return abs(float(str(confidence)) - float(str(confidence2))) <= CONFIDENCE_TOLERANCE
