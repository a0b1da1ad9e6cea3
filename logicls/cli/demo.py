"""Command `demo`: the complete workflow on the sample product."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from logicls.cli.evaluate import write_scoreboard
from logicls.cli.options import console, print_line
from logicls.cli.predict import predict_with_progress
from logicls.cli.report import report_path, write_files
from logicls.cli.synth import synthesize_with_progress
from logicls.cli.train import train_with_progress
from logicls.diagnostics.console import format_counts, print_problems
from logicls.errors import count_text


def demo(
    out: Annotated[Path, typer.Option("--out", help="Output folder.")] = Path("runs/demo"),
    count: Annotated[int, typer.Option(min=1, help="Number of training examples.")] = 4000,
) -> None:
    """Run the complete workflow on the sample product: check, synth, train, predict, eval, report."""
    from logicls.constraints.spec.loader import load_spec_file
    from logicls.data.dataset_lint import check_spec
    from logicls.io.resources import resource_path
    from logicls.plugins.settings import read_product_recipe
    from logicls.report.console import print_scoreboard
    from logicls.synth.pipeline import SynthesisRequest

    spec_path, data = resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit")
    test_photos, truth = data / "heldout" / "images", data / "heldout" / "truth.csv"
    spec_file = load_spec_file(spec_path)
    problems = list(check_spec(spec_file, data))
    console.print(f"check: {count_text(len(spec_file.spec.constraints), 'rule')}, {format_counts(problems)}")
    print_problems(problems)
    synthesize_with_progress(SynthesisRequest(spec_path, data, out / "synth", count, 0), workers=2)
    recipe = read_product_recipe(resource_path("train/demo.yaml"))
    train_with_progress(out / "synth", out / "bundle", recipe, resume=True)
    predict_with_progress(out / "bundle", test_photos, out / "verdicts")
    print_scoreboard(write_scoreboard(out / "verdicts", truth, out / "verdicts"), console)
    write_files(spec_file.spec, test_photos, out / "verdicts", truth=truth)
    print_line(f"report: {report_path(out / 'verdicts').resolve()}")
