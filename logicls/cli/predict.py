"""Command `predict`: inspect a folder of photos, once or while a camera writes into it."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from logicls.cli.environment import silence_progress_bars
from logicls.cli.options import (
    BATCH,
    EXPERT,
    IMAGES_ARGUMENT,
    JUNIT,
    KNOWLEDGE,
    MIN_ENTROPY,
    NEW_SPEC,
    OUT,
    REASONER,
    THINK_STEPS,
    THINK_TOKENS,
    XLSX,
    console,
    print_line,
)
from logicls.cli.remote import ANSWER_FORMAT, BOX_FORMAT, ENDPOINT, MODEL, RAY, RemoteExecution
from logicls.cli.report import check_xlsx_installed, exit_by_outcome, write_files
from logicls.errors import LogiClsError, Problem, count_text

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.models.bundle import Bundle
    from logicls.plugins.selection import PluginSelection
    from logicls.predict.folder.watch import WatchOptions
    from logicls.predict.plugin_protocols import PluginManifest
    from logicls.records import Verdict

DEFAULT_WORKERS = 2
"""Processes that decode photos while the model works."""
BUNDLE_OR_SPEC = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE", help="Bundle, a folder written by `logicls train`; with --endpoint, a spec is enough."
    ),
]
WATCHING = "Watching"
"""Panel of the help."""
ONLY = Annotated[
    list[str] | None,
    typer.Option("--only", help="Inspect only photos whose path matches, such as 'line3/**/*.png'; repeatable."),
]
WATCH = Annotated[
    bool, typer.Option("--watch", rich_help_panel=WATCHING, help="Keep inspecting new photos until Ctrl-C.")
]
WATCH_SECONDS = Annotated[
    float | None, typer.Option("--for", min=0, rich_help_panel=WATCHING, help="Stop watching after this many seconds.")
]
WATCH_IDLE = Annotated[
    float | None,
    typer.Option(min=0, rich_help_panel=WATCHING, help="Stop watching after this many seconds without a new photo."),
]


def predict(
    bundle: BUNDLE_OR_SPEC,
    images: IMAGES_ARGUMENT,
    out: OUT,
    batch: BATCH = 16,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode photos; 0: decode in threads of this process.")
    ] = DEFAULT_WORKERS,
    only: ONLY = None,
    spec: NEW_SPEC = None,
    watch: WATCH = False,
    seconds: WATCH_SECONDS = None,
    idle: WATCH_IDLE = None,
    endpoint: ENDPOINT = "",
    model: MODEL = "",
    answer_format: ANSWER_FORMAT = None,
    box_format: BOX_FORMAT = None,
    ray: RAY = "",
    expert: EXPERT = "",
    reasoner: REASONER = "",
    tokens: THINK_TOKENS = None,
    steps: THINK_STEPS = None,
    min_entropy: MIN_ENTROPY = None,
    knowledge: KNOWLEDGE = "",
    xlsx: XLSX = False,
    junit: JUNIT = None,
) -> None:
    """Inspect a folder of photos; write verdicts.jsonl, verdicts.csv and a report page.

    Exit code 1 if any photo does not pass. Photos with a verdict are skipped: run the command again to continue.
    """
    from logicls.plugins.selection import PluginOptions

    check_xlsx_installed(xlsx=xlsx)
    globs, remote = tuple(only or ()), RemoteExecution(endpoint, model, answer_format, box_format, ray)
    options = PluginOptions(expert, reasoner, knowledge, tokens, steps, min_entropy)
    remote.check(watch=watch, has_plugins=bool(options), has_spec=spec is not None)
    selection = remote.drop_plugins(options.resolve(bundle))
    if watch:
        from logicls.predict.folder.watch import WatchOptions

        watch_options = WatchOptions(seconds, idle, globs, batch, workers)
        rules = _watch_with_progress(bundle, images, out, watch_options, selection, spec)
    else:
        _check_watch_options(seconds, idle)
        rules = predict_with_progress(
            bundle, images, out, batch=batch, workers=workers, only=globs, spec=spec, remote=remote, selection=selection
        )
    summary = write_files(rules, images, out, xlsx=xlsx, junit=junit, knowledge=selection.knowledge)
    exit_by_outcome(summary, out)


def _check_watch_options(seconds: float | None, idle: float | None) -> None:
    """Check that no watch option is given without --watch. Raises `LogiClsError` (LC608)."""
    if seconds is not None or idle is not None:
        option = "--for" if seconds is not None else "--idle"
        advice = "Add --watch, or remove the option."
        raise LogiClsError(Problem("LC608", f"{option} has no effect without --watch.", advice=advice))


def predict_with_progress(
    bundle: Path,
    images: Path,
    out: Path,
    *,
    batch: int = 16,
    workers: int = 0,
    only: tuple[str, ...] = (),
    subset: Container[str] | None = None,
    spec: Path | None = None,
    remote: RemoteExecution | None = None,
    selection: PluginSelection | None = None,
) -> Spec:
    """Inspect a folder of photos, with progress on the console; return the rules that they were judged by.

    `spec`: file of other rules than those of the bundle.
    """
    from logicls.plugins.selection import PluginSelection
    from logicls.predict.folder.runner import inspect_with_reader, predict_folder
    from logicls.predict.plugin_protocols import Plugins
    from logicls.predict.readers import make_reader
    from logicls.report.progress import show_stages

    silence_progress_bars()
    execution, selection = remote or RemoteExecution(), selection or PluginSelection()
    with (
        _explain_interrupt(out),
        execution.open_bundle(bundle, images, batch, workers, spec=spec, selection=selection) as (opened, inspect),
        show_stages(console) as begin_stage,
    ):
        plugins = selection.build(opened) if inspect is None else Plugins(manifest=selection.describe(opened.path))
        _print_plugins(opened, plugins.manifest)
        if plugins:
            inspect = inspect_with_reader(make_reader(opened, plugins.retriever), images, batch, workers, plugins)
        predict_folder(
            opened, images, out, batch=batch, workers=workers, only=only, among=subset, inspect=inspect,
            manifest=plugins.manifest, on_start=lambda total: begin_stage("predict", total).add,
        )  # fmt: skip
    return opened.spec


def _print_plugins(bundle: Bundle, manifest: PluginManifest) -> None:
    """Print warnings about missing parts of the bundle, and the active plug-ins."""
    from logicls.predict.decision import load_decision_model

    for warning in load_decision_model(bundle).warnings:
        print_line(warning)
    for plugin in manifest.plugins:
        print_line(f"plug-in: {plugin.to_text()}")


def _watch_with_progress(
    bundle: Path, images: Path, out: Path, watch: WatchOptions, selection: PluginSelection, spec: Path | None
) -> Spec:
    """Inspect new photos as they arrive; print a line for each one that does not pass."""
    from logicls.predict.folder.watch import watch_folder
    from logicls.predict.self_test import open_bundle

    silence_progress_bars()
    opened = open_bundle(bundle, spec)
    plugins = selection.build(opened)
    _print_plugins(opened, plugins.manifest)
    print_line(f"watching {images}; press Ctrl-C to stop")

    def print_verdict(verdict: Verdict) -> None:
        if verdict.outcome != "pass":
            reason = "; ".join(verdict.violations or verdict.reasons)
            print_line(f"{verdict.outcome} {verdict.photo!r}: {reason}")

    def update_report() -> None:
        write_files(opened.spec, images, out, knowledge=selection.knowledge)

    count = watch_folder(
        opened, images, out, watch, plugins=plugins, on_verdict=print_verdict, on_refresh=update_report
    )
    print_line(f"watch: {count_text(count, 'photo')} inspected")
    return opened.spec


@contextmanager
def _explain_interrupt(out: Path) -> Iterator[None]:
    """On Ctrl-C, print how to continue, and exit with code 130."""
    try:
        yield
    except KeyboardInterrupt:
        message = f"stopped; finished verdicts are in {out}. Run the same command again to continue."
        Console(stderr=True).print(Text(message), soft_wrap=True)
        raise typer.Exit(130) from None
