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
from logicls.data.image_io import file_sha256, read_photo
from logicls.data.segmentation import read_segmentations
from logicls.errors import DataError, PhotoError, Problem, relative_path
from logicls.evaluation.necessity import (
    CitationCase,
    FaithfulnessTrial,
    FaithfulnessTest,
    draw_case,
    run_citation_trials,
)
from logicls.io.resources import resource_path
from logicls.predict.readers.protocol import Reader, predict_arrays
from logicls.records import Answer, Scene, Verdict
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import load_balance_settings
from logicls.synth.violation_sampler import EditedPhoto, ViolationSampler

MAX_ATTEMPTS = 8
"""Photos that are tried for a violation before it is left out."""


@dataclass(frozen=True, slots=True)
class CounterfactualPair:
    """A good photo and the same photo after an edit."""

    violation: str
    before: EditedPhoto
    after: EditedPhoto


def draw_counterfactuals(drafter: ViolationSampler, count: int, seed: int) -> Iterator[CounterfactualPair | None]:
    """So many edits, each violation as often as any other; None for one that no photo of some allowed."""
    names = drafter.spec.violations
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if number % len(names) == 0:
            order = np.random.default_rng([seed, number, 1]).permutation(len(names))
        yield _draw_pair(drafter, names[int(order[number % len(names)])], rng)


def _draw_pair(drafter: ViolationSampler, violation: str, rng: np.random.Generator) -> CounterfactualPair | None:
    for _ in range(MAX_ATTEMPTS):
        before = drafter.select_photo(rng.random())
        after = drafter.add_violation(before, violation, rng)
        if after is not None:
            return CounterfactualPair(violation, before, after)
    return None


def run_counterfactual_trials(
    reader: Reader,
    drafter: ViolationSampler,
    count: int,
    *,
    seed: int,
    batch: int = 16,
    on_progress: Callable[[int], None] = lambda _: None,
) -> FaithfulnessTest:
    """Look at good photos before and after edits that `drafter` makes of them, `batch` at a time."""
    trials: list[FaithfulnessTrial] = []
    drawn = draw_counterfactuals(drafter, count, seed)
    left_out = 0
    for start in range(0, count, batch):
        size = min(batch, count - start)
        flips = [flip for _, flip in zip(range(size), drawn, strict=False) if flip is not None]
        left_out += size - len(flips)
        trials += _evaluate_pairs(reader, flips)
        on_progress(size)
    return FaithfulnessTest(tuple(trials), left_out)


def _evaluate_pairs(reader: Reader, flips: Sequence[CounterfactualPair]) -> Iterator[FaithfulnessTrial]:
    spec = reader.bundle.spec
    drafts = [draft for flip in flips for draft in (flip.before, flip.after)]
    looks = predict_arrays(reader, [draft.canvas.photo for draft in drafts]) if drafts else []
    read = [broken_constraints(spec, one.answers, draft.canvas.scene) for one, draft in zip(looks, drafts, strict=True)]
    true = [broken_constraints(spec, compute_answers(spec, draft.canvas.scene), draft.canvas.scene) for draft in drafts]
    for number, flip in enumerate(flips):
        was, now = read[2 * number : 2 * number + 2]
        meant = true[2 * number] ^ true[2 * number + 1]
        told = f"{flip.before.canvas.scene.photo}: {flip.violation}"
        yield FaithfulnessTrial(_edited_family(spec, flip), told, was ^ now == meant)


def broken_constraints(spec: Spec, answers: tuple[Answer, ...], scene: Scene) -> frozenset[str]:
    """Ids of the constraints that the answers break."""
    findings = evaluate(spec, index_answers(answers), scene.width, scene.height)
    return frozenset(finding.constraint for finding in findings if finding.status == "broken")


def _edited_family(spec: Spec, flip: CounterfactualPair) -> str:
    families = {constraint.id: constraint.family for constraint in spec.constraints}
    return families[flip.after.edits[-1].constraint]


OnProgress = Callable[[int], None]
MAX_NAMED = 20
"""Photos that cannot be used which are named."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Whether cited boxes are what answers rest on."""

    necessity: FaithfulnessTest
    """What was cited is blanked: the answer must change."""
    sufficiency: FaithfulnessTest
    """Only what was cited is kept: the answer must stay."""
    counterfactual: FaithfulnessTest | None
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
class TrialSample:
    """Which trials are made."""

    size: int
    """Photos, and edits."""
    seed: int
    batch: int = 16
    """Trials at a time."""


def measure_faithfulness(
    reader: Reader,
    verdicts: Iterable[Verdict],
    images: Path,
    sample: TrialSample,
    *,
    data: Dataset | None = None,
    on_progress: OnProgress = lambda _: None,
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
    drawn = _draw_verdicts(verdicts, reader.bundle.id, sample)
    _check_photos(drawn, images)
    cases, left_out = _draw_cases(reader.bundle.spec, drawn, sample.seed)
    necessary, sufficient = run_citation_trials(
        reader,
        cases,
        lambda name: read_photo(images / name),
        seed=sample.seed,
        batch=sample.batch,
        on_progress=on_progress,
    )
    on_progress(sample.size - len(cases))
    flips = None
    if data is not None:
        drafter = ViolationSampler(
            reader.bundle.spec,
            InstanceBank(data, read_segmentations(data)),
            load_balance_settings(resource_path("synth/balance.yaml")),
        )
        flips = run_counterfactual_trials(
            reader, drafter, sample.size, seed=sample.seed, batch=sample.batch, on_progress=on_progress
        )
    return Faithfulness(FaithfulnessTest(necessary, left_out), FaithfulnessTest(sufficient, left_out), flips)


def _draw_verdicts(verdicts: Iterable[Verdict], bundle: str, sample: TrialSample) -> list[Verdict]:
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
            same = file_sha256(images / verdict.photo) == verdict.sha256
        except PhotoError as error:
            problems.append(Problem("LC657", error.problems[0].message, relative_path(images / verdict.photo)))
            continue
        if not same:
            told = f'"{verdict.photo}" is another photo than the one that was predicted.'
            problems.append(Problem("LC657", told, relative_path(images / verdict.photo)))
    if problems:
        more = len(problems) - MAX_NAMED
        rest = [Problem("LC657", f"and {more} more like these.", relative_path(images))] if more > 0 else []
        raise DataError([*problems[:MAX_NAMED], *rest])


def _draw_cases(spec: Spec, verdicts: Sequence[Verdict], seed: int) -> tuple[list[tuple[CitationCase, Verdict]], int]:
    """A case of each verdict that has one, and how many have none."""
    rng = np.random.default_rng([seed, 1])
    drawn = [(draw_case(spec, verdict, rng), verdict) for verdict in verdicts]
    cases = [(case, verdict) for case, verdict in drawn if case is not None]
    return cases, len(drawn) - len(cases)
