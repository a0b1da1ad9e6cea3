"""The three tests of faithfulness on one bundle, its verdicts and their photos.

Does one edit of a good photo flip exactly the rule that it breaks, and leave every other as it was?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.data.coco import Dataset
from logicls.data.image_io import read_photo, sha256
from logicls.data.segmentation import read_outlines
from logicls.errors import DataError, PhotoError, Problem, relative
from logicls.evaluation.necessity import Case, Trial, Trials, draw_case, try_cases
from logicls.io.resources import share
from logicls.predict.readers.protocol import Reader
from logicls.records import Answer, Scene, Verdict
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import load_balance_settings
from logicls.synth.violation_sampler import EditedPhoto, ViolationSampler

TRIES = 8
"""Photos that are tried for a violation before it is left out."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A good photo and the same photo after an edit."""

    violation: str
    before: EditedPhoto
    after: EditedPhoto


def draw_flips(drafter: ViolationSampler, count: int, seed: int) -> Iterator[Flip | None]:
    """So many edits, each violation as often as any other; None for one that no photo of some allowed."""
    names = drafter.spec.violations
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if number % len(names) == 0:
            order = np.random.default_rng([seed, number, 1]).permutation(len(names))
        yield _draw_pair(drafter, names[int(order[number % len(names)])], rng)


def _draw_pair(drafter: ViolationSampler, violation: str, rng: np.random.Generator) -> Flip | None:
    for _ in range(TRIES):
        before = drafter.select_photo(rng.random())
        after = drafter.add_violation(before, violation, rng)
        if after is not None:
            return Flip(violation, before, after)
    return None


def try_flips(
    reader: Reader,
    drafter: ViolationSampler,
    count: int,
    *,
    seed: int,
    batch: int = 16,
    done: Callable[[int], None] = lambda _: None,
) -> Trials:
    """Look at good photos before and after edits that `drafter` makes of them, `batch` at a time."""
    trials: list[Trial] = []
    drawn = draw_flips(drafter, count, seed)
    left_out = 0
    for start in range(0, count, batch):
        size = min(batch, count - start)
        flips = [flip for _, flip in zip(range(size), drawn, strict=False) if flip is not None]
        left_out += size - len(flips)
        trials += _tried(reader, flips)
        done(size)
    return Trials(tuple(trials), left_out)


def _tried(reader: Reader, flips: Sequence[Flip]) -> Iterator[Trial]:
    spec = reader.bundle.spec
    drafts = [draft for flip in flips for draft in (flip.before, flip.after)]
    looks = reader.predict_pixels([draft.canvas.photo for draft in drafts]) if drafts else []
    read = [broken(spec, one.answers, draft.canvas.scene) for one, draft in zip(looks, drafts, strict=True)]
    true = [broken(spec, compute_answers(spec, draft.canvas.scene), draft.canvas.scene) for draft in drafts]
    for number, flip in enumerate(flips):
        was, now = read[2 * number : 2 * number + 2]
        meant = true[2 * number] ^ true[2 * number + 1]
        told = f"{flip.before.canvas.scene.photo}: {flip.violation}"
        yield Trial(_family(spec, flip), told, was ^ now == meant)


def broken(spec: Spec, answers: tuple[Answer, ...], scene: Scene) -> frozenset[str]:
    """Ids of the constraints that the answers break."""
    findings = evaluate(spec, index_answers(answers), scene.width, scene.height)
    return frozenset(finding.constraint for finding in findings if finding.status == "broken")


def _family(spec: Spec, flip: Flip) -> str:
    families = {constraint.id: constraint.family for constraint in spec.constraints}
    return families[flip.after.edits[-1].constraint]


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
        drafter = ViolationSampler(
            reader.bundle.spec,
            InstanceBank(data, read_outlines(data)),
            load_balance_settings(share("synth/balance.yaml")),
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
