"""Options that several commands share, former option names, and the console that all commands print to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

console = Console()
"""Standard output of all commands."""

PLUGINS, REMOTE, OUTPUT = "Plug-ins", "Remote inspection", "Output"
"""Panels of options in the help."""
FORMER_OPTIONS: Mapping[str, str] = {
    "--fresh": "--online", "--ask": "--answer-format", "--boxes": "--box-format", "--open": "--min-entropy",
    "--faithful": "--faithfulness", "--cells": "--patches", "--share": "--coreset-ratio", "--reach": "--neighbourhood",
}  # fmt: skip
"""Former option name → current name. Former names are accepted, but not listed in the help."""


class AliasedCommand(TyperCommand):
    """Command that also accepts the former names of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments after replacing former option names."""
        names = {name for parameter in self.params for name in parameter.opts}
        return super().parse_args(ctx, list(_replace_former_names(args, names)))


def _replace_former_names(args: list[str], names: set[str]) -> Iterator[str]:
    is_option = True
    for arg in args:
        is_option = is_option and arg != "--"
        name, separator, value = arg.partition("=")
        current = FORMER_OPTIONS.get(name, "")
        yield f"{current}{separator}{value}" if is_option and name not in names and current in names else arg


def print_line(line: str) -> None:
    """Print a line of plain text without wrapping it, so that paths can be copied."""
    console.print(Text(line), soft_wrap=True)


SPEC = Annotated[Path, typer.Argument(metavar="SPEC", help="Spec of the product, a YAML file.")]
BUNDLE_ARGUMENT = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle, a folder written by `logicls train`.")]
VERDICTS_ARGUMENT = Annotated[
    Path, typer.Argument(metavar="VERDICTS", help="Folder of verdicts, written by `logicls predict`.")
]
IMAGES_ARGUMENT = Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of photos.")]
OUT = Annotated[Path, typer.Option("--out", help="Output folder.")]
DATA = Annotated[
    Path, typer.Option("--data", help="Annotated photos of good products: a folder with annotations.json and images/.")
]
DEFECTS = Annotated[
    Path | None,
    typer.Option("--defects", help="Annotated photos of defective products, a folder like --data. Default: none."),
]
TRUTH = Annotated[Path, typer.Option("--truth", help="Ground truth, a CSV file with the columns image,violations.")]
BATCH = Annotated[int, typer.Option(min=1, help="Photos per batch.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]

NEW_SPEC = Annotated[
    Path | None,
    typer.Option(
        "--spec", help="Spec with other rules, if they need no question that the model was not trained to answer."
    ),
]
BUNDLE = Annotated[
    Path | None, typer.Option("--bundle", help="Bundle that made the verdicts. Default: the recorded path.")
]
PHOTOS = Annotated[
    Path | None, typer.Option("--photos", help="Folder of the inspected photos. Default: the recorded path.")
]
XLSX = Annotated[
    bool,
    typer.Option(
        "--xlsx", help="Also write verdicts.xlsx; needs `pip install logicls\\[xlsx]`.", rich_help_panel=OUTPUT
    ),
]
JUNIT = Annotated[
    Path | None,
    typer.Option("--junit", help="Also write a JUnit XML file with one test case per photo.", rich_help_panel=OUTPUT),
]

EXPERT = Annotated[
    str,
    typer.Option(
        "--expert", rich_help_panel=PLUGINS,
        help="Anomaly detector for defects that no rule covers: its kind, or `none`. Default: as set in the bundle.",
    ),
]  # fmt: skip
REASONER = Annotated[
    str,
    typer.Option(
        "--reasoner", rich_help_panel=PLUGINS,
        help="Method of the second look at photos with outcome review, for example `closer`, or `none`. "
        "Default: as set in the bundle.",
    ),
]  # fmt: skip
KNOWLEDGE = Annotated[
    str,
    typer.Option(
        "--knowledge", rich_help_panel=PLUGINS,
        help="Knowledge base, a folder of Markdown pages, or `none`. Default: as set in the bundle.",
    ),
]  # fmt: skip
THINK_TOKENS = Annotated[
    int | None,
    typer.Option(
        "--think-tokens", min=1, max=64, rich_help_panel=PLUGINS,
        help="Number K of think tokens of the second look. Default: 4.",
    ),
]  # fmt: skip
THINK_STEPS = Annotated[
    int | None,
    typer.Option(
        "--think-steps", min=1, max=1000, rich_help_panel=PLUGINS,
        help="Largest number T of optimization steps of the second look. Default: 20.",
    ),
]  # fmt: skip
MIN_ENTROPY = Annotated[
    float | None,
    typer.Option(
        "--min-entropy", min=0, max=1, rich_help_panel=PLUGINS,
        help="Also give a second look to photos with an answer of at least this entropy, in bits.",
    ),
]  # fmt: skip
