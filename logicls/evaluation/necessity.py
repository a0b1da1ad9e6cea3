"""Are the boxes that an answer cites really what it rests on?

*Necessity*: what was cited is blanked, and the answer must change. *Sufficiency*: nothing but what was cited is kept,
and the answer must stay. The two tests of an explanation are those of comprehensiveness and sufficiency (DeYoung et
al., "ERASER", ACL 2020), here on answers, which are right or not, in place of probabilities.

What is fair depends on the question. Where a thing is: one of the things found is blanked, the count must fall by one,
and none may be found there; things that overlap cannot be blanked one by one and go all together. What it is like:
the thing is blanked, and its value must be read no more, or another. Answers that cite nothing, and things that are
nearly the whole photo, are left out.

What was tried, and how often it went as it must.

Photos on which a region is not to be seen, or nothing but it.

A region is blanked with the ground around it, as synthesis takes things away: an eighth of its size beyond the box goes
with it. A flat patch of the colours beside the box was tried, and was itself something to see: a dark red block in a
bottle is read as red juice. What is kept stands sharp in its photo out of focus: so much that no thing can be told any
more, while light and colours stay those of the photo.

The boxes that a verdict rests on, and those of its broken rules painted as an anomaly map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.constraints.spec.models import Spec
from logicls.evaluation.intervals import Rate, estimate_rate
from logicls.predict.readers.protocol import Reader, predict_arrays
from logicls.records import Answer, Box, Finding, Subquery, Verdict
from logicls.synth.image_ops import Photo, alpha_blend, pixel_bounds
from logicls.synth.inpainting import inpaint


@dataclass(frozen=True, slots=True)
class FaithfulnessTrial:
    """One thing that was tried."""

    kind: str
    """Of question or rule."""
    description: str
    """Photo and question or edit, for those who want to look."""
    has_passed: bool


@dataclass(frozen=True, slots=True)
class FaithfulnessTest:
    """One test of faithfulness."""

    trials: tuple[FaithfulnessTrial, ...]
    ignored_photos: int = 0
    """Photos with nothing to try."""

    @property
    def rate(self) -> Rate:
        """Trials that went as they must."""
        return estimate_rate(trial.has_passed for trial in self.trials)

    @property
    def rates_by_kind(self) -> tuple[tuple[str, Rate], ...]:
        """The same for each kind."""
        kinds = sorted({trial.kind for trial in self.trials})
        return tuple((kind, estimate_rate(t.has_passed for t in self.trials if t.kind == kind)) for kind in kinds)

    def to_json(self) -> dict[str, object]:
        """What metrics.json holds of it."""
        kinds = {kind: _rate_json(rate) for kind, rate in self.rates_by_kind}
        failed = [trial.description for trial in self.trials if not trial.has_passed]
        return {**_rate_json(self.rate), "left_out": self.ignored_photos, "kinds": kinds, "failed": failed}


def _rate_json(rate: Rate) -> dict[str, object]:
    return {"value": rate.value, "ci95": list(rate.ci95) if rate.ci95 else None, "n": rate.total}


MARGIN, MIN_MARGIN = 0.08, 4
"""Share of a box's sides, and pixels at the least, that are kept around it: an edge is seen from both of its sides."""
BLUR_SHARE = 0.15
"""Standard deviation of the blur, share of the photo's smaller side."""
BLUR_SIZE = 128
"""Pixels of the smaller side of the copy that is blurred: more would look the same."""


def blank_boxes(photo: Photo, boxes: Sequence[Box], others: Sequence[Box], rng: np.random.Generator) -> Photo:
    """The photo without what the boxes show. Nothing is learned about the ground from `others`.

    Boxes that the blanked ones lie in are not others: the ground is inside them.
    """
    for box in boxes:
        x1, y1, x2, y2 = pixel_bounds(box, photo)
        around = [other for other in others if box.ioa(other) < 0.5]
        photo = inpaint(photo, box, np.ones((y2 - y1, x2 - x1), np.float32), rng, obstacles=around)
    return photo


