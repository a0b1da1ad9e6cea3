"""nano's network: convolutions over the photo, transformer blocks over photo and words, and two ways to answer.

The photo's tokens see one another; a word sees the photo and the words before it in its own branch. Branches (one a
question) never see each other, so that one forward pass trains on all questions of a photo, and so that the answer
to a question is the same whether it is asked alone or among others. Values are answered in words; where things are is
pointed out on a map of the photo (see `point`), and the number of them said in words as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from logicls.models.nano.blocks import Block, Stem, grid_encoding, average_downscale
from logicls.models.nano.config import TOKEN_STRIDE, NanoConfig
from logicls.models.nano.crop_encoder import normalize, normalize_
from logicls.models.nano.detection_head import CELL_PIXELS, DetectionHead, TargetBoxes
from logicls.models.nano.losses import LossInputs, compute_losses


@dataclass
class NanoOutput(CausalLMOutputWithPast):
    """What a forward pass gives beside logits, key-value cache and loss."""

    hidden: Tensor | None = None
    """Hidden states of the given positions, normed, [batch new width]."""
    feature_map: Tensor | None = None
    """The map of the photo, [batch depth rows columns], where the photo was given."""
    fine_pixels: Tensor | None = None
    """The photo in all its pixels, normed, where things are looked at closely and it was given."""
    feature: Tensor | None = None
    """Mean of the encoder's output over the photo's tokens, [batch width], where the photo was given."""
    question_loss: Tensor | None = None
    """Mean loss of each question's answer, [batch questions]; nan where an example has fewer questions."""
    question_correct: Tensor | None = None
    """Whether every word of the answer is the likeliest, and the number of lights is the number of things."""


