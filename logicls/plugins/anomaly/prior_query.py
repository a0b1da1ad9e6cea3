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
from logicls.plugins.reasoning.slot_entropy import PhotoKeys, append_think_tokens, photo_keys
from logicls.predict.plugin_protocols import Photo
from logicls.predict.readers.constrained_decoding import EncodedPrefix
from logicls.predict.readers.hub import HubReader
from logicls.predict.readers.nano import NanoReader
from logicls.prompts.templates import canonical_question


@runtime_checkable
class PriorQuery(Protocol):
    """Asks a model about photos."""

    model: Any
    width: int
    """Of a token."""

    def embed_question(self) -> Float[Tensor, "words width"]:
        """What is asked to begin with, as the model's first layer takes it."""
        ...

    def encode(self, photos: Sequence[Photo]) -> Any:
        """What the model holds of photos, whatever is asked of them."""
        ...

    def neutral_token(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """A token that is nothing out of the common to the model."""
        ...

    def log_odds(
        self, encoded: Any, tokens: Float[Tensor, "photos tokens width"], question: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Logit of the answer's probability that anything is wrong."""
        ...


def build_prior_query(bundle: Bundle) -> PriorQuery:
    """That of a bundle. Raises `DataError` (LC727) where its own model does not answer."""
    if bundle.is_external or bundle.model is None:
        message = "prior tokens go into the bundle's own model, and here a model answers that runs elsewhere."
        raise DataError(Problem("LC727", message, advice="Name another expert, or --expert none."))
    if bundle.hub is None:
        return NanoPriorQuery(bundle)

    return HubPriorQuery(bundle)


class NanoPriorQuery:
    """Asks the embedded model."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._pass = bundle.model, NanoReader(bundle)
        self.width = int(self.model.config.width)
        codec = self._pass.codec
        query = next(query for query in self._pass.queries if query.id == VERDICT)
        self._question_ids = torch.tensor(codec.encode_prompt(canonical_question(query, bundle.spec)))
        self._violation_ids, self._none_id = torch.tensor(codec.allowed_tokens(query)), codec.none

    @torch.no_grad()
    def embed_question(self) -> Float[Tensor, "words width"]:
        """The question for the verdict."""
        positions = self.model.position_embeddings.weight[: len(self._question_ids)]
        embedded: Tensor = self.model.token_embeddings(self._question_ids) + positions
        return embedded

    @torch.no_grad()
    def encode(self, photos: Sequence[Photo]) -> PhotoKeys:
        """Keys and values of the photos' tokens."""
        return photo_keys(self._pass.encode_photos(photos))

    @torch.no_grad()
    def neutral_token(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """The mean of the photos' tokens."""
        return self._pass.encode_photos(photos).feature.mean(0)

    def log_odds(
        self, encoded: PhotoKeys, tokens: Float[Tensor, "photos tokens width"], question: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Any violation against none."""
        cache = append_think_tokens(self.model, encoded, tokens)
        prefix, words = cache.get_seq_length(), len(question)
        mask = torch.ones(words, prefix + words, dtype=torch.bool).tril(prefix)[None, None]
        x = question.expand(len(tokens), -1, -1)
        for block in self.model.decoder:
            x = block(x, mask, cache)
        logits = self.model.compute_logits(self.model.norm(x[:, -1]))
        log_odds: Tensor = logits[:, self._violation_ids].logsumexp(1) - logits[:, self._none_id]
        return log_odds


@contextmanager
def freeze_weights(model: nn.Module) -> Iterator[None]:
    """Meanwhile no weight of the model gets a gradient."""
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_()


QUESTION = "Is anything on this product damaged? Answer yes or no."
ANSWERS = ("yes", "no")


class HubPriorQuery:
    """Asks a model of the hub, photo by photo: they may differ in size, and hold much memory."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._pass = bundle.model, HubReader(bundle)
        self.width = int(self.model.get_input_embeddings().weight.shape[1])
        self._question_ids, self._yes_id, self._no_id = _tokenize_question(self._pass.codec)

    @torch.no_grad()
    def embed_question(self) -> Float[Tensor, "words width"]:
        """The question and what the chat template writes after it."""
        ids = torch.tensor(self._question_ids, device=self.model.device)
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded.float().cpu()

    @torch.no_grad()
    def encode(self, photos: Sequence[Photo]) -> list[EncodedPrefix]:
        """Each photo and the text before its questions, read."""
        return [self._pass.encode_photos([photo])[0] for photo in photos]

    @torch.no_grad()
    def neutral_token(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """The mean of the question's words: a photo's own tokens are not told by every model."""
        return self.embed_question().mean(0)

    def log_odds(
        self,
        encoded: Sequence[EncodedPrefix],
        tokens: Float[Tensor, "photos tokens width"],
        question: Float[Tensor, "words width"],
    ) -> Float[Tensor, " photos"]:
        """Yes against no."""
        return torch.cat(
            [
                self._photo_log_odds(photo, torch.cat([photo_tokens, question])[None])
                for photo, photo_tokens in zip(encoded, tokens, strict=True)
            ]
        )

    def _photo_log_odds(self, encoded: EncodedPrefix, suffix: Float[Tensor, "1 new width"]) -> Float[Tensor, 1]:
        """What stands `behind` a photo is read as the words of a question are (`models.hub.branches`)."""
        model, branch, new = self.model, encoded.branch(1), suffix.shape[1]
        mask = torch.cat([branch.mask, branch.mask.new_ones(1, new)], 1)
        positions = (mask.cumsum(1) - 1)[:, -new:]
        if branch.shift is not None:
            positions = (positions + branch.shift)[None].expand(3, -1, -1)
        out = model(
            inputs_embeds=suffix.to(model.device, model.dtype), attention_mask=mask, position_ids=positions,
            past_key_values=branch.cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        logits: Tensor = out.logits[:, -1].float().cpu()
        return logits[:, self._yes_id] - logits[:, self._no_id]


def _tokenize_question(codec: HubAnswerCodec) -> tuple[list[int], int, int]:
    """Tokens of the question, with those that both answers begin with; then the first in which they differ."""
    question = codec.tokenize(codec.chat_format.format_question(QUESTION))
    yes, no = (codec.tokenize(codec.chat_format.format_answer(answer)) for answer in ANSWERS)
    common = next(k for k, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other)
    return question + yes[:common], yes[common], no[common]
