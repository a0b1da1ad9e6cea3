"""The command that measures reasoners on photos whose truth is known: is a second look worth it here?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from logicls import cli_train
from logicls.errors import DataError, Problem, relative

if TYPE_CHECKING:
    from logicls.extras.reasoner.trial import Trial

console = Console()
COLUMNS = ("reasoner", "seed", "looked", "review", "equal", "escapes", "overkill", "exact", "seconds")


def second_look(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    images: Annotated[Path, typer.Argument(help="Folder of photos.")],
    truth: Annotated[Path, typer.Option("--truth", help="truth.csv of these photos.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    reasoner: Annotated[
        list[str] | None, typer.Option("--reasoner", help="Name of one; repeatable, all of them if left out.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of what is drawn by chance.")] = 3,
    open_from: Annotated[
        float, typer.Option("--open", min=0, help="Look again from this entropy of a slot on, in bits; 1.01: never.")
    ] = 1.01,
) -> None:
    """Measure second looks: which photos get one, what it changes at equal mistakes, what it costs."""
    from logicls.extras.by_name import NAMES, found
    from logicls.extras.reasoner.trial import tried, write_trial
    from logicls.predict.photos.listing import list_photos, printable
    from logicls.predict.probe import open_bundle
    from logicls.score.truth import read_truth

    cli_train.quiet_libraries()
    names = reasoner or list(NAMES["reasoner"])
    for name in names:
        found("reasoner", name)
    known = read_truth(truth)
    if not any(printable(name) in known for name in list_photos(images)):
        message = f"none of its {len(known)} photos is in {images}."
        raise DataError(
            Problem("LC741", message, relative(truth), advice="Paths are relative to the folder of photos.")
        )
    trial = tried(open_bundle(bundle), images, known, names, seeds=seeds, open_from=open_from, say=console.print)
    _print(trial)
    console.print(str(write_trial(trial, out)), soft_wrap=True)


def _print(trial: Trial) -> None:
    table = Table(*COLUMNS, box=None)
    for row in trial.rows():
        table.add_row(*(f"{v:.3f}" if isinstance(v := row[name], float) else str(v) for name in COLUMNS))
    console.print(table)
