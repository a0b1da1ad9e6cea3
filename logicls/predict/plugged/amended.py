"""What plug-ins make of verdicts: a second look, a flaw that no rule names, what is known of the product."""

from __future__ import annotations

from collections.abc import Sequence

from logicls.plugins import Photo, PlugIns
from logicls.predict.plugged.flawed import with_flaw
from logicls.predict.plugged.recalled import recalled
from logicls.records import Verdict


def amended(plugins: PlugIns, photos: Sequence[Photo], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts on these photos after every plug-in has been asked, in order."""
    came = list(verdicts)
    if plugins.reasoner is not None:
        second = [plugins.reasoner.rethink(photo, verdict) for photo, verdict in zip(photos, came, strict=True)]
        came = [new or old for new, old in zip(second, came, strict=True)]
    if plugins.expert is not None:
        flaws = plugins.expert.examine(list(photos))
        came = [with_flaw(verdict, flaw) for verdict, flaw in zip(came, flaws, strict=True)]
    if plugins.retriever is not None:
        came = [recalled(*both) for both in zip(came, plugins.retriever.recall(list(photos)), strict=True)]
    return came
