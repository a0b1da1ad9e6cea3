"""Command `synth`: synthesise training data from annotated photos of good products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from logicls.cli.options import DATA, DEFECTS, OUT, SPEC, console, print_line
from logicls.errors import count_text
from logicls.models.box_formats import BoxFamily
from logicls.synth.export_format import ExportFormat

if TYPE_CHECKING:
    from pathlib import Path

    from logicls.synth.pipeline import SynthesisRequest


def synth(
    spec: SPEC,
    data: DATA,
    out: OUT,
    defects: DEFECTS = None,
    count: Annotated[int, typer.Option(min=1, help="Number of examples.")] = 12000,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives identical data.")] = 0,
    preview: Annotated[
        int, typer.Option(min=0, help="Only render this many examples as a contact sheet, preview.png.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    export_format: Annotated[
        ExportFormat,
        typer.Option("--format", help="Dataset format of the trainer. An existing dataset is only converted."),
    ] = ExportFormat.hf,
    box_format: Annotated[
        BoxFamily | None,
        typer.Option("--box-format", help="With --format: box notation of the model family. Default: pixels."),
    ] = None,
) -> None:
    """Synthesise training data from annotated photos of good products: good and defective examples."""
    from logicls.report.console import print_dataset_summary
    from logicls.synth.dataset_card import summarize_dataset
    from logicls.synth.pipeline import SynthesisRequest

    request = SynthesisRequest(spec, data, out, count, seed, defects)
    _check_dataset(spec, data, defects)
    if preview:
        from logicls.synth.preview import draw_contact_sheet

        print_line(str(draw_contact_sheet(request, preview, out / "preview.png")))
        return
    synthesize_with_progress(request, workers=workers)
    print_dataset_summary(summarize_dataset(out), console)
    folder = out if export_format is ExportFormat.hf else _export(request, export_format, box_format)
    print_line(f"{folder}: {count_text(count, 'example')}")
    for line in _list_limitations(request):
        print_line(line)


def synthesize_with_progress(request: SynthesisRequest, *, workers: int) -> None:
    """Create a dataset, with progress on the console."""
    from logicls.report.progress import show_progress
    from logicls.synth.pipeline import build_dataset

    with show_progress("synth", request.count, console) as counter:
        build_dataset(request, workers=workers, on_progress=counter.add)


def _list_limitations(request: SynthesisRequest) -> list[str]:
    """Return the real defects in use, those that could not be synthesised, and augmentations that the rules forbid."""
    from logicls.synth.dataset_card import load_coverage
    from logicls.synth.pipeline import load_source

    generator = load_source(request).create_generator()
    return [
        *generator.sampler.describe_real_defects(),
        *load_coverage(request.out).to_lines(),
        *generator.augmenter.describe_restrictions(),
    ]


def _export(request: SynthesisRequest, export_format: ExportFormat, box_format: BoxFamily | None) -> Path:
    from logicls.report.progress import show_progress
    from logicls.synth.export import export_dataset

    with show_progress(export_format, request.count, console) as counter:
        return export_dataset(request.out, export_format, box_format, on_progress=counter.add)


def _check_dataset(spec_file: Path, data: Path, defects: Path | None) -> None:
    """Check that the dataset matches the spec. Raises `DataError`."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.data.dataset_lint import check_against_spec
    from logicls.data.defects import read_dataset_with_defects
    from logicls.errors import DataError

    spec = load_spec(spec_file)
    problems = check_against_spec(read_dataset_with_defects(spec, data, defects), spec.components)
    if problems:
        raise DataError(problems)
