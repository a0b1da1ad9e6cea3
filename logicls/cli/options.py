"""The options that plug something into the predictor."""

from __future__ import annotations

from typing import Annotated

import typer

EXPERT = Annotated[
    str, typer.Option("--expert", help="Look for defects that no rule names as well: its name; none: do not.")
]
REASONER = Annotated[
    str,
    typer.Option("--reasoner", help="Look again at photos that go to review: its name, best closer; none: do not."),
]
KNOWLEDGE = Annotated[str, typer.Option("--knowledge", help="Folder of what is known of products; none: use none.")]
THINK_TOKENS = Annotated[
    int | None, typer.Option("--think-tokens", min=1, max=64, help="K, think tokens of a second look; 4 if left out.")
]
THINK_STEPS = Annotated[
    int | None,
    typer.Option("--think-steps", min=1, max=1000, help="T, most steps in which they climb; 20 if left out."),
]
MIN_ENTROPY = Annotated[
    float | None,
    typer.Option("--open", min=0, max=1, help="Look again from this entropy of an answer on, in bits, and in review."),
]
