"""The same question of a model of the hub: prior tokens as embeddings behind the photo's, the answer yes or no."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from logicls.models.bundle import Bundle
from logicls.models.hub.codec import Codec
from logicls.plugins import Photo
from logicls.predict.read.hub_pass import HubPass
from logicls.predict.read.side_by_side import Seen

QUESTION = "Is anything on this product damaged? Answer yes or no."
ANSWERS = ("yes", "no")


class AskingHub:
    """Asks a model of the hub, photo by photo: they may differ in size, and hold much memory."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self._pass = bundle.model, HubPass(bundle)
        self.width = int(self.model.get_input_embeddings().weight.shape[1])
        self._words, self._wrong, self._right = _asked(self._pass.codec)

    @torch.no_grad()
    def question(self) -> Float[Tensor, "words width"]:
        """The question and what the chat template writes after it."""
        words = torch.tensor(self._words, device=self.model.device)
        asked: Tensor = self.model.get_input_embeddings()(words)
        return asked.float().cpu()

    @torch.no_grad()
    def see(self, photos: Sequence[Photo]) -> list[Seen]:
        """Each photo and the text before its questions, read."""
        return [self._pass.read([photo])[0] for photo in photos]

    @torch.no_grad()
    def usual(self, photos: Sequence[Photo]) -> Float[Tensor, " width"]:
        """The mean of the question's words: a photo's own tokens are not told by every model."""
        return self.question().mean(0)

    def odds(
        self, seen: Sequence[Seen], tokens: Float[Tensor, "photos tokens width"], asked: Float[Tensor, "words width"]
    ) -> Float[Tensor, " photos"]:
        """Yes against no."""
        return torch.cat(
            [self._odds(one, torch.cat([some, asked])[None]) for one, some in zip(seen, tokens, strict=True)]
        )

    def _odds(self, seen: Seen, behind: Float[Tensor, "1 new width"]) -> Float[Tensor, 1]:
        """What stands `behind` a photo is read as the words of a question are (`models.hub.branches`)."""
        model, one, new = self.model, seen.branches(1), behind.shape[1]
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


def _asked(codec: Codec) -> tuple[list[int], int, int]:
    """Tokens of the question, with those that both answers begin with; then the first in which they differ."""
    words = codec.tokens(codec.talk.asked(QUESTION))
    wrong, right = (codec.tokens(codec.talk.told(answer)) for answer in ANSWERS)
    alike = next(k for k, (one, other) in enumerate(zip(wrong, right, strict=False)) if one != other)
    return words + wrong[:alike], wrong[alike], right[alike]
