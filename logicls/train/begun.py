"""A training run is gone on with by the recipe that it was begun with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from logicls.claim import Difference, claim
from logicls.errors import Problem, RecipeError
from logicls.train.recipe import Recipe


def claim_run(work: Path, recipe: Recipe, *, resume: bool) -> None:
    """Write which recipe the run is begun with; one that goes on must have the same. Raises `RecipeError` (LC411)."""
    mark = work / "recipe.json"

    def refusal(differences: Sequence[Difference]) -> RecipeError:
        differs = "; ".join(f"{key}: {there} then, {now} now" for key, there, now in differences)
        message = f"the run was begun with another recipe ({differs})."
        advice = "Resume with the same recipe, or train anew without --resume."
        return RecipeError(Problem("LC411", message, str(mark), advice=advice))

    if not resume:
        for left in (mark, work / "plan.json", work / "last.ckpt", *work.glob("best-*.safetensors")):
            left.unlink(missing_ok=True)
    claim(mark, recipe.model_dump(mode="json"), refusal)
