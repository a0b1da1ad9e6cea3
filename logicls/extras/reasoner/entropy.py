"""How open answers are: entropies of their slots, and the reward that is made of them.

A slot is a place where the model chooses. In words it chooses among options (the reward's own case, Reason-IAD, arXiv
2602.09850); on the map of the photo it says of each place whether a thing is there, whose entropy is the binary one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from logicls.records import Answer

MOST = 5
"""Options, the likeliest ones, that a slot's entropy is made of."""
TINY = 1e-9


def truncated(
    chances: Float[Tensor, "*slots options"], meant: Bool[Tensor, "*#slots options"], most: int = MOST
) -> Float[Tensor, "*slots"]:
    """Entropy of the `most` likeliest of the options that are meant, as a share of the largest it can have, 0 to 1.

    H(P) = −Σ p̃ log p̃ / log k, with p̃ the k likeliest options' chances, made to sum to 1; k is `most`, or the number of
    options that are meant where they are fewer. A slot with one option has none.
    """
    k = min(most, chances.shape[-1])
    top = chances.masked_fill(~meant, 0.0).topk(k, -1).values
    share = top / top.sum(-1, keepdim=True).clamp(min=TINY)
    count = meant.sum(-1).clamp(max=k)
    entropy = -(share * share.clamp(min=TINY).log()).sum(-1)
    return torch.where(count > 1, entropy / count.clamp(min=2).log(), 0.0)


def binary(logits: Float[Tensor, "*slots"]) -> Float[Tensor, "*slots"]:
    """Entropy of yes or no, in bits, 0 to 1, of the logit of yes."""
    yes = logits.sigmoid()
    nats = -(yes * torch.nn.functional.logsigmoid(logits) + (1 - yes) * torch.nn.functional.logsigmoid(-logits))
    return nats / math.log(2)


def reward(entropies: Float[Tensor, "batch slots"]) -> Float[Tensor, " batch"]:
    """R = 1 − (1/m) Σ H(P_i) over the m slots, 0 to 1; 1 where there is nothing to choose."""
    if not entropies.shape[1]:
        return torch.ones(len(entropies))
    return 1 - entropies.mean(1)


def openness(answers: Iterable[Answer]) -> float:
    """The largest binary entropy, in bits, among the slots of answers that were given: 0 where all is sure."""
    return max((_bits(chance) for answer in answers for chance in (*answer.chances, answer.confidence)), default=0.0)


def uncertainty(answers: Iterable[Answer]) -> float:
    """Mean binary entropy, in bits, of how sure the answers are, 0 to 1: 0 where all are sure, or there is none."""
    some = [_bits(answer.confidence) for answer in answers]
    return math.fsum(some) / len(some) if some else 0.0


def _bits(chance: float) -> float:
    return -math.fsum(p * math.log2(p) for p in (chance, 1 - chance) if 0 < p < 1)
