"""Commands about rules: `check`, `explain`, `infer`, `schema`. They do not load torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logicls.cli.environment import SCHEMA_FILE, SCHEMA_LINE
from logicls.cli.options import DEFECTS, SPEC, console, print_line
from logicls.diagnostics.console import format_counts, print_problems
from logicls.diagnostics.formats import Format, collect_problems
from logicls.errors import count_text, relative_path

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.errors import Problem

OUT_FILE = Annotated[Path | None, typer.Option("--out", help="Output file. Default: standard output.")]


def check(
    spec: SPEC,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Annotated photos of good products, to check for rule violations as well."),
    ] = None,
    defects: DEFECTS = None,
    output_format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="Same as --format json.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write a repaired copy of damaged annotations, and check the copy.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --fix: repaired copy. Default: DATA/annotations.fixed.json.")
    ] = None,
    templates: Annotated[
        bool, typer.Option("--templates", help="Also check the prompt templates in synth/ with this spec.")
    ] = False,
) -> None:
    """Check a spec for errors, contradictions and gaps, and its rules against photos of good products.

    Exit code 1 if there are problems, 2 if the spec or the data cannot be read.
    """
    from logicls.constraints.spec.loader import load_spec_file
    from logicls.data.dataset_lint import check_spec
    from logicls.diagnostics.codes import exit_code

    if (fix and data is None) or (out is not None and not fix):
        raise typer.BadParameter("--fix requires --data" if fix else "--out requires --fix")
    if defects is not None and data is None:
        raise typer.BadParameter("--defects requires --data")
    output_format = Format.json if as_json else output_format
    is_text = output_format is Format.text
    with collect_problems(output_format, relative_path(spec)) as problems:
        spec_file = load_spec_file(spec)
        annotations = _repair_annotations(data, out, spec_file.spec, is_quiet=not is_text) if fix and data else None
        problems += check_spec(spec_file, data, annotations, defects)
        problems += _check_templates(spec_file.spec, data, annotations) if templates else []
    if is_text:
        print_problems(problems, console)
        rules = count_text(len(spec_file.spec.constraints), "rule")
        examples = count_text(len(spec_file.spec.examples), "example")
        print_line(f"{spec}: {rules}, {examples}, {format_counts(problems)}")
    raise typer.Exit(exit_code(problems))


def _check_templates(spec: Spec, data: Path | None, annotations: Path | None) -> list[Problem]:
    """Return the problems of the shipped prompt templates, rendered with this spec and its photos."""
    from logicls.data.coco import read_dataset_for
    from logicls.io.resources import resource_path
    from logicls.prompts.template_lint import lint_templates

    scenes = read_dataset_for(spec, data, annotations).scenes if data else ()
    return lint_templates(resource_path("synth"), spec, scenes)


def _repair_annotations(data: Path, out: Path | None, spec: Spec, *, is_quiet: bool) -> Path | None:
    """Write a repaired copy of the annotations; return its path, None if there was nothing to repair."""
    from logicls.data.coco import annotation_vocabulary
    from logicls.data.repair import repair_file
    from logicls.diagnostics.console import print_repairs

    out = out or data / "annotations.fixed.json"
    repairs = repair_file(data, out, annotation_vocabulary(spec))
    if not is_quiet:
        print_repairs(repairs, out, console)
    return out if repairs else None


def explain(
    subject: Annotated[str, typer.Argument(metavar="SPEC|CODE", help="Spec, or an error code such as LC021.")],
) -> None:
    """Explain a spec: each rule in plain English, its questions and its defects; or explain an error code."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.diagnostics.codes import find_code, is_code
    from logicls.diagnostics.console import print_code, print_rules

    if is_code(subject):
        print_code(find_code(subject), console)
    else:
        print_rules(load_spec(Path(subject)), console)


def schema(out: OUT_FILE = None) -> None:
    """Print the JSON Schema (draft-07) of specs, for completion and validation in editors."""
    from logicls.constraints.spec.json_schema import schema_to_text

    _write_or_print(schema_to_text(), out)


def infer(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="Annotated photos of good products: a folder with annotations.json and images/."
        ),
    ],
    out: OUT_FILE = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the product. Default: name of the output file, else of the folder.")
    ] = None,
) -> None:
    """Infer a draft spec from annotated photos of good products; each rule has its support, for review."""
    from logicls.constraints.mining.infer import infer as infer_spec
    from logicls.data.coco import read_dataset
    from logicls.data.poses import measure_poses

    data = read_dataset(dataset)
    poses = measure_poses(data)
    product = name or (out.stem if out else dataset.resolve().name)
    draft = infer_spec(data.scenes, data.categories, product=product, source=product, licence=data.licence, poses=poses)
    has_schema = out is not None and (out.parent / SCHEMA_FILE).is_file()
    _write_or_print(f"{SCHEMA_LINE}\n{draft.to_yaml()}" if has_schema else draft.to_yaml(), out)


def _write_or_print(text: str, out: Path | None) -> None:
    from logicls.io.atomic import write_text

    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print_line(str(out))
