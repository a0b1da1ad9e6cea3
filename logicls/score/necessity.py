"""Are the boxes that an answer cites really what it rests on?

*Necessity*: what was cited is blanked, and the answer must change. *Sufficiency*: nothing but what was cited is kept,
and the answer must stay. The two tests of an explanation are those of comprehensiveness and sufficiency (DeYoung et
al., "ERASER", ACL 2020), here on answers, which are right or not, in place of probabilities.

What is fair depends on the question. Where a thing is: one of the things found is blanked, the count must fall by one,
and none may be found there; things that overlap cannot be blanked one by one and go all together. What it is like:
the thing is blanked, and its value must be read no more, or another. Answers that cite nothing, and things that are
nearly the whole photo, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logicls.constraints.decompose import located_by
from logicls.constraints.spec import Spec
from logicls.predict.read.reader import Reader
from logicls.records import Answer, Box, Subquery, Verdict
from logicls.score.blank import blanked, kept
from logicls.score.evidence import cited
from logicls.score.trial import Trial
from logicls.synth.pixels import Photo

Rng = np.random.Generator
SAME = 0.5
"""Intersection over union from which on two boxes are of the same thing."""
APART = 0.05
"""Share of a thing that may lie under others of its kind for it to be blanked by itself."""
MOST = 0.6
"""Share of the photo that may be blanked: beyond it there is no ground to blank it with."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer that is put to the test."""

    photo: str
    query: Subquery
    answer: Answer
    cited: tuple[Box, ...]
    """The boxes that the answer speaks of, in reading order."""
    blank: tuple[int, ...]
    """Which of them are blanked."""


def draw_case(spec: Spec, verdict: Verdict, rng: Rng) -> Case | None:
    """One answer of a verdict, of either kind as likely; None where none cites anything that can be blanked.

    One a photo: cases on one photo would not be independent, and the interval of their share too narrow.
    """
    answers = {answer.query: answer for answer in verdict.answers}
    cases: dict[str, list[Case]] = {}
    for query in spec.questions:
        answer, boxes = answers.get(query.id), cited(verdict, query.id)
        if answer is None or not answer.readable or not boxes:
            continue
        blank = _drawn(boxes, rng)
        area = sum(boxes[number].area for number in blank)
        if area <= MOST * verdict.width * verdict.height:
            cases.setdefault(query.kind, []).append(Case(verdict.photo, query, answer, boxes, blank))
    if not cases:
        return None
    some = cases[sorted(cases)[int(rng.integers(len(cases)))]]
    return some[int(rng.integers(len(some)))]


def _drawn(boxes: Sequence[Box], rng: Rng) -> tuple[int, ...]:
    """One that lies by itself; all of them where there is none."""
    free = [
        number
        for number, box in enumerate(boxes)
        if all(box.covered_by(other) <= APART for k, other in enumerate(boxes) if k != number)
    ]
    return (free[int(rng.integers(len(free)))],) if free else tuple(range(len(boxes)))


def try_cases(
    reader: Reader,
    cases: Sequence[tuple[Case, Verdict]],
    photo: Callable[[str], Photo],
    *,
    seed: int,
    batch: int = 16,
    done: Callable[[int], None] = lambda _: None,
) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """Necessity and sufficiency of each case, by looking at the photo twice more.

    Args:
        reader: Whose verdicts they are.
        cases: Each with the verdict that it was drawn from.
        photo: Gives the pixels of a photo by its name.
        seed: Draws the ground that is put in the place of what is blanked.
        batch: Cases at a time.
        done: Told how many cases were finished.
    """
    necessary: list[Trial] = []
    sufficient: list[Trial] = []
    for start in range(0, len(cases), batch):
        some, rng = cases[start : start + batch], np.random.default_rng([seed, start])
        shown = [variant for case, verdict in some for variant in _variants(case, verdict, photo(case.photo), rng)]
        looks = [{a.query: a for a in look.answers} for look in reader.look(shown)]
        for (case, _), without, alone in zip(some, looks[::2], looks[1::2], strict=True):
            told = f"{case.photo}: {case.query.id}"
            necessary.append(Trial(case.query.kind, told, is_gone(case, without)))
            sufficient.append(Trial(case.query.kind, told, is_kept(case, alone)))
        done(len(some))
    return tuple(necessary), tuple(sufficient)


def _variants(case: Case, verdict: Verdict, photo: Photo, rng: Rng) -> Iterator[Photo]:
    """The photo with what is cited blanked, and with nothing else kept."""
    chosen = [case.cited[number] for number in case.blank]
    others = [box for answer in verdict.answers for box in answer.boxes if box not in chosen]
    yield blanked(photo, chosen, others, rng)
    yield kept(photo, case.cited)


def is_gone(case: Case, answers: Mapping[str, Answer]) -> bool:
    """Whether the answer has changed as it must once the blanked things are not to be seen."""
    chosen = [case.cited[number] for number in case.blank]
    if case.query.kind == "locate":
        found = answers[case.query.id].boxes
        still = any(one.iou(box) >= SAME for one in found for box in chosen)
        return not still and len(found) == len(case.cited) - len(chosen)
    where = answers[located_by(case.query.id)].boxes
    values = answers[case.query.id].values
    for number in case.blank:
        now = [value for box, value in zip(where, values, strict=False) if box.iou(case.cited[number]) >= SAME]
        if case.answer.values[number : number + 1] == tuple(now[:1]) and now:
            return False
    return True


def is_kept(case: Case, answers: Mapping[str, Answer]) -> bool:
    """Whether the answer is what it was: as many things in the same places, or the same values."""
    now = answers[case.query.id]
    if case.query.kind != "locate":
        return now.readable and now.values == case.answer.values
    found = all(any(box.iou(one) >= SAME for one in now.boxes) for box in case.cited)
    return found and len(now.boxes) == len(case.cited)
