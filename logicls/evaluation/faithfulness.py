"""Faithfulness tests of a bundle's citations: necessity, sufficiency, and counterfactual edits of good photos.

The counterfactual test edits a good photo so that one rule is broken: the prediction must change exactly the rules that
the edit changes.
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
from logicls.evaluation.evidence import Faithfulness, FaithfulnessTest, FaithfulnessTrial, TrialSample
from logicls.evaluation.necessity import CitationCase, draw_case, run_citation_trials
from logicls.io.resources import resource_path
from logicls.predict.readers.protocol import Reader, predict_arrays
from logicls.records import Answer, Scene, Verdict
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import load_balance_settings
from logicls.synth.violation_sampler import EditedPhoto, ViolationSampler

MAX_ATTEMPTS = 8
"""Photos that are tried for a violation."""
MAX_NAMED = 20
"""Invalid photos that are listed."""
OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class CounterfactualPair:
    """Good photo before and after an edit that adds a violation."""

    violation: str
    before: EditedPhoto
    after: EditedPhoto


def draw_counterfactuals(sampler: ViolationSampler, count: int, seed: int) -> Iterator[CounterfactualPair | None]:
    """Draw `count` edits, each violation equally often; None for a violation that none of the tried photos allows."""
    names = sampler.spec.violations
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if number % len(names) == 0:
            order = np.random.default_rng([seed, number, 1]).permutation(len(names))
        yield _draw_pair(sampler, names[int(order[number % len(names)])], rng)


def _draw_pair(sampler: ViolationSampler, violation: str, rng: np.random.Generator) -> CounterfactualPair | None:
    for _ in range(MAX_ATTEMPTS):
        before = sampler.select_photo(rng.random())
        after = sampler.add_violation(before, violation, rng)
        if after is not None:
            return CounterfactualPair(violation, before, after)
    return None


def run_counterfactual_trials(
    reader: Reader,
    sampler: ViolationSampler,
    count: int,
    *,
    seed: int,
    batch: int = 16,
    on_progress: OnProgress = lambda _: None,
) -> FaithfulnessTest:
    """Predict good photos before and after edits of the `sampler`, `batch` edits at a time."""
    trials: list[FaithfulnessTrial] = []
    pairs = draw_counterfactuals(sampler, count, seed)
    ignored = 0
    for start in range(0, count, batch):
        size = min(batch, count - start)
        chunk = [pair for _, pair in zip(range(size), pairs, strict=False) if pair is not None]
        ignored += size - len(chunk)
        trials += _evaluate_pairs(reader, chunk)
        on_progress(size)
    return FaithfulnessTest(tuple(trials), ignored)


def _evaluate_pairs(reader: Reader, pairs: Sequence[CounterfactualPair]) -> Iterator[FaithfulnessTrial]:
    spec = reader.bundle.spec
    canvases = [draft.canvas for pair in pairs for draft in (pair.before, pair.after)]
    predictions = predict_arrays(reader, [canvas.photo for canvas in canvases]) if canvases else []
    predicted = [
        broken_constraints(spec, one.answers, canvas.scene) for one, canvas in zip(predictions, canvases, strict=True)
    ]
    true = [broken_constraints(spec, compute_answers(spec, canvas.scene), canvas.scene) for canvas in canvases]
    for number, pair in enumerate(pairs):
        before, after = predicted[2 * number : 2 * number + 2]
        expected_change = true[2 * number] ^ true[2 * number + 1]
        description = f"{pair.before.canvas.scene.photo}: {pair.violation}"
        yield FaithfulnessTrial(_edited_family(spec, pair), description, before ^ after == expected_change)


def broken_constraints(spec: Spec, answers: tuple[Answer, ...], scene: Scene) -> frozenset[str]:
    """Return the ids of the constraints that the answers break."""
    findings = evaluate(spec, index_answers(answers), scene.width, scene.height)
    return frozenset(finding.constraint for finding in findings if finding.status == "broken")


def _edited_family(spec: Spec, pair: CounterfactualPair) -> str:
    families = {constraint.id: constraint.family for constraint in spec.constraints}
    return families[pair.after.edits[-1].constraint]


def measure_faithfulness(
    reader: Reader,
    verdicts: Iterable[Verdict],
    images: Path,
    sample: TrialSample,
    *,
    data: Dataset | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Faithfulness:
    """Run the tests on a sample of a bundle's verdicts, and on edits of annotated photos of good products.

    Args:
        reader: Reader of the bundle.
        verdicts: Verdicts of the bundle.
        images: Folder of the predicted photos.
        sample: Size and seed.
        data: Annotated photos of good products; without them there is no counterfactual test.
        on_progress: Called with the number of trials that were finished, at most twice the sample's size in total.

    Raises:
        DataError: The verdicts are of another bundle (LC656), or photos are missing or have changed (LC657).
    """
    sampled_verdicts = _draw_verdicts(verdicts, reader.bundle.id, sample)
    _check_photos(sampled_verdicts, images)
    cases, ignored = _draw_cases(reader.bundle.spec, sampled_verdicts, sample.seed)
    necessity, sufficiency = run_citation_trials(
        reader,
        cases,
        lambda name: read_photo(images / name),
        seed=sample.seed,
        batch=sample.batch,
        on_progress=on_progress,
    )
    on_progress(sample.size - len(cases))
    counterfactual = None
    if data is not None:
        sampler = ViolationSampler(
            reader.bundle.spec,
            InstanceBank(data, read_segmentations(data)),
            load_balance_settings(resource_path("synth/balance.yaml")),
        )
        counterfactual = run_counterfactual_trials(
            reader, sampler, sample.size, seed=sample.seed, batch=sample.batch, on_progress=on_progress
        )
    return Faithfulness(FaithfulnessTest(necessity, ignored), FaithfulnessTest(sufficiency, ignored), counterfactual)


def _draw_verdicts(verdicts: Iterable[Verdict], bundle: str, sample: TrialSample) -> list[Verdict]:
    """Draw a random sample of the verdicts with answers, in the order of the file. Raises `DataError` (LC656)."""
    usable: list[Verdict] = []
    for verdict in verdicts:
        if verdict.bundle != bundle:
            message = f'the verdict of "{verdict.photo}" is of bundle {verdict.bundle or "?"}, not of {bundle}.'
            raise DataError(Problem("LC656", message, advice="Use the bundle of the verdicts, or predict again."))
        if verdict.answers:
            usable.append(verdict)
    rng = np.random.default_rng([sample.seed, 0])
    chosen = rng.permutation(len(usable))[: sample.size]
    return [usable[int(number)] for number in sorted(chosen)]


def _check_photos(verdicts: Sequence[Verdict], images: Path) -> None:
    problems = []
    for verdict in verdicts:
        try:
            is_same = file_sha256(images / verdict.photo) == verdict.sha256
        except PhotoError as error:
            problems.append(Problem("LC657", error.problems[0].message, relative_path(images / verdict.photo)))
            continue
        if not is_same:
            message = f'"{verdict.photo}" is not the photo that was predicted: its SHA-256 differs.'
            problems.append(Problem("LC657", message, relative_path(images / verdict.photo)))
    if problems:
        more = len(problems) - MAX_NAMED
        message = f"{more} more photos are missing or have changed."
        rest = [Problem("LC657", message, relative_path(images))] if more > 0 else []
        raise DataError([*problems[:MAX_NAMED], *rest])


def _draw_cases(spec: Spec, verdicts: Sequence[Verdict], seed: int) -> tuple[list[tuple[CitationCase, Verdict]], int]:
    """Draw a case of each verdict, and count the verdicts without one."""
    rng = np.random.default_rng([seed, 1])
    pairs = [(draw_case(spec, verdict, rng), verdict) for verdict in verdicts]
    cases = [(case, verdict) for case, verdict in pairs if case is not None]
    return cases, len(pairs) - len(cases)