def blur_outside(photo: Photo, boxes: Sequence[Box]) -> Photo:
    """The photo in which only the boxes are in focus."""
    height, width = photo.shape[:2]
    share = np.zeros((height, width), np.float32)
    for box in boxes:
        dx, dy = max(MARGIN * box.width, MIN_MARGIN), max(MARGIN * box.height, MIN_MARGIN)
        x1, y1, x2, y2 = pixel_bounds(Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy), photo)
        share[y1:y2, x1:x2] = 1
    soft = cv2.GaussianBlur(share, (0, 0), MIN_MARGIN / 3)
    return alpha_blend(_out_of_focus(photo), photo, soft)


def _out_of_focus(photo: Photo) -> Photo:
    height, width = photo.shape[:2]
    shrink = min(BLUR_SIZE / min(height, width), 1.0)
    size = max(round(width * shrink), 1), max(round(height * shrink), 1)
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), BLUR_SHARE * min(size))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def cited_boxes(verdict: Verdict, query: str) -> tuple[Box, ...]:
    """The boxes that an answer speaks of: its own, or those of the things whose attribute it tells."""
    answers = {answer.query: answer for answer in verdict.answers}
    own = answers[query].boxes if query in answers else ()
    where = answers.get(locate_query_id(query))
    return own or (where.boxes if where else ())


def evidence_boxes(verdict: Verdict, finding: Finding) -> tuple[Box, ...]:
    """The boxes that a finding rests on, each once; none where it is about something that is not there."""
    return tuple(dict.fromkeys(box for query in finding.queries for box in cited_boxes(verdict, query)))


def draw_anomaly_map(verdict: Verdict, width: int, height: int) -> Float[np.ndarray, "height width"]:
    """The evidence of the broken rules, each painted with the probability that its answers are right; 0 elsewhere.

    Where boxes lie on one another the surest counts. The map has `width` x `height` pixels, whatever the size of the
    photo that was predicted.
    """
    out = np.zeros((height, width), np.float32)
    for box, chance in _scored_boxes(verdict):
        here = box.map_between(Box(0, 0, verdict.width, verdict.height), Box(0, 0, width, height)).clip(width, height)
        part = out[round(here.y1) : round(here.y2), round(here.x1) : round(here.x2)]
        np.maximum(part, chance, out=part)
    return out


def _scored_boxes(verdict: Verdict) -> Iterator[tuple[Box, float]]:
    for finding in verdict.findings:
        if finding.status == "broken":
            for box in evidence_boxes(verdict, finding):
                yield box, finding.confidence if finding.probability is None else finding.probability


Rng = np.random.Generator
MIN_IOU = 0.5
"""Intersection over union from which on two boxes are of the same thing."""
MAX_OVERLAP = 0.05
"""Share of a thing that may lie under others of its kind for it to be blanked by itself."""
MAX_BLANK_SHARE = 0.6
"""Share of the photo that may be blanked: beyond it there is no ground to blank it with."""


@dataclass(frozen=True, slots=True)
class CitationCase:
    """One answer that is put to the test."""

    photo: str
    query: Subquery
    answer: Answer
    boxes: tuple[Box, ...]
    """The boxes that the answer speaks of, in reading order."""
    blank_numbers: tuple[int, ...]
    """Which of them are blanked."""


def draw_case(spec: Spec, verdict: Verdict, rng: Rng) -> CitationCase | None:
    """One answer of a verdict, of either kind as likely; None where none cites anything that can be blanked.

    One a photo: cases on one photo would not be independent, and the interval of their share too narrow.
    """
    answers = {answer.query: answer for answer in verdict.answers}
    cases: dict[str, list[CitationCase]] = {}
    for query in spec.queries:
        answer, boxes = answers.get(query.id), cited_boxes(verdict, query.id)
        if answer is None or not answer.readable or not boxes:
            continue
        blank = _draw_boxes(boxes, rng)
        area = sum(boxes[number].area for number in blank)
        if area <= MAX_BLANK_SHARE * verdict.width * verdict.height:
            cases.setdefault(query.kind, []).append(CitationCase(verdict.photo, query, answer, boxes, blank))
    if not cases:
        return None
    some = cases[sorted(cases)[int(rng.integers(len(cases)))]]
    return some[int(rng.integers(len(some)))]


