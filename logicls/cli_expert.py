"""The commands about experts: expert fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from logicls import cli_train
from logicls.errors import DataError, Problem

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.train.expert_recipe import ExpertSettings

console = Console()
app = typer.Typer(help="Experts see defects that no rule names.", no_args_is_help=True)


@app.callback()
def expert() -> None:
    """Experts see defects that no rule names."""


@app.command()
def fit(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    data: Annotated[Path, typer.Option("--data", help="Dataset of good photos: annotations.json and images/.")],
    kind: Annotated[str, typer.Option(help="patches, prototypes, texts or priors.")] = "patches",
    encoder: Annotated[str, typer.Option(help="For texts and priors: a CLIP-type model by its name or folder.")] = "",
    cells: Annotated[int, typer.Option(help="Patches of a photo: more see smaller flaws, more slowly.")] = 5120,
    share: Annotated[float, typer.Option(help="Of the patches that is remembered.")] = 0.5,
    reach: Annotated[
        int, typer.Option(help="Compare with what good photos have within so many cells; -1: anywhere.")
    ] = 3,
    overkill: Annotated[float, typer.Option(help="Share of good photos that may be called flawed.")] = 0.01,
    steps: Annotated[int, typer.Option(help="In which prototypes and prior tokens are learned.")] = 400,
    seed: Annotated[int, typer.Option(help="Draws what is remembered, and made flaws.")] = 0,
) -> None:
    """Fit an expert to photos of good products; from then on the bundle looks for structural defects as well."""
    from logicls.predict.probe import open_bundle

    settings = settings_of(kind=kind, encoder=encoder, cells=cells, share=share, reach=reach, overkill=overkill,
                           steps=steps, seed=seed)  # fmt: skip
    cli_train.quiet_libraries()
    fitted(open_bundle(bundle), data, settings)


def settings_of(**given: object) -> ExpertSettings:
    """Those of options. Raises `DataError` (LC724)."""
    from pydantic import ValidationError

    from logicls.train.expert_recipe import ExpertSettings

    try:
        return ExpertSettings.model_validate(given)
    except ValidationError as error:
        problems = [
            Problem(
                "LC724", " ".join((*(f"--{name} {one['input']}:" for name in one["loc"]), f"{_lowered(one['msg'])}."))
            )
            for one in error.errors()
        ]
        raise DataError(problems) from error


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def fitted(bundle: Bundle, data: Path, settings: ExpertSettings) -> None:
    """Fit, progress on the screen."""
    from logicls.extras.expert.fit import fit_expert
    from logicls.report.progress import stages

    with stages(console) as begin:
        bar = fit_expert(bundle, data, settings, begin=lambda total: begin("photos", total).add)
    console.print(f"{bundle.path}: expert {settings.kind}, {bar.promise}", soft_wrap=True)
