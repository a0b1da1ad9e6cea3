"""The model as it is, asked one more question after a photo and prior tokens: is anything wrong?

Prior tokens stand where think tokens do (`extras.reasoner.slots`): after the photo's tokens and before any question.
The question is that for the verdict to begin with, its words then learned as tokens are (prompt tuning, Lester et al.
2021, section 2). The answer is read from the model's own head, and no weight of the model is changed.

The same question of a model of the hub: prior tokens as embeddings behind the photo's, the answer yes or no.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from logicls.constraints.checker.decomposition import VERDICT
from logicls.errors import DataError, Problem
from logicls.models.bundle import Bundle
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.plugins.reasoning.slot_entropy import Keys, keys_of, thought_into
from logicls.predict.plugin_protocols import Photo
from logicls.predict.readers.constrained_decoding import EncodedPrefix
from logicls.predict.readers.hub import HubReader
from logicls.predict.readers.nano import NanoReader
from logicls.prompts.templates import question


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
    if bundle.is_external or bundle.model is None:
        message = "prior tokens go into the bundle's own model, and here a model answers that runs elsewhere."
        raise DataError(Problem("LC727", message, advice="Name another expert, or --expert none."))
    if bundle.hub is None:
        return AskingNano(bundle)

    return AskingHub(bundle)


class AskingNano:
    """Asks the embedded model."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._pass = bundle.model, NanoReader(bundle)
        self.width = int(self.model.config.width)
        codec = self._pass.codec
        query = next(query for query in self._pass.queries if query.id == VERDICT)
        self._words = torch.tensor(codec.encode_prompt(question(query, bundle.spec)))
        self._wrong, self._right = torch.tensor(codec.allowed_tokens(query)), codec.none

    @torch.no_grad()
    def question(self) -> Float[Tensor, "words width"]:
        """The question for the verdict."""
        places = self.model.order.weight[: len(self._words)]
        asked: Tensor = self.model.words(self._words) + places
        return asked

    @torch.no_grad()
    def see(self, photos: Sequence[Photo]) -> Keys:
        """Keys and values of the photos' tokens."""
        return keys_of(self._pass.encode_photos(photos))

    @torch.no_grad()
    def usual(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """The mean of the photos' tokens."""
        return self._pass.encode_photos(photos).feature.mean(0)

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


QUESTION = "Is anything on this product damaged? Answer yes or no."
ANSWERS = ("yes", "no")


class AskingHub:
    """Asks a model of the hub, photo by photo: they may differ in size, and hold much memory."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._pass = bundle.model, HubReader(bundle)
        self.width = int(self.model.get_input_embeddings().weight.shape[1])
        self._words, self._wrong, self._right = _asked(self._pass.codec)

    @torch.no_grad()
    def question(self) -> Float[Tensor, "words width"]:
        """The question and what the chat template writes after it."""
        words = torch.tensor(self._words, device=self.model.device)
        asked: Tensor = self.model.get_input_embeddings()(words)
        return asked.float().cpu()

    @torch.no_grad()
    def see(self, photos: Sequence[Photo]) -> list[EncodedPrefix]:
        """Each photo and the text before its questions, read."""
        return [self._pass.encode_photos([photo])[0] for photo in photos]

    @torch.no_grad()
    def usual(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """The mean of the question's words: a photo's own tokens are not told by every model."""
        return self.question().mean(0)

    def odds(
        self,
        seen: Sequence[EncodedPrefix],
        tokens: Float[Tensor, "photos tokens width"],
        asked: Float[Tensor, "words width"],
    ) -> Float[Tensor, " photos"]:
        """Yes against no."""
        return torch.cat(
            [self._odds(one, torch.cat([some, asked])[None]) for one, some in zip(seen, tokens, strict=True)]
        )

    def _odds(self, seen: EncodedPrefix, behind: Float[Tensor, "1 new width"]) -> Float[Tensor, 1]:
        """What stands `behind` a photo is read as the words of a question are (`models.hub.branches`)."""
        model, one, new = self.model, seen.branch(1), behind.shape[1]
        mask = torch.cat([one.mask, one.mask.new_ones(1, new)], 1)
        places = (mask.cumsum(1) - 1)[:, -new:]
        if one.shift is not None:
            places = (places + one.shift)[None].expand(3, -1, -1)
        out = model(
            inputs_embeds=behind.to(model.device, model.dtype), attention_mask=mask, position_ids=places,
            past_key_values=one.cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        said: Tensor = out.logits[:, -1].float().cpu()
        return said[:, self._wrong] - said[:, self._right]


def _asked(codec: HubAnswerCodec) -> tuple[list[int], int, int]:
    """Tokens of the question, with those that both answers begin with; then the first in which they differ."""
    words = codec.tokenize(codec.chat_format.format_question(QUESTION))
    wrong, right = (codec.tokenize(codec.chat_format.format_answer(answer)) for answer in ANSWERS)
    alike = next(k for k, (one, other) in enumerate(zip(wrong, right, strict=False)) if one != other)
    return words + wrong[:alike], wrong[alike], right[alike]
