"""Photo cards as embedded in the page: texts as JSON, thumbnails as WebP in base64, decoded when displayed."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from logicls.evaluation import Truth
from logicls.plugins.reasoning.reinspection_result import reinspection_of
from logicls.plugins.retrieval.knowledge import documents_of
from logicls.predict.serialization import result_id
from logicls.records import Box, Heatmap, Verdict
from logicls.report.card_view import (
    EvidenceBox,
    OrientationArrow,
    RuleRow,
    build_card,
    describe_second_look,
    open_photo,
    place_overlays,
)

THUMBNAIL_SIDES = ((200, 640, 640), (1000, 420, 420))
"""Largest number of cards; longer side of their thumbnails, and of those of photos that pass, pixels."""
SMALLEST_SIDES = (320, 220)
"""Sides for more cards: a page of 5,000 cards has about 40 MB."""
WEBP_QUALITY, WEBP_METHOD = 70, 2
"""WebP settings: half the bytes of a JPEG of the same visual quality, in 3 ms."""
TAG_SIZE = (44.0, 38.0)
"""Width and height of a box's number tag, if the photo's longer side is 1000."""
WORKERS, CHUNK = 2, 32
STATUSES = ("broken", "unknown", "holds", "not_applicable")


@dataclass(frozen=True, slots=True)
class EmbeddedCard:
    """Data of one photo in the page."""

    record: str
    """Texts and boxes as JSON."""
    thumbnail: str
    """WebP image in base64; empty if the photo cannot be opened."""


def thumbnail_sides(cards: int) -> tuple[int, int]:
    """Return the longer side of thumbnails, and of those of passing photos, that keep the page small enough."""
    return next(((side, passing) for max_cards, side, passing in THUMBNAIL_SIDES if cards <= max_cards), SMALLEST_SIDES)


def embed_cards(verdicts: Sequence[Verdict], photos: Path, truth: Truth) -> Iterator[EmbeddedCard]:
    """Yield the embedded card of each verdict, in order; thumbnails are encoded ahead in threads."""
    sides = thumbnail_sides(len(verdicts))
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(verdicts), CHUNK):
            chunk = verdicts[start : start + CHUNK]
            thumbnails = pool.map(lambda v: _encode_thumbnail(v, photos, sides[v.outcome == "pass"]), chunk)
            for verdict, thumbnail in zip(chunk, thumbnails, strict=True):
                yield EmbeddedCard(to_script_json(_card_record(verdict, truth)), thumbnail)


def build_index(verdicts: Sequence[Verdict], truth: Truth) -> dict[str, object]:
    """Return the columns for filtering, searching and sorting, with one entry per card."""
    names = sorted({name for verdict in verdicts for name in verdict.violations})
    violation_indices = {name: place for place, name in enumerate(names)}
    second_looks = [int(reinspection_of(v) is not None) for v in verdicts]
    return {
        **({"secondLook": second_looks} if any(second_looks) else {}),
        "violations": names,
        "photo": [v.photo for v in verdicts],
        "result": [result_id(v) for v in verdicts],
        "outcome": [v.outcome for v in verdicts],
        "score": [round(v.score, 4) for v in verdicts],
        "broken": [[violation_indices[name] for name in v.violations] for v in verdicts],
        "wrong": [int(v.photo in truth and set(truth[v.photo]) != set(v.violations)) for v in verdicts],
    }


def to_script_json(record: object) -> str:
    """Return JSON that is safe in a `<script>` element: nothing in it can end the element."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _card_record(verdict: Verdict, truth: Truth) -> dict[str, object]:
    """Return the data of one card; rules and questions are ids, whose texts the page contains once."""
    card = build_card(verdict, spec_lines={}, questions={})
    scale = 1000 / max(verdict.width, verdict.height, 1)
    record: dict[str, object] = {
        "seconds": round(verdict.seconds, 4),
        "size": [round(verdict.width * scale, 1), round(verdict.height * scale, 1)],
        "sha256": verdict.sha256,
        "reasons": card.reasons,
        "stated": card.stated,
        "consistent": card.is_consistent,
        "rules": [_rule_record(rule) for rule in (*card.broken, *card.unknown, *card.others)],
        "answers": [
            [a.number, a.query, a.answer, round(a.confidence, 3), int(a.is_broken), int(a.is_readable)]
            for a in card.answers
        ],
        "boxes": _mark_records(card.marks, scale, (verdict.width * scale, verdict.height * scale)),
    }
    record |= {"arrows": [_arrow_record(arrow, scale) for arrow in card.arrows]} if card.arrows else {}
    record |= {"heatmaps": [_heatmap_record(*one, scale) for one in card.heatmaps]} if card.heatmaps else {}
    documents = documents_of(verdict)
    record |= {"documents": documents} if documents else {}
    second_look = describe_second_look(verdict)
    record |= {"secondLook": [second_look.reasoner, second_look.change, second_look.detail]} if second_look else {}
    return record | ({"truth": sorted(truth[verdict.photo])} if verdict.photo in truth else {})


def _rule_record(rule: RuleRow) -> list[object]:
    """Return a rule as a list; texts that only violated and unevaluated rules show are empty for others."""
    names = [rule.name, rule.expected] if rule.status in ("broken", "unknown") else ["", ""]
    return [rule.constraint, STATUSES.index(rule.status), *names, rule.found, rule.questions, round(rule.confidence, 2)]


def _mark_records(marks: Sequence[EvidenceBox], scale: float, size: tuple[float, float]) -> list[list[float]]:
    """Return question number, is_broken, box, and top left corner of the number tag, in drawing order."""
    overlays = place_overlays(marks, scale=scale, size=size, tag=TAG_SIZE)
    return [
        [m.number, int(m.is_broken), *(round(v, 1) for v in (*_visible_box(m.box), m.tag.x1, m.tag.y1))]
        for m in overlays
    ]


def _heatmap_record(mark: EvidenceBox, heatmap: Heatmap, scale: float) -> list[object]:
    """Return question number, is_broken, x, y, width, height and angle of a heatmap, and its rows of digits."""
    box = heatmap.box
    place = (round(v * scale, 1) for v in (box.x1, box.y1, box.width, box.height))
    return [mark.question, int(mark.is_broken), *place, round(heatmap.angle, 1), list(heatmap.cells)]


def _arrow_record(arrow: OrientationArrow, scale: float) -> list[float]:
    """Return question number, is_broken, start and end of an arrow."""
    return [arrow.question, int(arrow.is_broken), *(round(v * scale, 1) for v in (*arrow.start, *arrow.end))]


def _visible_box(box: Box) -> tuple[float, float, float, float]:
    """Return left, top, width and height; at least 1 wide and high, so that the box is visible."""
    return box.x1, box.y1, max(box.width, 1.0), max(box.height, 1.0)


def _encode_thumbnail(verdict: Verdict, photos: Path, side: int) -> str:
    image = open_photo(photos / verdict.photo, verdict, side)
    if image is None:
        return ""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
    return base64.b64encode(stream.getvalue()).decode()
