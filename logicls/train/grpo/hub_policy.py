"""A model of the hub, as the stage with rewards sees it: every answer is a line of words, boxes too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig

from logicls.models.hub.chat_template import make_inputs, place_photo
from logicls.models.hub.shared_prefix import move_inputs
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Answer
from logicls.train.grpo.rewards import Task, Tokens
from logicls.train.hub_dataset import Batch, Examples, Turn, joined
from logicls.train.validation import Answers, Evaluation, evaluation

SPARE = 1.25
"""An answer may be so much longer than the longest true one that was seen."""
SEEN = 50
"""Examples whose answers are measured for that."""


class HubPolicy:
    """Of an adapter of peft, for the rows of a dataset."""

    def __init__(self, adapter: Any, examples: Examples) -> None:
        self.model, self.examples = adapter, examples
        self.tokenizer, self.codec = examples.processor.tokenizer, examples.codec
        self.end, self.image = self.codec.chat_format.end_token, int(adapter.config.image_token_id)
        some = (examples.rows[number] for number in range(min(SEEN, len(examples.rows))))
        self.most = int(SPARE * max(len(turn.told) for row in some for turn in examples.turns(row)))

    def asks(self, query: str) -> bool:
        """Every question."""
        return True

    def prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """The photo's part as the processor writes it, and the question with what the template puts after it."""
        inputs = self._inputs(tasks)
        ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
        asked = [self._asked(task) for task in tasks]
        prompts = [[*row[real].tolist(), *text] for row, real, text in zip(ids, mask, asked, strict=True)]
        given: dict[str, Any] = {}
        for name, value in move_inputs(self.model, inputs).items():
            if value.shape != ids.shape:
                given[name] = value
            elif name not in ("input_ids", "attention_mask"):
                # A number a token, as which of them are the photo's: of the text it is 0.
                rows = zip(value.cpu(), mask, asked, strict=True)
                given[name] = [[*row[real].tolist(), *([0] * len(text))] for row, real, text in rows]
        return prompts, given

    def say(self, tasks: Sequence[Task], given: GenerationConfig) -> list[list[int]] | None:
        """As all models do."""
        return None

    def logits(self, model: Any, tasks: Sequence[Task], said: Sequence[Tokens]) -> list[Float[Tensor, "tokens vocab"]]:
        """All answers end together."""
        turns = [Turn(tuple(self._asked(task)), tuple(some)) for task, some in zip(tasks, said, strict=True)]
        found = self._logits(model, joined(self._inputs(tasks), turns, self.tokenizer))
        return [row[-len(some) :] for row, some in zip(found, said, strict=True)]

    def held(self, model: Any, tasks: Sequence[Task]) -> Tensor | None:
        """Nothing: all is told in words, and the reference holds them."""
        return None

    def _logits(self, model: Any, batch: Batch) -> Float[Tensor, "rows longest vocab"]:
        """Of the answers' tokens, those of the shorter ones at the end."""
        given = move_inputs(model, batch)
        keep = int((given.pop("labels") != IGNORE_INDEX).sum(1).max()) + 1
        found: Tensor = model(**given, use_cache=False, logits_to_keep=keep).logits[:, -keep:-1].float()
        return found

    def _inputs(self, tasks: Sequence[Task]) -> dict[str, Tensor]:
        pictures = {number: self.examples.picture(number) for number in {task.number for task in tasks}}
        return make_inputs(self.examples.processor, self.codec.chat_format, [pictures[task.number] for task in tasks])

    def _asked(self, task: Task) -> list[int]:
        return self.codec.tokenize(self.codec.chat_format.format_question(task.question))

    def read(self, task: Task, said: Tokens) -> Answer | None:
        """The line, if it is one, with its boxes on the photo."""
        if said[-1] != self.end:
            return None
        shown = place_photo(task.size, self.examples.processor)
        found = self.codec.decode(self.codec.detokenize(said[:-1]), shown.canvas_size)
        return shown.answer_to_photo(found) if found is not None and found.query == task.query else None

    def look(self, numbers: Sequence[int]) -> Evaluation:
        """An answer is right if each of its tokens is the likeliest after the true ones before it."""
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            found = [self._looked(number) for number in numbers]
        self.model.train(was_training)
        return evaluation([found])

    def _looked(self, number: int) -> Answers:
        turns = list(self.examples.turns(self.examples.rows[number]))
        inputs = make_inputs(
            self.examples.processor, self.codec.chat_format, [self.examples.picture(number)] * len(turns)
        )
        batch = joined(inputs, turns, self.tokenizer)
        logits = self._logits(self.model, batch).cpu()
        wanted = batch["labels"][:, -logits.shape[1] :]
        each = functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
        )
        known = wanted != IGNORE_INDEX
        right = ((logits.argmax(-1) == wanted) | ~known).all(1)
        return (each.view_as(wanted).sum(1) / known.sum(1))[None], right[None]
