"""What the stage with rewards asks of a model, whichever kind it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from transformers import GenerationConfig

from logicls.records import Answer
from logicls.train.heldout import Evaluation
from logicls.train.rewards import Task

Tokens = Sequence[int]


@runtime_checkable
class Policy(Protocol):
    """A model that answers questions about photos in words that are drawn by chance."""

    model: Any
    """The model itself, or an adapter of peft around it."""
    tokenizer: Any
    end: int
    """Token that ends an answer."""
    image: int
    """Placeholder of a photo, which no answer may hold."""
    most: int
    """Tokens that an answer may have."""

    def asks(self, query: str) -> bool:
        """Whether the answer to a question of that id is in words, so that a reward can change it."""
        ...

    def prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """Tokens of each prompt, and what else `generate` is given for all of them: pixels above all."""
        ...

    def say(self, tasks: Sequence[Task], given: GenerationConfig) -> list[list[int]] | None:
        """An answer to each task, up to its end; None where `generate` may as well be given the prompts."""
        ...

    def logits(self, model: Any, tasks: Sequence[Task], said: Sequence[Tokens]) -> list[Float[Tensor, "tokens vocab"]]:
        """For each answer that was given, the logits of its tokens, each from what stands before it."""
        ...

    def held(self, model: Any, tasks: Sequence[Task]) -> Tensor | None:
        """Loss of what the model tells about these photos without words, so that it does not forget it."""
        ...

    def read(self, task: Task, said: Tokens) -> Answer | None:
        """The answer in these tokens; None where there is none."""
        ...

    def look(self, numbers: Sequence[int]) -> Evaluation:
        """How well the examples of these rows are answered, all of their questions, without chance."""
        ...