def _draw_boxes(boxes: Sequence[Box], rng: Rng) -> tuple[int, ...]:
    """One that lies by itself; all of them where there is none."""
    free = [
        number
        for number, box in enumerate(boxes)
        if all(box.ioa(other) <= MAX_OVERLAP for k, other in enumerate(boxes) if k != number)
    ]
    return (free[int(rng.integers(len(free)))],) if free else tuple(range(len(boxes)))


def run_citation_trials(
    reader: Reader,
    cases: Sequence[tuple[CitationCase, Verdict]],
    read_photo: Callable[[str], Photo],
    *,
    seed: int,
    batch: int = 16,
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[tuple[FaithfulnessTrial, ...], tuple[FaithfulnessTrial, ...]]:
    """Necessity and sufficiency of each case, by looking at the photo twice more.

    Args:
        reader: Whose verdicts they are.
        cases: Each with the verdict that it was drawn from.
        photo: Gives the pixels of a photo by its name.
        seed: Draws the ground that is put in the place of what is blanked.
        batch: Cases at a time.
        done: Told how many cases were finished.
    """
    necessary: list[FaithfulnessTrial] = []
    sufficient: list[FaithfulnessTrial] = []
    for start in range(0, len(cases), batch):
        some, rng = cases[start : start + batch], np.random.default_rng([seed, start])
        shown = [variant for case, verdict in some for variant in _variants(case, verdict, read_photo(case.photo), rng)]
        looks = [{a.query: a for a in look.answers} for look in predict_arrays(reader, shown)]
        for (case, _), without, alone in zip(some, looks[::2], looks[1::2], strict=True):
            told = f"{case.photo}: {case.query.id}"
            necessary.append(FaithfulnessTrial(case.query.kind, told, is_answer_lost(case, without)))
            sufficient.append(FaithfulnessTrial(case.query.kind, told, is_answer_unchanged(case, alone)))
        on_progress(len(some))
    return tuple(necessary), tuple(sufficient)


def _variants(case: CitationCase, verdict: Verdict, photo: Photo, rng: Rng) -> Iterator[Photo]:
    """The photo with what is cited blanked, and with nothing else kept."""
    chosen = [case.boxes[number] for number in case.blank_numbers]
    others = [box for answer in verdict.answers for box in answer.boxes if box not in chosen]
    yield blank_boxes(photo, chosen, others, rng)
    yield blur_outside(photo, case.boxes)


def is_answer_lost(case: CitationCase, answers: Mapping[str, Answer]) -> bool:
    """Whether the answer has changed as it must once the blanked things are not to be seen."""
    chosen = [case.boxes[number] for number in case.blank_numbers]
    if case.query.kind == "locate":
        found = answers[case.query.id].boxes
        still = any(one.iou(box) >= MIN_IOU for one in found for box in chosen)
        return not still and len(found) == len(case.boxes) - len(chosen)
    where = answers[locate_query_id(case.query.id)].boxes
    values = answers[case.query.id].values
    for number in case.blank_numbers:
        now = [value for box, value in zip(where, values, strict=False) if box.iou(case.boxes[number]) >= MIN_IOU]
        if case.answer.values[number : number + 1] == tuple(now[:1]) and now:
            return False
    return True


def is_answer_unchanged(case: CitationCase, answers: Mapping[str, Answer]) -> bool:
    """Whether the answer is what it was: as many things in the same places, or the same values."""
    now = answers[case.query.id]
    if case.query.kind != "locate":
        return now.readable and now.values == case.answer.values
    found = all(any(box.iou(one) >= MIN_IOU for one in now.boxes) for box in case.boxes)
    return found and len(now.boxes) == len(case.boxes)
