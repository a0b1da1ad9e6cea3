"""Necessity and sufficiency tests: do answers depend on the boxes that they cite?

*Necessity*: the cited boxes are blanked, and the answer must change. *Sufficiency*: everything but the cited boxes is
blurred, and the answer must stay. They are the tests of comprehensiveness and sufficiency of explanations (DeYoung et
al., "ERASER", ACL 2020), on answers, which are correct or not, instead of probabilities.

The condition depends on the query. *Locate*: one of the instances is blanked; the count must fall by one, and nothing
may be detected there. Instances that overlap are blanked together. *Attribute*: the instance is blanked; its value must
be missing or another one. Answers without citations are ignored, and so are instances that cover most of the photo.

A box is blanked by inpainting it with the background around it, like synthesis removes instances: an eighth of its size
beyond the box is replaced as well. A patch of uniform colour was tried and is an object by itself: a dark red patch in
a bottle is read as red juice. The rest of the photo is blurred until no component can be recognised while illumination
and colours stay those of the photo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.constraints.families.angles import ANGLE_STEP, are_close, period_of_options
from logicls.constraints.spec.models import Spec
from logicls.evaluation.evidence import FaithfulnessTrial, cited_boxes
from logicls.predict.readers.protocol import Reader, predict_arrays
from logicls.records import Answer, Box, Subquery, Verdict
from logicls.synth.image_ops import Photo, alpha_blend, pixel_bounds
from logicls.synth.inpainting import inpaint

MARGIN, MIN_MARGIN = 0.08, 4
"""Margin around a cited box that stays sharp, as a share of its sides and at least in pixels: an edge has two sides."""
BLUR_SHARE = 0.15
"""Standard deviation of the blur, as a share of the photo's smaller side."""
BLUR_SIZE = 128
"""Smaller side of the copy that is blurred, pixels: a larger one would look the same."""


def blank_boxes(photo: Photo, boxes: Sequence[Box], others: Sequence[Box], rng: np.random.Generator) -> Photo:
    """Inpaint the boxes without sampling the background from `others`, unless these contain the box."""
    for box in boxes:
        x1, y1, x2, y2 = pixel_bounds(box, photo)
        obstacles = [other for other in others if box.ioa(other) < 0.5]
        photo = inpaint(photo, box, np.ones((y2 - y1, x2 - x1), np.float32), rng, obstacles=obstacles)
    return photo


def blur_outside(photo: Photo, boxes: Sequence[Box]) -> Photo:
    """Blur everything but the boxes and a margin around them."""
    height, width = photo.shape[:2]
    sharp = np.zeros((height, width), np.float32)
    for box in boxes:
        dx, dy = max(MARGIN * box.width, MIN_MARGIN), max(MARGIN * box.height, MIN_MARGIN)
        x1, y1, x2, y2 = pixel_bounds(Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy), photo)
        sharp[y1:y2, x1:x2] = 1
    alpha = cv2.GaussianBlur(sharp, (0, 0), MIN_MARGIN / 3)
    return alpha_blend(_blur(photo), photo, alpha)


def _blur(photo: Photo) -> Photo:
    height, width = photo.shape[:2]
    scale = min(BLUR_SIZE / min(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), BLUR_SHARE * min(size))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


Rng = np.random.Generator
MIN_IOU = 0.5
"""Intersection over union from which on two boxes are of the same instance."""
MAX_OVERLAP = 0.05
"""Share of an instance that may lie under others of its component for it to be blanked alone."""
MAX_BLANK_SHARE = 0.6
"""Share of the photo that may be blanked: beyond it there is no background to inpaint with."""


@dataclass(frozen=True, slots=True)
class CitationCase:
    """An answer and the boxes that the tests blank or keep."""

    photo: str
    query: Subquery
    answer: Answer
    boxes: tuple[Box, ...]
    """Cited boxes, in reading order."""
    blank_numbers: tuple[int, ...]
    """Indices of the boxes that are blanked."""

    @property
    def blank_boxes(self) -> list[Box]:
        """Boxes that are blanked."""
        return [self.boxes[number] for number in self.blank_numbers]


def draw_case(spec: Spec, verdict: Verdict, rng: Rng) -> CitationCase | None:
    """Draw one answer of a verdict, each kind of query with equal probability; None without a suitable citation.

    One case per photo: several would not be independent, and the confidence interval too narrow.
    """
    answers = {answer.query: answer for answer in verdict.answers}
    cases: dict[str, list[CitationCase]] = {}
    for query in spec.queries:
        answer, boxes = answers.get(query.id), cited_boxes(verdict, query.id)
        if answer is None or not answer.readable or not boxes:
            continue
        numbers = _draw_boxes(boxes, rng)
        area = sum(boxes[number].area for number in numbers)
        if area <= MAX_BLANK_SHARE * verdict.width * verdict.height:
            cases.setdefault(query.kind, []).append(CitationCase(verdict.photo, query, answer, boxes, numbers))
    if not cases:
        return None
    same_kind = cases[sorted(cases)[int(rng.integers(len(cases)))]]
    return same_kind[int(rng.integers(len(same_kind)))]


