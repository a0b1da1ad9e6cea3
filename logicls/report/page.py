"""The report: one HTML page that carries everything in itself and asks nothing of the network.

What filters and charts need stands in the page; each card and each thumbnail is a text of its own in it, and becomes
part of what is shown only when it is turned to. So a page of thousands of photos opens at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from itertools import chain
from pathlib import Path

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from logicls import __version__
from logicls.io import jsonl
from logicls.predict.uncertainty.calibration import calibration_error
from logicls.records import SEVERITIES, Verdict
from logicls.report import charts as plot
from logicls.report import console as screen
from logicls.report.card_data import TAG, as_script, index, packed
from logicls.report.card_view import Words
from logicls.report.p_chart import ENOUGH
from logicls.report.summary import SHOWN_FIRST, Against, Held, Tally, confusion, count, rate_of

CARDS = "<!-- cards -->"
"""Where the template leaves room for them."""
LIMIT = 5000


def write_report(
    verdicts: Iterable[Verdict],
    words: Words,
    *,
    photos: Path,
    out: Path,
    now: datetime,
    held: Held | None = None,
    limit: int = LIMIT,
) -> Tally:
    """Write the page to `out`; returns what was counted. The verdicts are read once, and few are kept.

    Args:
        verdicts: Those of photos that could not be opened have width 0 and get a card without a picture.
        words: What rules, questions and violations are called.
        photos: Folder that the verdicts' photos lie below.
        out: The HTML file.
        now: When it is made, as the page says it.
        held: Shown where there is a truth.
        limit: Most cards: those that fail first, then those to review, then of those that pass some by chance, but
            a twentieth is kept for passes and a quarter for reviews. All photos count in the figures.

    Raises:
        DataError: The file cannot be written (LC253).
    """
    truth = held.truth if held else {}
    tally = count(verdicts, words, photos=photos, limit=limit, against=Against(truth) if held else None)
    shown = tally.shown(limit)
    listed = list(chain.from_iterable(shown.values()))
    top, bottom = _frame(tally, held, index(listed, truth), {name: len(some) for name, some in shown.items()}, now)
    with jsonl.replacing(out) as file:
        file.write(top)
        for number, one in enumerate(packed(listed, photos, truth)):
            file.write(f'<script type="application/json" id="card{number}">{one.card}</script>\n')
            file.write(
                f'<script type="text/plain" id="picture{number}">{one.picture}</script>\n' if one.picture else ""
            )
        file.write(bottom)
    return tally


def _frame(
    tally: Tally, held: Held | None, columns: dict[str, object], shown: dict[str, int], now: datetime
) -> tuple[str, str]:
    """The page before and after the cards."""
    here = files(__package__)
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    words = tally.words
    names = {"rules": dict(words.rules), "whys": dict(words.whys), "questions": dict(words.questions)}
    known = {name: [[c.page, c.variant, c.causes, c.consequences] for c in some] for name, some in words.causes.items()}
    data = {**columns, **names, "causes": known, "severities": dict(words.severities), "tag": TAG}
    charts, again = tally.course.charts(), columns.get("looked")
    bins = (held.reliability or tally.against.bins()) if held and tally.against else ()
    html = environment.from_string(here.joinpath("page.html.j2").read_text(encoding="utf-8")).render(
        tally=tally,
        shown=shown,
        relooked=sum(again) if isinstance(again, list) else 0,
        order=SHOWN_FIRST,
        severities=SEVERITIES,
        bars=tally.pareto(),
        charts=[(chart, plot.plot_control(chart)) for chart in charts],
        enough=ENOUGH,
        board=held.board if held else None,
        matrix=confusion(tally.against.sets) if tally.against and tally.against.sets else None,
        bins=bins,
        rate_of=rate_of,
        calibrated=bool(held and held.reliability),
        error=calibration_error(bins),
        reliability=plot.plot_reliability(bins) if bins else None,
        screen=screen,
        version=__version__,
        now=now,
        data=Markup(as_script(data)),
        css=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(here.joinpath("page.js").read_text(encoding="utf-8")),
    )
    top, bottom = html.split(CARDS)
    return top, bottom
