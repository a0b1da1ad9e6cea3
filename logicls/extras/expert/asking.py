"""The model as it is, asked one more question after a photo and prior tokens: is anything wrong?

Prior tokens stand where think tokens do (`extras.reasoner.slots`): after the photo's tokens and before any question.
The question is that for the verdict to begin with, its words then learned as tokens are (prompt tuning, Lester et al.
2021, section 2). The answer is read from the model's own head, and no weight of the model is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from logicls.constraints.decompose import VERDICT
from logicls.errors import DataError, Problem
from logicls.extras.reasoner.slots import Keys, keys_of, thought_into
from logicls.models.bundle import Bundle
from logicls.plugins import Photo
from logicls.predict.read.one_pass import OnePass
from logicls.synth.write import question


@runtime_checkable
class Asking(Protocol):
    """Asks a model about photos."""

    model: Any
    width: int
    """Of a token."""

    def question(self) -> Float[Tensor, "words width"]:
        """What is asked to begin with, as the model's first layer takes it."""
        ...

    def see(self, photos: Sequence[Photo]) -> Any:
        """What the model holds of photos, whatever is asked of them."""
        ...

    def usual(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """A token that is nothing out of the common to the model."""
        ...

    def odds(
        self, seen: Any, tokens: Float[Tensor, "photos tokens width"], asked: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Logit of the answer's probability that anything is wrong."""
        ...


def asking_of(bundle: Bundle) -> Asking:
    """That of a bundle. Raises `DataError` (LC727) where its own model does not answer."""
    if bundle.foreign or bundle.model is None:
        message = "prior tokens go into the bundle's own model, and here a model answers that runs elsewhere."
        raise DataError(Problem("LC727", message, advice="Name another expert, or --expert none."))
    if bundle.hub is None:
        return AskingNano(bundle)
    from logicls.extras.expert.asking_hub import AskingHub

    return AskingHub(bundle)


class AskingNano:
    """Asks the embedded model."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._pass = bundle.model, OnePass(bundle)
        self.width = int(self.model.config.width)
        codec = self._pass.codec
        query = next(query for query in self._pass.queries if query.id == VERDICT)
        self._words = torch.tensor(codec.prompt(question(query, bundle.spec)))
        self._wrong, self._right = torch.tensor(codec.allowed(query)), codec.none

    @torch.no_grad()
    def question(self) -> Float[Tensor, "words width"]:
        """The question for the verdict."""
        places = self.model.order.weight[: len(self._words)]
        asked: Tensor = self.model.words(self._words) + places
        return asked

    @torch.no_grad()
    def see(self, photos: Sequence[Photo]) -> Keys:
        """Keys and values of the photos' tokens."""
        return keys_of(self._pass.see(photos))

    @torch.no_grad()
    def usual(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """The mean of the photos' tokens."""
        return self._pass.see(photos).feature.mean(0)

    def odds(
        self, seen: Keys, tokens: Float[Tensor, "photos tokens width"], asked: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Any violation against none."""
        cache = thought_into(self.model, seen, tokens)
        before, words = cache.get_seq_length(), len(asked)
        mask = torch.ones(words, before + words, dtype=torch.bool).tril(before)[None, None]
        x = asked.expand(len(tokens), -1, -1)
        for block in self.model.decoder:
            x = block(x, mask, cache)
        said = self.model.head(self.model.norm(x[:, -1]))
        out: Tensor = said[:, self._wrong].logsumexp(1) - said[:, self._right]
        return out


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Meanwhile no weight of the model gets a gradient."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in learning:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learning:
            weight.requires_grad_()
