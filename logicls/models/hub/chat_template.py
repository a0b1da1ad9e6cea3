"""Prompts of hub models: photo and question in the chat template of the model.

The text around a question and around an answer is found by rendering the template with placeholders. The photo comes
first, so that the prompts of all questions about it have a common prefix. A processor that would crop a photo gets it
padded to a square instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jinja2
import numpy as np
from torch import Tensor

from logicls.data.image_io import LETTERBOX_GREY
from logicls.errors import DataError, Problem
from logicls.models.box_formats import Size
from logicls.models.hub.loading import HasImageProcessor, HubProcessor
from logicls.records import Answer, Box


@dataclass(frozen=True, slots=True)
class PhotoPlacement:
    """Position of a photo on the canvas that the processor is given."""

    canvas_size: Size
    """(width, height) of the canvas in pixels."""
    left: int
    """Columns of border to the left of the photo."""
    top: int
    """Rows of border above the photo."""
    photo_size: Size
    """(width, height) of the photo in pixels."""

    def boxes_to_canvas(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        """Convert boxes from pixels of the photo to pixels of the canvas."""
        return tuple(box.translate(self.left, self.top) for box in boxes)

    def answer_to_photo(self, answer: Answer) -> Answer:
        """Convert an answer's boxes to pixels of the photo, with sorted edges and clipped to it."""
        boxes = tuple(_sort_and_clip(box.translate(-self.left, -self.top), self.photo_size) for box in answer.boxes)
        return replace(answer, boxes=boxes)


def place_photo(size: Size, processor: HasImageProcessor) -> PhotoPlacement:
    """Place a photo of that (width, height): within a square where the processor crops one, else as it is."""
    if not getattr(processor.image_processor, "do_center_crop", False):
        return PhotoPlacement(size, 0, 0, size)
    width, height = size
    side = max(size)
    return PhotoPlacement((side, side), (side - width) // 2, (side - height) // 2, size)


def pad_photo(photo: np.ndarray, placement: PhotoPlacement) -> np.ndarray:
    """Put a photo, uint8 RGB [height width 3], onto its grey canvas."""
    if placement.canvas_size == placement.photo_size:
        return photo
    canvas = np.full((placement.canvas_size[1], placement.canvas_size[0], 3), LETTERBOX_GREY, np.uint8)
    canvas[placement.top : placement.top + photo.shape[0], placement.left : placement.left + photo.shape[1]] = photo
    return canvas


def _sort_and_clip(box: Box, size: Size) -> Box:
    (x1, x2), (y1, y2) = (
        sorted(min(max(edge, 0.0), float(side)) for edge in edges)
        for edges, side in zip(((box.x1, box.x2), (box.y1, box.y2)), size, strict=True)
    )
    return Box(x1, y1, x2, y2)


def make_inputs(
    processor: HubProcessor,
    chat_format: ChatFormat,
    images: Sequence[np.ndarray],
    reference: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """Process images, uint8 RGB [height width 3], each with the prompt up to its question.

    Rows are padded on the left and never truncated. Raises whatever the processor raises for an image that it rejects.

    Args:
        processor: The model's processor.
        chat_format: Its prompt format, with a placeholder for each image.
        images: One per row.
        reference: An image that comes before each of them.
    """
    inputs = processor(
        text=[chat_format.prompt_prefix] * len(images),
        images=[[image] if reference is None else [reference, image] for image in images],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        truncation=False,
        add_special_tokens=not chat_format.has_bos,
    )
    return dict(inputs)


QUESTION_PLACEHOLDER, ANSWER_PLACEHOLDER = "QqQqQ", "AaAaA"
"""Texts that no chat template contains."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """Text around a question and its answer."""

    prompt_prefix: str
    """Text before the question, with the photo's placeholder and the system prompt, if any."""
    prompt_suffix: str
    """Text from the question to the position where generation starts."""
    answer_lead: str
    """Text that the model writes before its answer: empty for most, a space for some."""
    end_token: int
    """Token with which the model ends its turn."""
    has_bos: bool
    """True where the template writes the beginning-of-sequence token, so that the tokenizer must not."""

    def format_question(self, question: str) -> str:
        """Return the prompt from the question on."""
        return f"{question}{self.prompt_suffix}"

    def format_answer(self, line: str) -> str:
        """Return the text of an answer, without the end token."""
        return f"{self.answer_lead}{line}"


@dataclass(frozen=True, slots=True)
class PromptContext:
    """Context in a prompt before the photo: notes and a reference photo."""

    notes: str = ""
    has_reference: bool = False
    """True where a reference photo comes first."""

    def to_parts(self) -> list[dict[str, str]]:
        """Return the parts of a turn. They come before the photo, so that prompts about it keep a common prefix."""
        reference = [{"type": "image"}] if self.has_reference else []
        return [*reference, *([{"type": "text", "text": self.notes}] if self.notes else [])]


def read_chat_format(processor: HubProcessor, model_name: str, context: PromptContext = PromptContext()) -> ChatFormat:
    """Find the text around a question and its answer by rendering the chat template of a model.

    Raises:
        DataError: The model has no chat template, or none for a photo and a question (LC431).
    """
    tokenizer, parts = processor.tokenizer, context.to_parts()
    prompt = _render(processor, model_name, parts, with_answer=False)
    prefix, has_question, suffix = prompt.partition(QUESTION_PLACEHOLDER)
    conversation = _render(processor, model_name, parts, with_answer=True)
    before_answer, has_answer, after_answer = conversation.partition(ANSWER_PLACEHOLDER)
    if not (has_question and has_answer):
        raise _error(model_name, "its chat template omits the question or the answer.")
    # Some templates write a finished turn differently from the beginning of one; then no lead can be found.
    lead = before_answer.removeprefix(prompt) if before_answer.startswith(prompt) else ""
    ends = tokenizer(after_answer, add_special_tokens=False)["input_ids"]
    end = ends[0] if ends and ends[0] in tokenizer.all_special_ids else tokenizer.eos_token_id
    if end is None:
        raise _error(model_name, "it has no token that ends a turn.")
    bos = tokenizer.bos_token
    return ChatFormat(prefix, suffix, lead, int(end), bool(bos) and prefix.startswith(bos))


def _render(processor: HubProcessor, name: str, parts: list[dict[str, str]], *, with_answer: bool) -> str:
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    template = template.get("default") if isinstance(template, dict) else template
    if not template:
        raise _error(name, "it has no chat template: it was not trained to answer questions.")
    turns: Any = [_turn("user", *parts, {"type": "image"}, {"type": "text", "text": QUESTION_PLACEHOLDER})]
    turns += [_turn("assistant", {"type": "text", "text": ANSWER_PLACEHOLDER})] if with_answer else []
    try:
        return str(
            processor.tokenizer.apply_chat_template(
                turns, chat_template=template, tokenize=False, add_generation_prompt=not with_answer
            )
        )
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise _error(name, f"its chat template cannot be rendered: {error}.") from error


def _turn(role: str, *content: dict[str, str]) -> dict[str, object]:
    return {"role": role, "content": list(content)}


def _error(name: str, message: str) -> DataError:
    return DataError(Problem("LC431", message, name, advice="Choose a model that was tuned for conversation."))
