"""Network of nano: convolutional stem, transformer over photo and question tokens, language head and detection head.

Visual tokens attend to one another; a text token attends to the photo and to the tokens before it in its own branch.
Every question is one branch, and branches never attend to each other. So one forward pass trains on all questions of a
photo, and the answer to a question does not depend on the other questions. Values are answered as tokens; instances are
localized by the detection head (`logicls.models.nano.detection_head`), and their number is answered as a token as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from logicls.models.nano.blocks import Block, Stem, average_downscale, grid_encoding
from logicls.models.nano.config import TOKEN_STRIDE, NanoConfig
from logicls.models.nano.crop_encoder import normalize, normalize_
from logicls.models.nano.detection_head import CELL_PIXELS, DetectionHead, TargetBoxes
from logicls.models.nano.losses import LossInputs, compute_losses

RENAMED_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "stem.near.": "stem.fine.",
        "stem.far.": "stem.coarse.",
        "place.": "position_projection.",
        "words.": "token_embeddings.",
        "order.": "position_embeddings.",
        "bias": "logit_bias",
        "pointer.near.": "detection_head.fine_projection.",
        "pointer.far.": "detection_head.coarse_projection.",
        "pointer.mix.": "detection_head.mix.",
        "pointer.pattern.": "detection_head.centre_filter.",
        "pointer.asked.": "detection_head.query_projection.",
        "pointer.sides.": "detection_head.side_distances.",
        "pointer.edges.": "detection_head.edge_queries.",
        "pointer.keys.": "detection_head.edge_keys.",
        "pointer.seen.": "detection_head.attribute_mlp.",
        "pointer.glimpse.look.": "detection_head.crop_encoder.backbone.",
        "pointer.glimpse.tell.": "detection_head.crop_encoder.projection.",
    }
)
"""Names of weights in bundles, base weights and checkpoints of earlier versions → their names now: prefixes that end
with a dot, and whole names."""
_KEY_MAPPING = {
    "^" + old.replace(".", r"\.") + ("" if old.endswith(".") else "$"): new for old, new in RENAMED_WEIGHTS.items()
}
"""`RENAMED_WEIGHTS` as `from_pretrained` takes it: regular expression → replacement."""


@dataclass
class NanoOutput(CausalLMOutputWithPast):
    """Output of a forward pass, beside logits, key-value cache and loss."""

    hidden: Tensor | None = None
    """Normalized hidden states of the given positions, [batch new width]."""
    feature_map: Tensor | None = None
    """Feature map of the photo, [batch depth rows columns]; None without pixels."""
    fine_pixels: Tensor | None = None
    """Normalized photo at full resolution; None without pixels or without a crop encoder."""
    feature: Tensor | None = None
    """Mean of the encoder's output over the visual tokens, [batch width]; None without pixels."""
    question_loss: Tensor | None = None
    """Mean loss of each question's answer, [batch questions]; nan where an example has fewer questions."""
    question_correct: Tensor | None = None
    """True where every token of the answer is the likeliest and the number of detections is that of the boxes."""


