"""The command that predicts, for a folder that is there and for one that a camera writes into."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from logicls.cli import options as cli_extras
from logicls.cli import report as cli_report
from logicls.cli import serve as cli_serve
from logicls.cli import train as cli_train
from logicls.errors import LogiClsError, Problem
from logicls.plugins.selection import Asked, Wanted

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.models.bundle import Bundle
    from logicls.predict.folder.watch import Watch
    from logicls.predict.plugin_protocols import Plugged
    from logicls.records import Verdict

console = Console()
WORKERS = 2
"""Processes that decode photos while the model works."""
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


def predict(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote; with --endpoint, a spec will do.")],
    images: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out: OUT,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 16,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode photos; 0: threads of this one.")
    ] = WORKERS,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Glob that a photo must match, relative to IMAGES: 'line3/**/*.png'; repeatable."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with photos that come, until Ctrl-C.")] = False,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Watch for so many seconds.")] = None,
    idle: Annotated[float | None, typer.Option(min=0, help="Watch until nothing came for so many seconds.")] = None,
    endpoint: cli_serve.ENDPOINT = "",
    model: cli_serve.MODEL = "",
    ask: cli_serve.ASK = None,
    boxes: cli_serve.BOXES = None,
    ray: cli_serve.RAY = "",
    expert: cli_extras.EXPERT = "",
    reasoner: cli_extras.REASONER = "",
    tokens: cli_extras.TOKENS = None,
    steps: cli_extras.STEPS = None,
    open_from: cli_extras.OPEN = None,
    knowledge: cli_extras.KNOWLEDGE = "",
    xlsx: cli_report.XLSX = False,
    junit: cli_report.JUNIT = None,
) -> None:
    """Verdicts for a folder of photos, as JSON Lines, CSV and a page. Exit code 1 where one does not pass.

    However it was ended, the same command goes on.
    """
    cli_report.ready(xlsx=xlsx)
    globs, elsewhere = tuple(only or ()), cli_serve.Elsewhere(endpoint, model, ask, boxes, ray)
    asked = Asked(expert, reasoner, knowledge, tokens, steps, open_from)
    elsewhere.check(watch=watch, plugged=bool(asked))
    wanted = elsewhere.without(asked.here(bundle))
    if watch:
        from logicls.predict.folder.watch import Watch

        spec = _watched(bundle, images, out, Watch(seconds, idle, globs, batch, workers), wanted)
    else:
        _refuse_limits(seconds, idle)
        spec = predicted(
            bundle, images, out, batch=batch, workers=workers, only=globs, elsewhere=elsewhere, wanted=wanted
        )
    tally = cli_report.write_files(spec, images, out, xlsx=xlsx, junit=junit, knowledge=wanted.knowledge)
    cli_report.conclude(tally, out)


def _refuse_limits(seconds: float | None, idle: float | None) -> None:
    """An option that would do nothing is an error (LC608)."""
    if seconds is not None or idle is not None:
        option = "--for" if seconds is not None else "--idle"
        problem = Problem("LC608", f"{option} says how long to watch.", advice="Add --watch, or leave it out.")
        raise LogiClsError(problem)


def predicted(
    bundle: Path,
    images: Path,
    out: Path,
    *,
    batch: int = 16,
    workers: int = 0,
    only: tuple[str, ...] = (),
    among: Container[str] | None = None,
    elsewhere: cli_serve.Elsewhere | None = None,
    wanted: Wanted = Wanted(),  # noqa: B008  frozen
) -> Spec:
    """Predict a folder, progress on the screen."""
    from logicls.predict.folder.runner import by_reader, predict_folder
    from logicls.predict.plugin_protocols import PlugIns
    from logicls.predict.readers.protocol import reader_of
    from logicls.report.progress import stages

    cli_train.quiet_libraries()
    where = elsewhere or cli_serve.Elsewhere()
    with (
        _going_on(out),
        where.opened(bundle, images, batch, workers, wanted=wanted) as (opened, inspect),
        stages(console) as begin,
    ):
        plugins = wanted.made(opened) if inspect is None else PlugIns(plugged=wanted.plugged(opened.path))
        _told(opened, plugins.plugged)
        if plugins:
            inspect = by_reader(reader_of(opened, plugins.retriever), images, batch, workers, plugins)
        predict_folder(
            opened, images, out, batch=batch, workers=workers, only=only, among=among, inspect=inspect,
            plugged=plugins.plugged, begin=lambda total: begin("predict", total).add,
        )  # fmt: skip
    return opened.spec


def _told(bundle: Bundle, plugged: Plugged) -> None:
    """Say what the bundle lacks, and what is plugged in."""
    from logicls.predict.decision import grounds_of

    for line in grounds_of(bundle).warnings:
        console.print(line, soft_wrap=True)
    for plug in plugged.plugs:
        console.print(Text(f"plugged in: {plug.to_text}"), soft_wrap=True)


def _watched(bundle: Path, images: Path, out: Path, watch: Watch, wanted: Wanted) -> Spec:
    """Predict what comes, a line for each photo that does not pass."""
    from logicls.predict.folder.watch import watch_folder
    from logicls.predict.self_test import open_bundle

    cli_train.quiet_libraries()
    opened = open_bundle(bundle)
    plugins = wanted.made(opened)
    _told(opened, plugins.plugged)
    console.print(Text(f"watching {images}; Ctrl-C ends it"), soft_wrap=True)

    def told(verdict: Verdict) -> None:
        if verdict.outcome != "pass":
            why = "; ".join(verdict.violations or verdict.reasons)
            console.print(Text(f"{verdict.outcome} {verdict.photo!r}: {why}"), soft_wrap=True)

    def shown() -> None:
        cli_report.write_files(opened.spec, images, out, knowledge=wanted.knowledge)

    count = watch_folder(opened, images, out, watch, plugins=plugins, told=told, shown=shown)
    console.print(f"watch: {count} done")
    return opened.spec


@contextmanager
def _going_on(out: Path) -> Iterator[None]:
    """Say how to go on where Ctrl-C ends a run."""
    try:
        yield
    except KeyboardInterrupt:
        said = f"stopped; what is finished is in {out}, and the same command goes on from there"
        Console(stderr=True).print(Text(said), soft_wrap=True)
        raise typer.Exit(130) from None