class NanoForImageTextToText(PreTrainedModel, GenerationMixin):
    """nano with its language head, which shares the word embeddings' weights, and its pointer."""

    config_class = NanoConfig
    base_model_prefix = "nano"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.stem = Stem(config.stem_width, config.width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPUs
        self.position_projection = nn.Linear(config.width, config.width, bias=False)
        self.encoder = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.encoder_layers))
        self.token_embeddings = nn.Embedding(config.vocab_size, config.width)
        self.position_embeddings = nn.Embedding(config.max_text, config.width)
        self.decoder = nn.ModuleList(Block(config.width, config.heads, i) for i in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        self.logit_bias = nn.Parameter(torch.zeros(config.vocab_size))
        closely = {"closely": config.detail > 1, "any_way": config.orientation_invariant}
        self.detection_head = DetectionHead(config.stem_width, config.width, config.stem_width, **closely).to(
            memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module is self:
            self.detection_head.start()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.token_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Exchange the word embeddings."""
        self.token_embeddings = value  # type: ignore[assignment]

    def encode_photos(self, pixel_values: Tensor) -> tuple[Float[Tensor, "batch tokens width"], Tensor]:
        """Visual tokens of photos given as [batch 3 height width], 0 to 255, and the stem's finer map."""
        pixels = normalize(pixel_values.to(self.position_projection.weight.dtype)).contiguous(
            memory_format=torch.channels_last
        )
        near, far = self.stem(pixels) if torch.is_grad_enabled() else self.stem.by_few(pixels)
        x = far.flatten(2).transpose(1, 2) + self.position_projection(
            grid_encoding(far.shape[2], far.shape[3], far.shape[1]).to(far)
        )
        for block in self.encoder:
            x = block(x)
        return x, near

    def forward(
        self,
        input_ids: Int[Tensor, "batch new"],
        pixel_values: Tensor | None = None,
        attention_mask: Int[Tensor, "batch seen"] | None = None,
        branch_ids: Int[Tensor, "#batch seen"] | None = None,
        past_key_values: Cache | None = None,
        labels: Int[Tensor, "batch new"] | None = None,
        weights: Float[Tensor, "batch questions"] | None = None,
        boxes: Float[Tensor, "batch most 4"] | None = None,
        box_question: Int[Tensor, "batch most"] | None = None,
        box_value: Int[Tensor, "batch most"] | None = None,
        located: Bool[Tensor, "batch questions"] | None = None,
        use_cache: bool | None = None,
        positions_to_keep: Int[Tensor, " read"] | None = None,
        logits_to_keep: int | Int[Tensor, " kept"] = 0,
        **_: Any,
    ) -> NanoOutput:
        """Logits of every given position, of so many at the end, or of those in `logits_to_keep`; or the loss.

        `words_to_keep`: which words are read to the end, if not all; logits are of those, the cache holds the others.
        `branch_ids`, of all that is seen, the cache as well: 0 for the photo's positions, 1, 2, … for the words of each
        question, -1 for padding; one row will do for a batch asked alike. Left out, words are one branch, padding is
        where `attention_mask` is 0. `labels` (of the next token, already shifted, `IGNORED` where nothing is learned)
        need `weights` of each question in the loss; `boxes`, x1 y1 x2 y2 in pixels of the input; `box_question`, whose
        each is, from 0, -1 for padding; `box_value`, the word to be read of it, `IGNORED` for where it is; `located`.
        """
        past_key_values = DynamicCache() if use_cache and past_key_values is None else past_key_values
        branches = self._single_branch(input_ids, attention_mask, past_key_values) if branch_ids is None else branch_ids
        photo, coarse = self._split_resolutions(pixel_values)
        x, chart, feature = self._encode(input_ids, coarse, branches, past_key_values, positions_to_keep)
        if labels is None:
            kept = x[:, slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep]
            return NanoOutput(
                None,
                self.compute_logits(kept),
                past_key_values,
                hidden=x,
                feature_map=chart,
                fine_pixels=photo,
                feature=feature,
            )
        if chart is None or boxes is None or box_question is None or box_value is None:
            raise ValueError("labels need pixel_values, boxes, box_question and box_value beside them")
        if located is None or weights is None:
            raise ValueError("labels need located and weights beside them")
        things = TargetBoxes(boxes / CELL_PIXELS, box_question, box_value)
        told = LossInputs(
            x, input_ids == self.config.answer_token_id, branches, labels, weights, things, located, photo
        )
        losses = compute_losses(told, chart, self.compute_logits, self.detection_head)
        return NanoOutput(
            loss=losses.total, question_loss=losses.per_question, question_correct=losses.correct, feature_map=chart
        )

    def _split_resolutions(self, pixel_values: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The photo in all its pixels, normed, where things are looked at closely; and in the pixels of the input."""
        if pixel_values is None or self.config.detail == 1:
            return None, pixel_values
        fine = pixel_values.to(self.position_projection.weight.dtype, copy=True)
        return normalize_(fine), average_downscale(pixel_values, self.config.detail)

    def _encode(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        branches: Tensor,
        cache: Cache | None,
        kept: Tensor | None,
    ) -> tuple[Float[Tensor, "batch new width"], Tensor | None, Tensor | None]:
        """Hidden states of the given positions, normed; where the photo is among them its map, and its feature."""
        new = input_ids.shape[1]
        before = _branch_mask(branches, new)
        places = (before.sum(-1) - 1) * (branches[:, -new:] > 0)
        x = self.token_embeddings(input_ids) + self.position_embeddings(places.clamp(0, self.config.max_text - 1))
        mask: Tensor | None = ((branches == 0)[:, None] | before)[:, None]
        near = feature = None
        if pixel_values is not None:
            tokens, near = self.encode_photos(pixel_values)
            feature = tokens.mean(1)
            visual = input_ids == self.config.image_token_id
            x = x.masked_scatter(visual[..., None], tokens.to(x.dtype))
            if new == tokens.shape[1]:
                mask = None  # there is the photo alone, which sees all of itself
        *blocks, last = self.decoder
        for block in blocks:
            x = block(x, mask, cache)
        x = last(x, mask if mask is None or kept is None else mask[:, :, kept], cache, kept)
        x = self.norm(x)
        return x, self._make_feature_map(near, x) if near is not None else None, feature

    def compute_logits(self, x: Float[Tensor, "*positions width"]) -> Float[Tensor, "*positions vocab"]:
        """Logits over the vocabulary, of normed hidden states."""
        return F.linear(x, self.token_embeddings.weight, self.logit_bias)

    def _make_feature_map(self, near: Tensor, x: Tensor) -> Tensor:
        """The map; the photo's positions are the first ones."""
        rows, columns = near.shape[2] * CELL_PIXELS // TOKEN_STRIDE, near.shape[3] * CELL_PIXELS // TOKEN_STRIDE
        far = x[:, : rows * columns].transpose(1, 2).unflatten(2, (rows, columns))
        out: Tensor = self.detection_head.chart(near, far)
        return out

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, past_key_values: Cache | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The photo goes in with the first step only; afterwards one token at a time."""
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        inputs: dict[str, Any] = {"input_ids": input_ids[:, past:], "past_key_values": past_key_values}
        inputs["use_cache"] = kwargs.get("use_cache", True)
        inputs["attention_mask"], inputs["logits_to_keep"] = kwargs.get("attention_mask"), 1
        if past == 0:
            inputs["pixel_values"] = kwargs.get("pixel_values")
        return inputs

    def _single_branch(
        self, input_ids: Int[Tensor, "batch new"], attention_mask: Int[Tensor, "batch seen"] | None, cache: Cache | None
    ) -> Int[Tensor, "batch seen"]:
        """Branches where there is one a row: padding, then the photo, then words."""
        past = cache.get_seq_length() if cache is not None else 0
        if attention_mask is None:
            attention_mask = input_ids.new_ones(len(input_ids), past + input_ids.shape[1])
        words = attention_mask[:, :past].cumsum(1) > self.config.image_tokens
        branches = torch.cat([words, input_ids != self.config.image_token_id], 1).long()
        return branches.masked_fill(attention_mask == 0, -1)


def _branch_mask(branches: Int[Tensor, "batch seen"], new: int) -> Bool[Tensor, "batch new seen"]:
    """For each of the last `new` positions those of its own branch up to itself."""
    index = torch.arange(branches.shape[1], device=branches.device)
    return (branches[:, -new:, None] == branches[:, None]) & (index[-new:, None] >= index)
