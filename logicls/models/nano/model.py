"""nano's network: a strided-convolution stem, transformer blocks over the photo, then blocks over photo and words.

The photo's tokens see one another; a word sees the photo and the words before it in its own branch. Branches (one a
question) never see each other, so that one forward pass trains on all questions of a photo, and so that the answer
to a question is the same whether it is asked alone or among others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from logicls.models.nano.config import STRIDE, NanoConfig

IGNORED = -100
"""Label of a position that is not learned."""


@dataclass
class NanoOutput(CausalLMOutputWithPast):
    """What a forward pass gives beside logits, key-value cache and loss."""

    question_loss: Tensor | None = None
    """Mean loss of each question's answer, [batch questions]; nan where an example has fewer questions."""
    question_right: Tensor | None = None
    """Whether every value of the answer is the likeliest, and the number of boxes is right; [batch questions]."""


class Attention(nn.Module):
    """Multi-head attention with an optional key-value cache."""

    def __init__(self, width: int, heads: int, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = heads, layer
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch new width"], mask: Bool[Tensor, "batch 1 new seen"] | None, cache: Cache | None
    ) -> Float[Tensor, "batch new width"]:
        """Attend to what the mask allows; with a cache, to what came before as well."""
        batch, new, width = x.shape
        q, k, v = self.qkv(x).view(batch, new, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, new, width))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, layer: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, layer)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(approximate="tanh"), nn.Linear(3 * width, width))

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Attention, then the perceptron, each added to its input."""
        x = x + self.attention(self.norm1(x), mask, cache)
        x = x + self.mlp(self.norm2(x))
        return x


def stem(width: int) -> nn.Sequential:
    """3x3 convolutions, four of them with stride 2: pixels [batch 3 h w] → [batch width h/16 w/16]."""
    channels = [(3, 24, 2), (24, 48, 2), (48, 96, 2), (96, width, 2)]
    layers: list[nn.Module] = []
    for before, after, stride in channels:
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class NanoForImageTextToText(PreTrainedModel, GenerationMixin):
    """nano with its language head; the head shares the word embeddings' weights."""

    config_class = NanoConfig
    base_model_prefix = "nano"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        rows, columns = (side // STRIDE for side in config.image_size)
        self.stem = stem(config.width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPUs
        self.place = nn.Parameter(torch.empty(rows * columns, config.width))
        self.encoder = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.encoder_layers))
        self.words = nn.Embedding(config.vocab_size, config.width)
        self.order = nn.Embedding(config.max_text, config.width)
        self.decoder = nn.ModuleList(Block(config.width, config.heads, i) for i in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module is self:
            rows, columns = (side // STRIDE for side in self.config.image_size)
            with torch.no_grad():
                self.place.copy_(grid_waves(rows, columns, self.config.width))
                waves = line_waves(self.config.bins, self.config.width)
                first = self.config.first_loc
                self.words.weight[first : first + self.config.bins] = 0.04 * waves

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.words

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Exchange the word embeddings."""
        self.words = value  # type: ignore[assignment]

    def see(self, pixel_values: Tensor) -> Float[Tensor, "batch tokens width"]:
        """Visual tokens of photos given as [batch 3 height width], 0 to 255."""
        pixels = (pixel_values.to(self.place.dtype) - 127.5) / 64.0
        x: Tensor = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        x = x.flatten(2).transpose(1, 2) + self.place
        for block in self.encoder:
            x = block(x)
        return x

    def forward(
        self,
        input_ids: Int[Tensor, "batch new"],
        pixel_values: Tensor | None = None,
        attention_mask: Int[Tensor, "batch seen"] | None = None,
        branch_ids: Int[Tensor, "batch new"] | None = None,
        past_key_values: Cache | None = None,
        labels: Int[Tensor, "batch new"] | None = None,
        weights: Float[Tensor, "batch new"] | None = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> NanoOutput:
        """Logits of every given position.

        `branch_ids`: 0 for the photo's positions, 1, 2, … for the words of each question, -1 for padding; left out,
        all words are one branch. `labels` are those of the next token, already shifted, `IGNORED` where nothing is
        learned; `weights` scale each position's loss. With labels, only the learned positions' logits come back.
        """
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        visual = input_ids == self.config.image_token_id
        branches = branch_ids if branch_ids is not None else (~visual).long()
        x = self.words(input_ids) + self.order(self._positions(branches, attention_mask, past))
        if pixel_values is not None:
            x = x.masked_scatter(visual[..., None], self.see(pixel_values).to(x.dtype))
        mask = self._mask(branches, attention_mask, past)
        for block in self.decoder:
            x = block(x, mask, past_key_values)
        if labels is None:
            return NanoOutput(logits=self.head(x), past_key_values=past_key_values)
        learned = labels != IGNORED
        logits = self.head(x[learned])
        losses = self.losses(logits, labels[learned])
        share = weights[learned] if weights is not None else torch.ones_like(losses)
        loss = (losses * share).sum() / share.sum().clamp(min=1e-6)
        each, right = self._by_question(losses.detach(), logits.detach().argmax(-1), labels, branches)
        return NanoOutput(loss=loss, logits=logits, question_loss=each, question_right=right)

    def head(self, x: Float[Tensor, "*positions width"]) -> Float[Tensor, "*positions vocab"]:
        """Logits over the vocabulary."""
        return F.linear(self.norm(x), self.words.weight, self.bias)

    def losses(self, logits: Float[Tensor, "learned vocab"], target: Int[Tensor, " learned"]) -> Tensor:
        """Cross-entropy of each learned position.

        A coordinate's target is spread over its neighbours (a Gaussian of `loc_spread` bins): a near miss is a small
        error, and the mean of the distribution reads finer than a bin.
        """
        scores = F.log_softmax(logits.float(), -1)
        bins, first = self.config.bins, self.config.first_loc
        losses = -scores.gather(1, target[:, None])[:, 0]
        places = (target >= first) & (target < first + bins)
        distance = torch.arange(bins, device=target.device)[None] - (target[places] - first)[:, None]
        soft = torch.softmax(-(distance.float() ** 2) / (2 * self.config.loc_spread**2), -1)
        spread = -(soft * scores[places, first : first + bins]).sum(-1)
        return losses.masked_scatter(places, spread)

    def _by_question(
        self,
        losses: Float[Tensor, " learned"],
        likeliest: Int[Tensor, " learned"],
        labels: Int[Tensor, "batch new"],
        branches: Int[Tensor, "batch new"],
    ) -> tuple[Float[Tensor, "batch questions"], Bool[Tensor, "batch questions"]]:
        """Mean loss of each answer, and whether it is right; of a coordinate, that it is one is enough."""
        row, position = (labels != IGNORED).nonzero(as_tuple=True)
        target, questions = labels[row, position], int(branches.max())
        at, size = row * questions + branches[row, position] - 1, len(labels) * questions
        first, end = self.config.first_loc, self.config.first_loc + self.config.bins
        both_places = (target >= first) & (target < end) & (likeliest >= first) & (likeliest < end)
        wrong = ((likeliest != target) & ~both_places).to(losses.dtype)
        sums, misses, count = (
            losses.new_zeros(size).index_add(0, at, each).view(-1, questions)
            for each in (losses, wrong, torch.ones_like(losses))
        )
        return sums / count, (count > 0) & (misses == 0)

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, past_key_values: Cache | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The photo goes in with the first step only; afterwards one token at a time."""
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        inputs = {"input_ids": input_ids[:, past:], "past_key_values": past_key_values}
        inputs["use_cache"] = kwargs.get("use_cache", True)
        inputs["attention_mask"] = kwargs.get("attention_mask")
        if past == 0:
            inputs["pixel_values"] = kwargs.get("pixel_values")
        return inputs

    def _positions(self, branches: Tensor, attention_mask: Tensor | None, past: int) -> Tensor:
        """Position of each word in its branch, counted from 0; the photo's positions and padding are 0."""
        words = branches > 0
        if past:
            seen = attention_mask.sum(1, keepdim=True) if attention_mask is not None else branches.new_tensor(past + 1)
            first = seen - words.sum(1, keepdim=True) - self.config.image_tokens
            places: Tensor = (words.long().cumsum(1) - 1 + first) * words
            return places.clamp(0, self.config.max_text - 1)
        starts = torch.ones_like(branches, dtype=torch.bool)
        starts[:, 1:] = branches[:, 1:] != branches[:, :-1]
        index = torch.arange(branches.shape[1], device=branches.device).expand_as(branches)
        begin = torch.where(starts, index, 0).cummax(1).values
        return ((index - begin) * words).clamp(max=self.config.max_text - 1)

    def _mask(self, branches: Tensor, attention_mask: Tensor | None, past: int) -> Tensor | None:
        """Who may see whom, [batch 1 new seen]."""
        new = branches.shape[1]
        index = torch.arange(new, device=branches.device)
        same = branches[:, :, None] == branches[:, None, :]
        photo = (branches == 0)[:, None, :].expand(-1, new, -1)
        now = photo | (same & (index[None, :, None] >= index[None, None, :]))
        before = now.new_ones(now.shape[0], new, past)
        mask = torch.cat([before, now], -1)
        if attention_mask is not None:
            mask = mask & attention_mask[:, None, : mask.shape[-1]].bool()
            mask = mask | (~mask.any(-1, keepdim=True))
        return mask[:, None]


def line_waves(count: int, width: int) -> Float[Tensor, "count width"]:
    """Sines and cosines of `count` places on a line (Vaswani et al. 2017, section 3.5): near places look alike."""
    place = torch.arange(count).float()[:, None] / count
    rates = torch.exp(torch.linspace(math.log(1.0), math.log(count / 2), width // 2))[None]
    angles = 2 * math.pi * place * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def grid_waves(rows: int, columns: int, width: int) -> Float[Tensor, "places width"]:
    """The same for a grid: half of the width tells the row, half the column."""
    down = line_waves(rows, width // 2)[:, None].expand(-1, columns, -1)
    across = line_waves(columns, width // 2)[None].expand(rows, -1, -1)
    return 0.5 * torch.cat([down, across], -1).reshape(rows * columns, width)
