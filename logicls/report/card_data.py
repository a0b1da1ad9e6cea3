"""Cards as the page carries them: words as JSON, thumbnails as WebP in base64, each read when it is turned to."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from logicls.evaluation import Truth
from logicls.predict.serialization import result_id
from logicls.records import Box, Verdict
from logicls.report.card_view import Mark, Rule, card, looked, open_photo, overlays

SIDES = ((200, 640, 640), (1000, 420, 420))
"""Up to so many cards: longer side of a thumbnail, pixels, and of one of a photo that passes."""
SMALL = (320, 220)
"""The same beyond: a page of 5,000 stays at about 40 MB."""
QUALITY, EFFORT = 70, 2
"""Of WebP: half the bytes of a JPEG that looks alike, in 3 ms."""
TAG = (44.0, 38.0)
"""Width and height of a box's number where the photo's longer side is 1000."""
WORKERS, AHEAD = 2, 32
STATUSES = ("broken", "unknown", "holds", "not_applicable")


@dataclass(frozen=True, slots=True)
class Packed:
    """One photo's part of the page."""

    card: str
    """JSON."""
    picture: str
    """WebP in base64; empty where there is none."""


def sides_for(cards: int) -> tuple[int, int]:
    """Longer side of each thumbnail, and of those that pass, so that the page stays of a size that browsers take."""
    return next(((side, passing) for most, side, passing in SIDES if cards <= most), SMALL)


def packed(verdicts: Sequence[Verdict], photos: Path, truth: Truth) -> Iterator[Packed]:
    """A card each, in order; a few thumbnails are made ahead in threads."""
    sides = sides_for(len(verdicts))
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(verdicts), AHEAD):
            some = verdicts[start : start + AHEAD]
            pictures = pool.map(lambda v: _picture(v, photos, sides[v.outcome == "pass"]), some)
            for verdict, picture in zip(some, pictures, strict=True):
                yield Packed(as_script(_card(verdict, truth)), picture)


def index(verdicts: Sequence[Verdict], truth: Truth) -> dict[str, object]:
    """What filters, search and order need of every card: columns, a place a card."""
    names = sorted({name for verdict in verdicts for name in verdict.violations})
    places = {name: place for place, name in enumerate(names)}
    again = [int(v.second_look is not None) for v in verdicts]
    return {
        **({"looked": again} if any(again) else {}),
        "violations": names,
        "photo": [v.photo for v in verdicts],
        "result": [result_id(v) for v in verdicts],
        "outcome": [v.outcome for v in verdicts],
        "score": [round(v.score, 4) for v in verdicts],
        "broken": [[places[name] for name in v.violations] for v in verdicts],
        "wrong": [int(v.photo in truth and set(truth[v.photo]) != set(v.violations)) for v in verdicts],
    }


def as_script(record: object) -> str:
    """JSON that may stand in a `<script>`: nothing in it can end the element."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _card(verdict: Verdict, truth: Truth) -> dict[str, object]:
    """Everything that is said of one photo; rules and questions by their ids, whose words the page has once."""
    said = card(verdict, spec_lines={}, questions={})
    scale = 1000 / max(verdict.width, verdict.height, 1)
    record: dict[str, object] = {
        "seconds": round(verdict.seconds, 4),
        "size": [round(verdict.width * scale, 1), round(verdict.height * scale, 1)],
        "sha256": verdict.sha256,
        "reasons": said.reasons,
        "stated": said.stated,
        "agrees": said.agrees,
        "rules": [_rule(rule) for rule in (*said.broken, *said.unknown, *said.rest)],
        "asked": [
            [a.number, a.query, a.answer, round(a.confidence, 3), int(a.broken), int(a.readable)] for a in said.asked
        ],
        "marks": _marks(said.marks, scale, (verdict.width * scale, verdict.height * scale)),
    }
    record |= {"documents": verdict.documents} if verdict.documents else {}
    again = looked(verdict)
    record |= {"again": [again.by, again.change, again.told]} if again else {}
    return record | ({"truth": sorted(truth[verdict.photo])} if verdict.photo in truth else {})


def _rule(rule: Rule) -> list[object]:
    """What is not shown of a rule that is not broken is left out."""
    told = [rule.name, rule.expected] if rule.status in ("broken", "unknown") else ["", ""]
    return [rule.constraint, STATUSES.index(rule.status), *told, rule.found, rule.numbers, round(rule.confidence, 2)]


def _marks(marks: Sequence[Mark], scale: float, size: tuple[float, float]) -> list[list[float]]:
    """Number, whether broken, the box and the top left corner of its number's plate, as they are drawn."""
    drawn = overlays(marks, scale=scale, size=size, tag=TAG)
    return [[m.number, int(m.broken), *(round(v, 1) for v in (*_placed(m.box), m.tag.x1, m.tag.y1))] for m in drawn]


def _placed(box: Box) -> tuple[float, float, float, float]:
    """Left, top, width and height; never so thin that it cannot be seen."""
    return box.x1, box.y1, max(box.width, 1.0), max(box.height, 1.0)


def _picture(verdict: Verdict, photos: Path, side: int) -> str:
    image = open_photo(photos / verdict.photo, verdict, side)
    if image is None:
        return ""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY, method=EFFORT)
    return base64.b64encode(stream.getvalue()).decode()
