"""Split of a dataset's source photos into those that are trained on and those that are kept aside for validation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from logicls.errors import BundleError, Problem, count_text
from logicls.io.atomic import write_text

SPLIT_FILE = "split.json"
"""File of a bundle with the photos that it was trained on and those that were kept aside."""
SPLIT_COLUMNS = ("photo", "violations", "queries", "values")
"""Columns of the dataset by which its photos are split."""
VIOLATION, GOOD = "verdict", ""
"""Query of the violations, and label of an example without one."""
ATTRIBUTE_PREFIX = "attribute:"
"""Beginning of the queries of attributes."""
MIN_LABEL_SHARE = 0.25
"""Share of its proportional number of examples that each violation has in the validation set, at least."""
MAX_LABEL_SHARE = 0.5
"""Share of a label's examples that the validation set may take: the model learns from the rest."""
TRAINING_WEIGHT = 3.0
"""Cost of examples that are missing for training, relative to those that are missing for validation."""
MAX_EXCHANGES = 100
"""Exchanges of photos, at most: large datasets need hardly any."""


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the training and validation examples, split by source photo.

    Parts that an edit adds may come from a photo of the other side: photos are separated, the parts on them are not.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    validation_photos: frozenset[str]
    """Source photos of the validation examples."""
    train_photos: frozenset[str] = frozenset()
    """Source photos of the training examples."""


EMPTY_SPLIT = Split((), (), frozenset())


@dataclass(frozen=True, slots=True)
class PhotoSplit:
    """Photos of a finished training run, as its bundle records them."""

    train: frozenset[str]
    validation: frozenset[str]


def split_photos(
    rows: Iterable[Mapping[str, Any]], share: float, seed: int, *, previous: PhotoSplit | None = None
) -> Split:
    """Split the source photos: a random `share`, at least one, for validation; none where there is only one photo.

    The validation set has examples of each violation and good ones in proportion, as far as the photos allow: some
    violations can be made of some photos only. Photos of the random choice are exchanged for others until it does.

    Args:
        rows: The examples, with `SPLIT_COLUMNS`.
        share: Share of the photos for validation; 0 for none.
        seed: Seed of the split.
        previous: Photos of the run whose weights training starts from. What it kept aside stays aside, and what it
            trained on is not used for validation, unless nothing else is left.
    """
    photos, labels = list[str](), list[frozenset[Label]]()
    for row in rows:
        photos.append(str(row["photo"]))
        labels.append(_list_labels(row))
    names = sorted(set(photos))
    count = min(max(round(share * len(names)), 1), len(names) - 1) if share else 0
    kept = [names.index(name) for name in names if previous and name in previous.validation][: max(len(names) - 1, 0)]
    trained = {index for index, name in enumerate(names) if previous and name in previous.train}
    if not count:
        kept = []
    free = [int(index) for index in np.random.default_rng([seed, 17]).permutation(len(names)) if index not in kept]
    free = [index for index in free if index not in trained] or ([] if kept else free)
    added = min(max(count - len(kept), 0), len(free))
    share_aside = (len(kept) + added) / max(len(names), 1)
    order = _select(kept, free, added, _make_balance(names, photos, labels, share_aside))
    selected = frozenset(names[index] for index in order)
    sides: tuple[list[int], list[int]] = ([], [])
    for number, photo in enumerate(photos):
        sides[photo in selected].append(number)
    return Split(tuple(sides[0]), tuple(sides[1]), selected, frozenset(names) - selected)


Label = tuple[str, str]
"""A violation (`VIOLATION` and its name), or an attribute (its query) and a value."""


def _list_labels(row: Mapping[str, Any]) -> frozenset[Label]:
    """List the violations of an example and the values of its attributes."""
    answers = zip(row["queries"], row["values"], strict=True)
    values = {(query, value) for query, found in answers if query.startswith(ATTRIBUTE_PREFIX) for value in found}
    return frozenset(values) | {(VIOLATION, name) for name in row["violations"] or (GOOD,)}


