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
from logicls.plugins.selection import PluginOptions, PluginSelection

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.models.bundle import Bundle
    from logicls.predict.folder.watch import WatchOptions
    from logicls.predict.plugin_protocols import PluginManifest
    from logicls.records import Verdict

console = Console()
DEFAULT_WORKERS = 2
"""Processes that decode photos while the model works."""
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


def predict(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote; with --endpoint, a spec will do.")],
    images: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out: OUT,
    batch: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 16,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode photos; 0: threads of this one.")
    ] = DEFAULT_WORKERS,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Glob that a photo must match, relative to IMAGES: 'line3/**/*.png'; repeatable."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with photos that come, until Ctrl-C.")] = False,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Watch for so many seconds.")] = None,
    idle: Annotated[float | None, typer.Option(min=0, help="Watch until nothing came for so many seconds.")] = None,
    endpoint: cli_serve.ENDPOINT = "",
    model: cli_serve.MODEL = "",
    answer_format: cli_serve.ANSWER_FORMAT = None,
    box_format: cli_serve.BOX_FORMAT = None,
    ray: cli_serve.RAY = "",
    expert: cli_extras.EXPERT = "",
    reasoner: cli_extras.REASONER = "",
    tokens: cli_extras.THINK_TOKENS = None,
    steps: cli_extras.THINK_STEPS = None,
    min_entropy: cli_extras.MIN_ENTROPY = None,
    knowledge: cli_extras.KNOWLEDGE = "",
    xlsx: cli_report.XLSX = False,
    junit: cli_report.JUNIT = None,
) -> None:
    """Verdicts for a folder of photos, as JSON Lines, CSV and a page. Exit code 1 where one does not pass.

    However it was ended, the same command goes on.
    """
    cli_report.check_xlsx_installed(xlsx=xlsx)
    globs, remote = tuple(only or ()), cli_serve.RemoteExecution(endpoint, model, answer_format, box_format, ray)
    requested = PluginOptions(expert, reasoner, knowledge, tokens, steps, min_entropy)
    remote.check(watch=watch, has_plugins=bool(requested))
    selection = remote.drop_plugins(requested.resolve(bundle))
    if watch:
        from logicls.predict.folder.watch import WatchOptions

        spec = _watch_with_progress(bundle, images, out, WatchOptions(seconds, idle, globs, batch, workers), selection)
    else:
        _check_watch_options(seconds, idle)
        spec = predict_with_progress(
            bundle, images, out, batch=batch, workers=workers, only=globs, remote=remote, selection=selection
        )
    summary = cli_report.write_files(spec, images, out, xlsx=xlsx, junit=junit, knowledge=selection.knowledge)
    cli_report.exit_by_outcome(summary, out)


def _check_watch_options(seconds: float | None, idle: float | None) -> None:
    """An option that would do nothing is an error (LC608)."""
    if seconds is not None or idle is not None:
        option = "--for" if seconds is not None else "--idle"
        problem = Problem("LC608", f"{option} says how long to watch.", advice="Add --watch, or leave it out.")
        raise LogiClsError(problem)


def predict_with_progress(
    bundle: Path,
    images: Path,
    out: Path,
    *,
    batch: int = 16,
    workers: int = 0,
    only: tuple[str, ...] = (),
    subset: Container[str] | None = None,
    remote: cli_serve.RemoteExecution | None = None,
    selection: PluginSelection = PluginSelection(),  # noqa: B008  frozen
) -> Spec:
    """Predict a folder, progress on the screen."""
    from logicls.predict.folder.runner import inspect_with_reader, predict_folder
    from logicls.predict.plugin_protocols import Plugins
    from logicls.predict.readers.protocol import make_reader
    from logicls.report.progress import show_stages

    cli_train.silence_progress_bars()
    execution = remote or cli_serve.RemoteExecution()
    with (
        _explain_interrupt(out),
        execution.open_bundle(bundle, images, batch, workers, selection=selection) as (opened, inspect),
        show_stages(console) as begin,
    ):
        plugins = selection.build(opened) if inspect is None else Plugins(manifest=selection.describe(opened.path))
        _print_plugins(opened, plugins.manifest)
        if plugins:
            inspect = inspect_with_reader(make_reader(opened, plugins.retriever), images, batch, workers, plugins)
        predict_folder(
            opened, images, out, batch=batch, workers=workers, only=only, among=subset, inspect=inspect,
            manifest=plugins.manifest, on_start=lambda total: begin("predict", total).add,
        )  # fmt: skip
    return opened.spec


def _print_plugins(bundle: Bundle, plugins: PluginManifest) -> None:
    """Say what the bundle lacks, and what is plugged in."""
    from logicls.predict.decision import load_decision_model

    for line in load_decision_model(bundle).warnings:
        console.print(line, soft_wrap=True)
    for plug in plugins.plugins:
        console.print(Text(f"plugged in: {plug.to_text()}"), soft_wrap=True)


def _watch_with_progress(
    bundle: Path, images: Path, out: Path, watch: WatchOptions, selection: PluginSelection
) -> Spec:
    """Predict what comes, a line for each photo that does not pass."""
    from logicls.predict.folder.watch import watch_folder
    from logicls.predict.self_test import open_bundle

    cli_train.silence_progress_bars()
    opened = open_bundle(bundle)
    plugins = selection.build(opened)
    _print_plugins(opened, plugins.manifest)
    console.print(Text(f"watching {images}; Ctrl-C ends it"), soft_wrap=True)

    def print_verdict(verdict: Verdict) -> None:
        if verdict.outcome != "pass":
            reason = "; ".join(verdict.violations or verdict.reasons)
            console.print(Text(f"{verdict.outcome} {verdict.photo!r}: {reason}"), soft_wrap=True)

    def update_report() -> None:
        cli_report.write_files(opened.spec, images, out, knowledge=selection.knowledge)

    count = watch_folder(
        opened, images, out, watch, plugins=plugins, on_verdict=print_verdict, on_refresh=update_report
    )
    console.print(f"watch: {count} done")
    return opened.spec


@contextmanager
def _explain_interrupt(out: Path) -> Iterator[None]:
    """Say how to go on where Ctrl-C ends a run."""
    try:
        yield
    except KeyboardInterrupt:
        message = f"stopped; what is finished is in {out}, and the same command goes on from there"
        Console(stderr=True).print(Text(message), soft_wrap=True)
        raise typer.Exit(130) from None