class NanoForImageTextToText(PreTrainedModel, GenerationMixin):
    """nano with its language head, which shares the weights of the token embeddings, and its detection head."""

    config_class = NanoConfig
    base_model_prefix = "nano"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        stem = Stem(config.stem_width, config.width)
        self.stem: Stem = stem.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPUs
        self.position_projection = nn.Linear(config.width, config.width, bias=False)
        self.encoder = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.encoder_layers))
        self.token_embeddings = nn.Embedding(config.vocab_size, config.width)
        self.position_embeddings = nn.Embedding(config.max_text, config.width)
        self.decoder = nn.ModuleList(Block(config.width, config.heads, i) for i in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        self.logit_bias = nn.Parameter(torch.zeros(config.vocab_size))
        head = DetectionHead(
            config.stem_width,
            config.width,
            config.stem_width,
            use_crops=config.detail > 1 or config.along_diagonals,
            orientation_invariant=config.orientation_invariant,
            along_diagonals=config.along_diagonals,
        )
        self.detection_head: DetectionHead = head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_load_state_dict_pre_hook(_rename_weights)  # type: ignore[no-untyped-call]
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load weights as `transformers` does; names of earlier versions are mapped to the present ones."""
        found = super().from_pretrained(*args, key_mapping=_KEY_MAPPING, **kwargs)
        model = found[0] if isinstance(found, tuple) else found
        # transformers would write the names that it found, by the inverse of the mapping that it keeps here.
        vars(model).pop("_weight_conversions", None)
        return found

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
            self.detection_head.initialize()

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embeddings."""
        return self.token_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.token_embeddings = value  # type: ignore[assignment]

    def encode_photos(self, pixel_values: Tensor) -> tuple[Float[Tensor, "batch tokens width"], Tensor]:
        """Encode photos [batch 3 height width], 0 to 255, as visual tokens. Returns the stem's fine map as well."""
        pixels = normalize(pixel_values.to(self.position_projection.weight.dtype))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        fine, coarse = self.stem(pixels) if torch.is_grad_enabled() else self.stem.forward_in_chunks(pixels)
        positions = grid_encoding(coarse.shape[2], coarse.shape[3], coarse.shape[1]).to(coarse)
        x = coarse.flatten(2).transpose(1, 2) + self.position_projection(positions)
        for block in self.encoder:
            x = block(x)
        return x, fine

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
        box_next_value: Int[Tensor, "batch most"] | None = None,
        box_next_share: Float[Tensor, "batch most"] | None = None,
        located: Bool[Tensor, "batch questions"] | None = None,
        use_cache: bool | None = None,
        positions_to_keep: Int[Tensor, " read"] | None = None,
        logits_to_keep: int | Int[Tensor, " kept"] = 0,
        **_: Any,
    ) -> NanoOutput:
        """Compute logits, or with `labels` the loss.

        Args:
            input_ids: Tokens; placeholders stand for the visual tokens.
            pixel_values: Photos [batch 3 height width], 0 to 255.
            attention_mask: 0 at padding; used where `branch_ids` is None.
            branch_ids: Of all positions, those in the cache as well: 0 for the photo, 1, 2, … for the tokens of each
                question, -1 for padding; one row serves a batch with the same questions. None: all text is one branch.
            past_key_values: Key-value cache, which is extended.
            labels: Next token of each position (already shifted), `IGNORE_INDEX` where there is no loss.
            weights: Weight of each question in the loss.
            boxes: x1, y1, x2, y2 in pixels of the input.
            box_question: Number of each box's question, from 0; -1 for padding.
            box_value: Token of each box's attribute value; `IGNORE_INDEX` where the question asks for the location.
            box_next_value: Token of the value after it, where the true one lies between two.
            box_next_share: How far the true value lies from `box_value` to `box_next_value`, 0 to 1.
            located: True for questions that ask for locations.
            use_cache: Make a cache where none is given.
            positions_to_keep: Positions that pass the last layer, if not all; the cache holds the others too.
            logits_to_keep: Number of positions at the end that get logits, or their indices; 0 for all.
        """
        past_key_values = DynamicCache() if use_cache and past_key_values is None else past_key_values
        branches = self._single_branch(input_ids, attention_mask, past_key_values) if branch_ids is None else branch_ids
        fine_pixels, pixels = self._split_resolutions(pixel_values)
        x, feature_map, feature = self._encode(input_ids, pixels, branches, past_key_values, positions_to_keep)
        if labels is None:
            read = x[:, slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep]
            return NanoOutput(
                None, self.compute_logits(read), past_key_values,
                hidden=x, feature_map=feature_map, fine_pixels=fine_pixels, feature=feature,
            )  # fmt: skip
        if feature_map is None or boxes is None or box_question is None or box_value is None:
            raise ValueError("labels need pixel_values, boxes, box_question and box_value beside them")
        if located is None or weights is None:
            raise ValueError("labels need located and weights beside them")
        targets = TargetBoxes(boxes / CELL_PIXELS, box_question, box_value, box_next_value, box_next_share)
        inputs = LossInputs(x, input_ids == self.answer_start, branches, labels, weights, targets, located, fine_pixels)
        losses = compute_losses(inputs, feature_map, self.compute_logits, self.detection_head)
        return NanoOutput(
            loss=losses.total,
            question_loss=losses.per_question,
            question_correct=losses.correct,
            feature_map=feature_map,
        )

    @property
    def answer_start(self) -> int:
        """Token after which an answer begins."""
        return int(self.config.answer_token_id)

    def _split_resolutions(self, pixel_values: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Return the normalized photo at full resolution (None without a crop encoder), and that of the input."""
        if pixel_values is None or self.detection_head.crop_encoder is None:
            return None, pixel_values
        fine = normalize_(pixel_values.to(self.position_projection.weight.dtype, copy=True))
        detail = self.config.detail
        return fine, average_downscale(pixel_values, detail) if detail > 1 else pixel_values

    def _encode(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        branches: Tensor,
        cache: Cache | None,
        query_positions: Tensor | None,
    ) -> tuple[Float[Tensor, "batch new width"], Tensor | None, Tensor | None]:
        """Return normalized hidden states; where pixels are given, the feature map and the photo's feature too."""
        new = input_ids.shape[1]
        earlier = _branch_mask(branches, new)
        positions = (earlier.sum(-1) - 1) * (branches[:, -new:] > 0)
        x = self.token_embeddings(input_ids) + self.position_embeddings(positions.clamp(0, self.config.max_text - 1))
        mask: Tensor | None = ((branches == 0)[:, None] | earlier)[:, None]
        fine = feature = None
        if pixel_values is not None:
            tokens, fine = self.encode_photos(pixel_values)
            feature = tokens.mean(1)
            is_visual = input_ids == self.config.image_token_id
            x = x.masked_scatter(is_visual[..., None], tokens.to(x.dtype))
            if new == tokens.shape[1]:
                mask = None  # the photo alone, all of whose tokens attend to each other
        *blocks, last = self.decoder
        for block in blocks:
            x = block(x, mask, cache)
        queries = query_positions
        x = last(x, mask if mask is None or queries is None else mask[:, :, queries], cache, queries)
        x = self.norm(x)
        return x, self._make_feature_map(fine, x) if fine is not None else None, feature

    def compute_logits(self, x: Float[Tensor, "*positions width"]) -> Float[Tensor, "*positions vocab"]:
        """Compute logits over the vocabulary from normalized hidden states."""
        return F.linear(x, self.token_embeddings.weight, self.logit_bias)

    def _make_feature_map(self, fine: Tensor, x: Tensor) -> Tensor:
        """Make the feature map of the detection head; the visual tokens are the first positions of `x`."""
        rows, columns = fine.shape[2] * CELL_PIXELS // TOKEN_STRIDE, fine.shape[3] * CELL_PIXELS // TOKEN_STRIDE
        coarse = x[:, : rows * columns].transpose(1, 2).unflatten(2, (rows, columns))
        return self.detection_head.make_feature_map(fine, coarse)

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, past_key_values: Cache | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Pass the photo in the first step of generation only, afterwards one token at a time."""
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
        """Return branch numbers for one question a row: padding, then the photo, then text."""
        past = cache.get_seq_length() if cache is not None else 0
        if attention_mask is None:
            attention_mask = input_ids.new_ones(len(input_ids), past + input_ids.shape[1])
        is_text = attention_mask[:, :past].cumsum(1) > self.config.image_tokens
        branches = torch.cat([is_text, input_ids != self.config.image_token_id], 1).long()
        return branches.masked_fill(attention_mask == 0, -1)


def _branch_mask(branches: Int[Tensor, "batch seen"], new: int) -> Bool[Tensor, "batch new seen"]:
    """Mask, for each of the last `new` positions, those of its own branch up to itself."""
    index = torch.arange(branches.shape[1], device=branches.device)
    return (branches[:, -new:, None] == branches[:, None]) & (index[-new:, None] >= index)


def _rename_weights(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Map the names of earlier versions in a state dict that is about to be loaded, in place."""
    for key in [key for key in state_dict if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        for old, new in RENAMED_WEIGHTS.items():
            if name == old or (old.endswith(".") and name.startswith(old)):
                state_dict[f"{prefix}{new}{name.removeprefix(old)}"] = state_dict.pop(key)
                break