@dataclass(frozen=True, slots=True)
class _Balance:
    """Examples of each label that validation and training need."""

    counts: Float[np.ndarray, "photos labels"]
    """Examples of each photo and label."""
    required: Float[np.ndarray, " labels"]
    """Examples that the validation set has at least."""
    most: Float[np.ndarray, " labels"]
    """Examples that the validation set has at most."""

    def cost(self, sums: Float[np.ndarray, "*n labels"]) -> Float[np.ndarray, "*n"]:
        """Return how much validation or training lacks, with so many examples of each label in the validation set."""
        lacking = np.maximum(self.required - sums, 0) / np.maximum(self.required, 1)
        taken = np.maximum(sums - self.most, 0) / np.maximum(self.most, 1)
        return np.asarray((lacking + TRAINING_WEIGHT * taken).sum(-1))


def _make_balance(
    names: Sequence[str], photos: Sequence[str], labels: Sequence[frozenset[Label]], share: float
) -> _Balance:
    """Count the labels of each photo. `share`: share of the photos in the validation set."""
    rows = {name: index for index, name in enumerate(names)}
    columns = {label: index for index, label in enumerate(sorted({label for one in labels for label in one}))}
    counts = np.zeros((len(names), len(columns)))
    for photo, one in zip(photos, labels, strict=True):
        for label in one:
            counts[rows[photo], columns[label]] += 1
    totals, is_violation = counts.sum(0), np.array([query == VIOLATION for query, _ in columns], bool)
    required = np.minimum(np.maximum(MIN_LABEL_SHARE * share * totals, 1), MAX_LABEL_SHARE * totals)
    return _Balance(counts, np.where(is_violation, required, 0.0), np.maximum(MAX_LABEL_SHARE, share) * totals)


def _select(kept: Sequence[int], free: Sequence[int], count: int, balance: _Balance) -> list[int]:
    """Select `count` of the free photos beside the kept ones; the first ones, exchanged where labels lack examples.

    The best single exchange is made until none improves the balance (steepest descent).
    """
    selected, others, counts = [*free[:count]], [*free[count:]], balance.counts
    sums = counts[[*kept, *selected]].sum(0)
    for _ in range(MAX_EXCHANGES if others and selected else 0):
        current = float(balance.cost(sums))
        if not current:
            break
        after = np.stack([balance.cost(sums - counts[index] + counts[others]) for index in selected])
        out, into = np.unravel_index(int(after.argmin()), after.shape)
        if after[out, into] >= current - 1e-9:
            break
        sums = sums - counts[selected[out]] + counts[others[into]]
        selected[out], others[into] = others[into], selected[out]
    return [*kept, *selected]


def describe_split(split: Split) -> list[str]:
    """Describe the validation set in a line; no line without one."""
    if not split.validation_photos:
        return []
    names = sorted(split.validation_photos)
    listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    photos = count_text(len(names), "photo")
    return [f"validation set: {count_text(len(split.validation), 'example')} of {photos} ({listed})"]


def write_split(folder: Path, split: Split) -> None:
    """Write the photos of both sides to the folder of a bundle."""
    content = {"train": sorted(split.train_photos), "validation": sorted(split.validation_photos)}
    write_text(folder / SPLIT_FILE, json.dumps(content, indent=1, ensure_ascii=False))


def read_split(folder: Path) -> PhotoSplit | None:
    """Read the photos that a bundle was trained on; None for bundles of earlier versions.

    Raises:
        BundleError: The file cannot be read (LC628).
    """
    file = folder / SPLIT_FILE
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        sides = [[str(name) for name in content[side]] for side in ("train", "validation")]
    except (OSError, ValueError, TypeError, KeyError) as error:
        detail = f"no list {error}" if isinstance(error, KeyError) else str(error)
        advice = "Restore the file, or train without `--from`."
        problem = Problem("LC628", f"cannot be read: {detail}.", str(file), advice=advice)
        raise BundleError(problem) from error
    return PhotoSplit(frozenset(sides[0]), frozenset(sides[1]))
