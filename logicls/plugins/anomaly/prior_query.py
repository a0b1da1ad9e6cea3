"""Query to the frozen model after a photo and prior tokens: is anything wrong?

Prior tokens stand between the photo's tokens and the question, as think tokens do (`plugins.reasoning.slot_entropy`).
The soft prompt is initialised with the verdict question and then learned (prompt tuning, Lester et al. 2021, section
2). The answer is read from the model's own head; for hub models it is yes or no, and tokens are input embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from logicls.constraints.checker.decomposition import VERDICT
from logicls.errors import DataError, Problem
from logicls.models.bundle import Bundle
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.shared_prefix import SharedPrefix
from logicls.plugins.reasoning.slot_entropy import PhotoKeys, append_think_tokens, photo_keys
from logicls.predict.plugin_protocols import Photo
from logicls.predict.readers.hub import HubReader
from logicls.predict.readers.nano import NanoReader
from logicls.prompts.templates import canonical_question


@runtime_checkable
class PriorQuery(Protocol):
    """Query of a model about photos and prior tokens."""

    @property
    def model(self) -> nn.Module:
        """Network whose weights stay frozen."""
        ...

    width: int
    """Width of a token."""

    def embed_question(self) -> Float[Tensor, "words width"]:
        """Return the initial soft prompt, as input of the model's first layer."""
        ...

    def encode(self, photos: Sequence[Photo]) -> Any:
        """Encode photos, independently of any question."""
        ...

    def neutral_token(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """Return an embedding that is typical for the model."""
        ...

    def log_odds(
        self, encoded: Any, tokens: Float[Tensor, "photos tokens width"], question: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Return the log-odds that anything is wrong."""
        ...


def build_prior_query(bundle: Bundle) -> PriorQuery:
    """Build the query for a bundle. Raises `DataError` (LC727) if an external model answers."""
    if bundle.is_external or bundle.model is None:
        message = "prior tokens need the bundle's own model, but an external model answers."
        raise DataError(Problem("LC727", message, advice="Select another expert, or --expert none."))
    if bundle.hub is None:
        return NanoPriorQuery(bundle)

    return HubPriorQuery(bundle)


class NanoPriorQuery:
    """Query of the embedded model."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._reader = bundle.nano_model, NanoReader(bundle)
        self.width = int(self.model.config.width)
        codec = self._reader.codec
        query = next(query for query in self._reader.queries if query.id == VERDICT)
        self._question_ids = torch.tensor(codec.encode_prompt(canonical_question(query, bundle.question_spec)))
        self._violation_ids, self._none_id = torch.tensor(codec.allowed_tokens(query)), codec.none

    @torch.no_grad()
    def embed_question(self) -> Float[Tensor, "words width"]:
        """Return the embedded verdict question."""
        positions = self.model.position_embeddings.weight[: len(self._question_ids)]
        embedded: Tensor = self.model.token_embeddings(self._question_ids) + positions
        return embedded

    @torch.no_grad()
    def encode(self, photos: Sequence[Photo]) -> PhotoKeys:
        """Return keys and values of the photos' tokens."""
        return photo_keys(self._reader.encode_photos(photos))

    @torch.no_grad()
    def neutral_token(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """Return the mean of the photos' tokens."""
        return self._reader.encode_photos(photos).feature.mean(0)

    def log_odds(
        self, encoded: PhotoKeys, tokens: Float[Tensor, "photos tokens width"], question: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Return the log-odds of any violation against none."""
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
    """Disable gradients of the model's weights within the context."""
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
    """Query of a hub model, photo by photo: photos may differ in size, and their caches are large."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._reader = bundle.hub_model, HubReader(bundle)
        self._embeddings = cast(nn.Embedding, self.model.get_input_embeddings())
        self.width = int(self._embeddings.weight.shape[1])
        self._question_ids, self._yes_id, self._no_id = _tokenize_question(self._reader.codec)

    @torch.no_grad()
    def embed_question(self) -> Float[Tensor, "words width"]:
        """Return the embedded question, with the chat template's suffix."""
        ids = torch.tensor(self._question_ids, device=self.model.device)
        embedded: Tensor = self._embeddings(ids)
        return embedded.float().cpu()

    @torch.no_grad()
    def encode(self, photos: Sequence[Photo]) -> list[SharedPrefix]:
        """Encode each photo with the text before its questions."""
        return [cast(SharedPrefix, self._reader.encode_photos([photo])[0]) for photo in photos]

    @torch.no_grad()
    def neutral_token(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """Return the mean of the question's tokens, since not every model exposes the photo's tokens."""
        return self.embed_question().mean(0)

    def log_odds(
        self,
        encoded: Sequence[SharedPrefix],
        tokens: Float[Tensor, "photos tokens width"],
        question: Float[Tensor, "words width"],
    ) -> Float[Tensor, " photos"]:
        """Return the log-odds of yes against no."""
        return torch.cat(
            [
                self._photo_log_odds(photo, torch.cat([photo_tokens, question])[None])
                for photo, photo_tokens in zip(encoded, tokens, strict=True)
            ]
        )

    def _photo_log_odds(self, encoded: SharedPrefix, suffix: Float[Tensor, "1 new width"]) -> Float[Tensor, 1]:
        """Run `suffix` after a photo, as the words of a question (`models.hub.shared_prefix`)."""
        model, branch, new = self.model, encoded.branch(1), suffix.shape[1]
        mask = torch.cat([branch.mask, branch.mask.new_ones(1, new)], 1)
        positions = (mask.cumsum(1) - 1)[:, -new:]
        if branch.position_shift is not None:
            positions = (positions + branch.position_shift)[None].expand(3, -1, -1)
        out = model(
            inputs_embeds=suffix.to(model.device, model.dtype), attention_mask=mask, position_ids=positions,
            past_key_values=branch.cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        logits: Tensor = out.logits[:, -1].float().cpu()
        return logits[:, self._yes_id] - logits[:, self._no_id]


def _tokenize_question(codec: HubAnswerCodec) -> tuple[list[int], int, int]:
    """Return tokens of the question with the answers' common prefix, then the first token that differs: yes, no."""
    question = codec.tokenize(codec.chat_format.format_question(QUESTION))
    yes, no = (codec.tokenize(codec.chat_format.format_answer(answer)) for answer in ANSWERS)
    common = next(k for k, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other)
    return question + yes[:common], yes[common], no[common]
