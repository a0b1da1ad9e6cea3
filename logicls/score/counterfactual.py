"""Does one edit of a good photo flip exactly the rule that it breaks, and leave every other as it was?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from logicls.constraints.judge import judge
from logicls.constraints.look import by_query, look
from logicls.constraints.spec import Spec
from logicls.predict.read.reader import Reader
from logicls.records import Answer, Scene
from logicls.score.trial import Trial, Trials
from logicls.synth.draft import Draft, Drafter

TRIES = 8
"""Photos that are tried for a violation before it is left out."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A good photo and the same photo after an edit."""

    violation: str
    before: Draft
    after: Draft


def draw_flips(drafter: Drafter, count: int, seed: int) -> Iterator[Flip | None]:
    """So many edits, each violation as often as any other; None for one that no photo of some allowed."""
    names = drafter.spec.violations
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if number % len(names) == 0:
            order = np.random.default_rng([seed, number, 1]).permutation(len(names))
        yield _drawn(drafter, names[int(order[number % len(names)])], rng)


def _drawn(drafter: Drafter, violation: str, rng: np.random.Generator) -> Flip | None:
    for _ in range(TRIES):
        before = drafter.photo(rng.random())
        after = drafter.broken(before, violation, rng)
        if after is not None:
            return Flip(violation, before, after)
    return None


def try_flips(
    reader: Reader,
    drafter: Drafter,
    count: int,
    *,
    seed: int,
    batch: int = 16,
    done: Callable[[int], None] = lambda _: None,
) -> Trials:
    """Look at good photos before and after edits that `drafter` makes of them, `batch` at a time."""
    trials: list[Trial] = []
    drawn = draw_flips(drafter, count, seed)
    left_out = 0
    for start in range(0, count, batch):
        size = min(batch, count - start)
        flips = [flip for _, flip in zip(range(size), drawn, strict=False) if flip is not None]
        left_out += size - len(flips)
        trials += _tried(reader, flips)
        done(size)
    return Trials(tuple(trials), left_out)


def _tried(reader: Reader, flips: Sequence[Flip]) -> Iterator[Trial]:
    spec = reader.bundle.spec
    drafts = [draft for flip in flips for draft in (flip.before, flip.after)]
    looks = reader.look([draft.canvas.photo for draft in drafts]) if drafts else []
    read = [broken(spec, one.answers, draft.canvas.scene) for one, draft in zip(looks, drafts, strict=True)]
    true = [broken(spec, look(spec, draft.canvas.scene), draft.canvas.scene) for draft in drafts]
    for number, flip in enumerate(flips):
        was, now = read[2 * number : 2 * number + 2]
        meant = true[2 * number] ^ true[2 * number + 1]
        told = f"{flip.before.canvas.scene.photo}: {flip.violation}"
        yield Trial(_family(spec, flip), told, was ^ now == meant)


def broken(spec: Spec, answers: tuple[Answer, ...], scene: Scene) -> frozenset[str]:
    """Ids of the constraints that the answers break."""
    findings = judge(spec, by_query(answers), scene.width, scene.height)
    return frozenset(finding.constraint for finding in findings if finding.status == "broken")


def _family(spec: Spec, flip: Flip) -> str:
    families = {constraint.id: constraint.family for constraint in spec.constraints}
    return families[flip.after.edits[-1].constraint]