def _draw_boxes(boxes: Sequence[Box], rng: Rng) -> tuple[int, ...]:
    """Draw the index of one box that does not overlap others; all indices if there is none."""
    separate = [
        number
        for number, box in enumerate(boxes)
        if all(box.ioa(other) <= MAX_OVERLAP for k, other in enumerate(boxes) if k != number)
    ]
    return (separate[int(rng.integers(len(separate)))],) if separate else tuple(range(len(boxes)))


def run_citation_trials(
    reader: Reader,
    cases: Sequence[tuple[CitationCase, Verdict]],
    read_photo: Callable[[str], Photo],
    *,
    seed: int,
    batch: int = 16,
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[tuple[FaithfulnessTrial, ...], tuple[FaithfulnessTrial, ...]]:
    """Run the necessity and the sufficiency trial of each case: two predictions of the photo.

    Args:
        reader: Reader of the verdicts' bundle.
        cases: Each with the verdict that it was drawn from.
        read_photo: Return the pixels of a photo by its name.
        seed: Seed of the inpainting.
        batch: Number of cases at a time.
        on_progress: Called with the number of cases that were finished.
    """
    necessity: list[FaithfulnessTrial] = []
    sufficiency: list[FaithfulnessTrial] = []
    for start in range(0, len(cases), batch):
        chunk, rng = cases[start : start + batch], np.random.default_rng([seed, start])
        photos = [variant for case, verdict in chunk for variant in _variants(case, verdict, read_photo, rng)]
        answers = [{a.query: a for a in one.answers} for one in predict_arrays(reader, photos)]
        for (case, _), blanked, blurred in zip(chunk, answers[::2], answers[1::2], strict=True):
            description = f"{case.photo}: {case.query.id}"
            necessity.append(FaithfulnessTrial(case.query.kind, description, is_answer_lost(case, blanked)))
            sufficiency.append(FaithfulnessTrial(case.query.kind, description, is_answer_unchanged(case, blurred)))
        on_progress(len(chunk))
    return tuple(necessity), tuple(sufficiency)


def _variants(case: CitationCase, verdict: Verdict, read_photo: Callable[[str], Photo], rng: Rng) -> Iterator[Photo]:
    """Yield the photo with the chosen boxes blanked, then the one with everything but the cited boxes blurred."""
    photo = read_photo(case.photo)
    others = [box for answer in verdict.answers for box in answer.boxes if box not in case.blank_boxes]
    yield blank_boxes(photo, case.blank_boxes, others, rng)
    yield blur_outside(photo, case.boxes)


def is_answer_lost(case: CitationCase, answers: Mapping[str, Answer]) -> bool:
    """Return whether the answer changed as it must without the blanked instances."""
    if case.query.kind == "locate":
        boxes = answers[case.query.id].boxes
        is_detected = any(one.iou(box) >= MIN_IOU for one in boxes for box in case.blank_boxes)
        return not is_detected and len(boxes) == len(case.boxes) - len(case.blank_numbers)
    boxes = answers[locate_query_id(case.query.id)].boxes
    values = answers[case.query.id].values
    for number in case.blank_numbers:
        now = [value for box, value in zip(boxes, values, strict=False) if box.iou(case.boxes[number]) >= MIN_IOU]
        if now and _is_same(case.query, case.answer.values[number : number + 1], now[:1]):
            return False
    return True


def is_answer_unchanged(case: CitationCase, answers: Mapping[str, Answer]) -> bool:
    """Return whether the answer is the same: as many instances at the same locations, or the same values."""
    now = answers[case.query.id]
    if case.query.kind != "locate":
        return now.readable and _is_same(case.query, now.values, case.answer.values)
    is_matched = all(any(box.iou(one) >= MIN_IOU for one in now.boxes) for box in case.boxes)
    return is_matched and len(now.boxes) == len(case.boxes)


def _is_same(query: Subquery, values: Sequence[str], others: Sequence[str]) -> bool:
    """Check if values are equal; angles may differ by a step of the model's grid."""
    if query.kind == "orientation":
        return are_close(values, others, period_of_options(query.options), ANGLE_STEP)
    return tuple(values) == tuple(others)
