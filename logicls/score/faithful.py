"""The three tests of faithfulness on one bundle, its verdicts and their photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logicls.assets import share
from logicls.constraints.spec import Spec
from logicls.data.coco import Dataset
from logicls.data.outlines import read_outlines
from logicls.data.picture import read_photo, sha256
from logicls.errors import DataError, PhotoError, Problem, relative
from logicls.predict.read.reader import Reader
from logicls.records import Verdict
from logicls.score.counterfactual import try_flips
from logicls.score.necessity import Case, draw_case, try_cases
from logicls.score.trial import Trials
from logicls.synth.balance import read_balance
from logicls.synth.bank import Bank
from logicls.synth.draft import Drafter

Done = Callable[[int], None]
MOST = 20
"""Photos that cannot be used which are named."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Whether cited boxes are what answers rest on."""

    necessity: Trials
    """What was cited is blanked: the answer must change."""
    sufficiency: Trials
    """Only what was cited is kept: the answer must stay."""
    counterfactual: Trials | None
    """One edit of a good photo must flip exactly what it breaks; None where no annotated photos were given."""

    def to_json(self) -> dict[str, object]:
        """What metrics.json holds under `faithful`."""
        third = self.counterfactual.to_json() if self.counterfactual else None
        return {
            "necessity": self.necessity.to_json(),
            "sufficiency": self.sufficiency.to_json(),
            "counterfactual": third,
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """Which trials are made."""

    size: int
    """Photos, and edits."""
    seed: int
    batch: int = 16
    """Trials at a time."""


def faithfulness(
    reader: Reader,
    verdicts: Iterable[Verdict],
    images: Path,
    sample: Sample,
    *,
    data: Dataset | None = None,
    done: Done = lambda _: None,
) -> Faithfulness:
    """Try a sample of a bundle's verdicts, and edits of annotated photos of good products.

    Args:
        reader: Of the bundle.
        verdicts: What it said.
        images: The folder that was predicted.
        sample: How many.
        data: Annotated photos of good products; the third test is left out without them.
        done: Told how many trials were finished; there are at most twice the sample's size.

    Raises:
        DataError: The verdicts are of another bundle (LC656), or photos are not there or not the same (LC657).
    """
    drawn = _drawn(verdicts, reader.bundle.id, sample)
    _check_photos(drawn, images)
    cases, left_out = _cases(reader.bundle.spec, drawn, sample.seed)
    necessary, sufficient = try_cases(
        reader, cases, lambda name: read_photo(images / name), seed=sample.seed, batch=sample.batch, done=done
    )
    done(sample.size - len(cases))
    flips = None
    if data is not None:
        drafter = Drafter(
            reader.bundle.spec, Bank(data, read_outlines(data)), read_balance(share("synth/balance.yaml"))
        )
        flips = try_flips(reader, drafter, sample.size, seed=sample.seed, batch=sample.batch, done=done)
    return Faithfulness(Trials(necessary, left_out), Trials(sufficient, left_out), flips)


def _drawn(verdicts: Iterable[Verdict], bundle: str, sample: Sample) -> list[Verdict]:
    """A random sample of the verdicts on photos that could be read, in the order of the file."""
    usable: list[Verdict] = []
    for verdict in verdicts:
        if verdict.bundle != bundle:
            message = f'the verdict on "{verdict.photo}" is of bundle {verdict.bundle or "?"}, not of {bundle}.'
            raise DataError(Problem("LC656", message, advice="Give the bundle that predicted them, or predict again."))
        if verdict.answers:
            usable.append(verdict)
    rng = np.random.default_rng([sample.seed, 0])
    chosen = rng.permutation(len(usable))[: sample.size]
    return [usable[int(number)] for number in sorted(chosen)]


def _check_photos(verdicts: Sequence[Verdict], images: Path) -> None:
    problems = []
    for verdict in verdicts:
        try:
            same = sha256(images / verdict.photo) == verdict.sha256
        except PhotoError as error:
            problems.append(Problem("LC657", error.problems[0].message, relative(images / verdict.photo)))
            continue
        if not same:
            told = f'"{verdict.photo}" is another photo than the one that was predicted.'
            problems.append(Problem("LC657", told, relative(images / verdict.photo)))
    if problems:
        more = len(problems) - MOST
        rest = [Problem("LC657", f"and {more} more like these.", relative(images))] if more > 0 else []
        raise DataError([*problems[:MOST], *rest])


def _cases(spec: Spec, verdicts: Sequence[Verdict], seed: int) -> tuple[list[tuple[Case, Verdict]], int]:
    """A case of each verdict that has one, and how many have none."""
    rng = np.random.default_rng([seed, 1])
    drawn = [(draw_case(spec, verdict, rng), verdict) for verdict in verdicts]
    cases = [(case, verdict) for case, verdict in drawn if case is not None]
    return cases, len(drawn) - len(cases)
