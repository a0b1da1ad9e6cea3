"""The commands about rules: check, explain, infer, schema, init. None of them waits for torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from logicls.diagnostics.console import format_counts, print_problems
from logicls.diagnostics.formats import Format, collect_problems
from logicls.errors import relative

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec
    from logicls.errors import Problem

console = Console()


def check(
    spec: Annotated[Path, typer.Argument(help="Spec, a YAML file.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Dataset of good photos to hold the rules against.")
    ] = None,
    output_format: Annotated[
        Format, typer.Option("--format", help="text, or one document for another program.")
    ] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write a healed copy of damaged annotations, and check it.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The healed copy; DATASET/annotations.fixed.json if left out.")
    ] = None,
    templates: Annotated[
        bool, typer.Option("--templates", help="Check the wordings in synth/ as well, and what they say of this spec.")
    ] = False,
) -> None:
    """Find what is wrong with the rules, and good photos that break one. Exit code 1 where something is."""
    from logicls.constraints.spec.loader import load_spec_file
    from logicls.data.dataset_lint import check as held
    from logicls.diagnostics.codes import exit_code

    if (fix and data is None) or (out is not None and not fix):
        raise typer.BadParameter("--fix needs --data" if fix else "--out needs --fix")
    output_format = Format.json if as_json else output_format
    with collect_problems(output_format, relative(spec)) as problems:
        sheet = load_spec_file(spec)
        annotations = (
            _repair_annotations(data, out, sheet.spec, is_quiet=output_format is not Format.text)
            if fix and data
            else None
        )
        problems += held(sheet, data, annotations)
        problems += _template_problems(sheet.spec, data, annotations) if templates else []
    if output_format is Format.text:
        loaded = sheet.spec
        print_problems(problems)
        rules = f"{len(loaded.constraints)} rules, {len(loaded.examples)} examples"
        console.print(f"{spec}: {rules}, {format_counts(problems)}")
    raise typer.Exit(exit_code(problems))


def _template_problems(spec: Spec, data: Path | None, annotations: Path | None) -> list[Problem]:
    """What is wrong with the templates that ship, alone and with the words of this spec and of its photos."""
    from logicls.data.coco import read_for
    from logicls.io.resources import share
    from logicls.prompts.template_lint import lint_templates

    return lint_templates(share("synth"), spec, read_for(spec, data, annotations).scenes if data else ())


def _repair_annotations(data: Path, out: Path | None, spec: Spec, *, is_quiet: bool) -> Path | None:
    """The healed copy of the dataset's annotations; None where nothing was to heal."""
    from logicls.data.coco import known_names
    from logicls.data.repair import heal_file
    from logicls.diagnostics.console import print_repairs

    out = out or data / "annotations.fixed.json"
    repairs = heal_file(data, out, known_names(spec))
    if not is_quiet:
        print_repairs(repairs, out, console)
    return out if repairs else None


def explain(
    subject: Annotated[str, typer.Argument(metavar="SPEC|CODE", help="Spec, or a code such as LC021.")],
) -> None:
    """Say each rule, its questions and its defects in plain English; or what a code means, and what to do."""
    from logicls.constraints.spec.loader import load_spec
    from logicls.diagnostics.codes import find_code, is_code
    from logicls.diagnostics.console import print_code, print_rules

    if is_code(subject):
        print_code(find_code(subject), console)
    else:
        print_rules(load_spec(Path(subject)), console)


def schema(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; printed where it is left out.")] = None,
) -> None:
    """The JSON Schema (draft-07) of specs, by which an editor completes keys and marks slips."""
    from logicls.constraints.spec.json_schema import schema_to_text
    from logicls.io.atomic import write_text

    if out is None:
        print(schema_to_text(), end="")
    else:
        write_text(out, schema_to_text())
        console.print(str(out))


def init(name: Annotated[str, typer.Argument(help="Folder to make, named as the product.")]) -> None:
    """Make a folder to start a product from."""
    from logicls.cli.environment import create_project

    for path in create_project(Path(name)):
        console.print(str(path))


def infer(
    dataset: Annotated[Path, typer.Argument(help="Annotated photos of good products.")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write; printed where it is left out.")] = None,
    name: Annotated[str | None, typer.Option(help="The product's name; the folder's if left out.")] = None,
) -> None:
    """Draft a spec from annotated good photos, each rule with its support; for a person to edit."""
    from logicls.constraints.mining.infer import infer as drafted
    from logicls.data.coco import read_dataset
    from logicls.io.atomic import write_text

    data = read_dataset(dataset)
    folder = dataset.resolve().name
    draft = drafted(data.scenes, data.categories, product=name or folder, source=folder, licence=data.licence)
    if out is None:
        print(draft.text(), end="")
    else:
        write_text(out, draft.text())
        console.print(str(out))
