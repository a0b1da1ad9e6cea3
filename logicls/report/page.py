"""The report: one HTML page that carries everything in itself and asks nothing of the network."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from logicls.jsonl import write_text
from logicls.records import Outcome, Verdict
from logicls.report import screen
from logicls.report.view import Mark, Overlay, card, open_photo, overlays
from logicls.score import Scoreboard

SIDE = 420
"""Longer side of a thumbnail, pixels."""
TAG = (44.0, 38.0)
"""Width and height of a box's number where the photo's longer side is 1000."""


@dataclass(slots=True)
class Tally:
    """What the page says of all photos, counted while they pass by; only those it shows are kept."""

    outcomes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    bundles: set[str] = field(default_factory=set)
    specs: set[str] = field(default_factory=set)
    kept: dict[Outcome, list[Verdict]] = field(default_factory=lambda: {"fail": [], "review": [], "pass": []})

    @property
    def n(self) -> int:
        """Photos counted."""
        return self.outcomes.total()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the Pareto chart; shares in percent."""

    name: str
    count: int
    length: float
    """Of the longest bar."""
    cumulative: float
    """This and all longer bars, of all violations."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail: JPEG in base64, and the SVG's size."""

    data: str
    width: float
    height: float
    marks: tuple[Overlay, ...]


def write_report(
    verdicts: Iterable[Verdict],
    *,
    spec_lines: Mapping[str, str],
    questions: Mapping[str, str],
    photos: Path,
    out: Path,
    title: str,
    board: Scoreboard | None = None,
    limit: int = 500,
) -> Path:
    """Write the page to `out` and return `out`. The verdicts are read once.

    Args:
        verdicts: Those of photos that could not be opened have width 0 and get a card without a picture.
        spec_lines: Constraint id → the rule in words.
        questions: Query id → the question as it was asked.
        photos: Folder that the verdicts' photos lie below.
        out: The HTML file.
        title: Heading of the page.
        board: Shown where there is a truth.
        limit: Most cards, those that fail first, then those to review; all photos count in the figures.
    """
    tally = _count(verdicts, limit)
    shown = islice(chain.from_iterable(tally.kept.values()), limit)
    cards = [(v, card(v, spec_lines=spec_lines, questions=questions)) for v in shown]
    here = files(__package__)
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(here.joinpath("page.html.j2").read_text(encoding="utf-8")).render(
        title=title,
        tally=tally,
        bars=_pareto(tally.violations),
        cards=[(said, _picture(v, photos, said.marks)) for v, said in cards],
        board=board,
        screen=screen,
        tag=TAG,
        css=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(here.joinpath("page.js").read_text(encoding="utf-8")),
    )
    write_text(out, html)
    return out


def _count(verdicts: Iterable[Verdict], limit: int) -> Tally:
    tally = Tally()
    for verdict in verdicts:
        tally.outcomes[verdict.outcome] += 1
        tally.violations.update(verdict.violations)
        tally.bundles |= {verdict.bundle} - {""}
        tally.specs |= {verdict.spec} - {""}
        if len(tally.kept[verdict.outcome]) < limit:
            tally.kept[verdict.outcome].append(verdict)
    return tally


def _pareto(violations: Counter[str]) -> tuple[Bar, ...]:
    ranked = sorted(violations.items(), key=lambda item: (-item[1], item[0]))
    bars: list[Bar] = []
    running = 0
    for name, count in ranked:
        running += count
        bars.append(Bar(name, count, 100 * count / ranked[0][1], 100 * running / violations.total()))
    return tuple(bars)


def _picture(verdict: Verdict, photos: Path, marks: Sequence[Mark]) -> Picture | None:
    image = open_photo(photos / verdict.photo, verdict, SIDE)
    if image is None:
        return None
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82, optimize=True)
    scale = 1000 / max(verdict.width, verdict.height)
    size = verdict.width * scale, verdict.height * scale
    drawn = overlays(marks, scale=scale, size=size, tag=TAG)
    return Picture(base64.b64encode(stream.getvalue()).decode(), *size, drawn)
