"""The command line. Every command imports what it needs when it runs: `logicls check` must not wait for torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from logicls.cli import (
    evaluate as cli_measure,
)
from logicls.cli import (
    plugins as cli_expert,
)
from logicls.cli import (
    plugins as cli_knowledge,
)
from logicls.cli import (
    plugins as cli_reasoner,
)
from logicls.cli import (
    predict as cli_predict,
)
from logicls.cli import (
    report as cli_report,
)
from logicls.cli import (
    serve as cli_serve,
)
from logicls.cli import (
    spec as cli_rules,
)
from logicls.cli import (
    threshold as cli_threshold,
)
from logicls.cli import (
    train as cli_train,
)
from logicls.diagnostics.console import handle_errors, print_problems
from logicls.models.box_formats import BoxFamily
from logicls.synth.export import ExportFormat, export_dataset

if TYPE_CHECKING:
    from logicls.synth.pipeline import SynthesisRequest

app = typer.Typer(
    help="Tells, for each photo of a product, which of its rules is broken and what it saw.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    cli_rules.check, cli_rules.explain, cli_rules.infer, cli_rules.schema, cli_rules.init, cli_train.train,
    cli_train.base, cli_predict.predict, cli_measure.study, cli_serve.serve, cli_report.report, cli_report.replay,
    cli_threshold.threshold, cli_reasoner.second_look, cli_knowledge.route,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.add_typer(cli_expert.expert_app, name="expert")
app.command(name="eval")(cli_measure.evaluate)
app.add_typer(cli_knowledge.knowledge_app, name="knowledge")
console = Console()
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
DATA = Annotated[Path, typer.Option("--data", help="Dataset: annotations.json and images/.")]


def main() -> None:
    """Run the command line; errors of the user's making are shown without a traceback, with exit code 2."""
    with handle_errors():
        app()


@app.command()
def synth(
    spec: Annotated[Path, typer.Argument(help="Spec, a YAML file.")],
    data: DATA,
    out: OUT,
    count: Annotated[int, typer.Option(min=1, help="How many examples.")] = 12000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same bytes.")] = 0,
    preview: Annotated[int, typer.Option(min=0, help="Only draw so many examples on one picture.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    trainer: Annotated[
        ExportFormat, typer.Option("--format", help="For which trainer; a set that is there is only converted.")
    ] = ExportFormat.hf,
    boxes: Annotated[
        BoxFamily | None, typer.Option("--boxes", help="How the model writes boxes; pixels of the photo if left out.")
    ] = None,
) -> None:
    """Make training data out of annotated photos of good products."""
    from logicls.report.console import print_dataset_summary
    from logicls.synth.dataset_card import summarize_dataset as count_made
    from logicls.synth.pipeline import SynthesisRequest, build_dataset

    order = SynthesisRequest(spec, data, out, count, seed)
    _check_quietly(spec, data)
    if preview:
        from logicls.synth.preview import draw_contact_sheet

        console.print(str(draw_contact_sheet(order, preview, out / "preview.png")))
        return
    _counted_synth(build_dataset, order, workers)
    print_dataset_summary(count_made(out), console)
    if trainer is not ExportFormat.hf:
        out = _exported(order, trainer, boxes)
    console.print(f"{out}: {count} examples", soft_wrap=True)
    for line in _fallen_short(order):
        console.print(Text(line))


def _fallen_short(order: Any) -> list[str]:
    """What was wanted and could not be made, and what photos may not go through."""
    from logicls.synth.dataset_card import load_coverage
    from logicls.synth.pipeline import describe_restrictions

    return [*load_coverage(order.out).to_lines(), *describe_restrictions(order)]


def _exported(order: SynthesisRequest, trainer: ExportFormat, boxes: BoxFamily | None) -> Path:
    from logicls.report.progress import show_progress

    with show_progress(trainer, order.count, console) as counter:
        return export_dataset(order.out, trainer, boxes, on_progress=counter.add)


def _counted_synth(build: Any, order: SynthesisRequest, workers: int) -> None:
    from logicls.report.progress import show_progress

    with show_progress("synth", order.count, console) as counter:
        build(order, workers=workers, done=counter.add)


def _check_quietly(spec: Path, data: Path) -> None:
    """Stop where spec and data do not fit each other."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.data.coco import read_for
    from logicls.data.dataset_lint import misfits
    from logicls.errors import DataError

    rules = load_spec(spec)
    found = misfits(read_for(rules, data), rules.components)
    if found:
        raise DataError(found)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("runs/demo"),
    count: Annotated[int, typer.Option(min=1, help="Training examples.")] = 4000,
) -> None:
    """Run the whole loop on the sample product."""
    from logicls.constraints.spec.loader import load_spec_file
    from logicls.data.dataset_lint import check as held
    from logicls.io.resources import share
    from logicls.plugins.settings import read_product_recipe
    from logicls.report.console import print_scoreboard
    from logicls.synth.pipeline import SynthesisRequest, build_dataset

    spec, data = share("constraints/dosing_kit.yaml"), share("data/dosing_kit")
    sheet = load_spec_file(spec)
    loaded, broken = sheet.spec, list(held(sheet, data))
    console.print(f"check: {len(loaded.constraints)} rules held against the photos, {len(broken)} problems")
    print_problems(broken)
    _counted_synth(build_dataset, SynthesisRequest(spec, data, out / "synth", count, 0), 2)
    cli_train.train_with_progress(
        out / "synth", out / "bundle", read_product_recipe(share("train/demo.yaml")), resume=True
    )
    cli_predict.predict_with_progress(out / "bundle", data / "heldout" / "images", out / "verdicts")
    board = cli_measure.write_scoreboard(out / "verdicts", data / "heldout" / "truth.csv", out / "verdicts")
    print_scoreboard(board, console)
    truth = data / "heldout" / "truth.csv"
    cli_report.write_files(loaded, data / "heldout" / "images", out / "verdicts", truth=truth)
    console.print(f"report: {cli_report.report_path(out / 'verdicts').resolve()}", soft_wrap=True)


@app.command()
def doctor() -> None:
    """Versions, cores, GPU, memory."""
    from logicls.cli.environment import collect_facts

    for name, value in collect_facts():
        console.print(f"{name}: {value}")
