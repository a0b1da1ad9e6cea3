"""One question about one photo as the chat template of a model writes it.

The template is asked, not known: it writes a turn with marks for the question and the answer, and what stands around
the marks is what stands around every question and every answer. The photo comes first, so that all questions about it
begin alike.

The picture that a processor is given of a photo: all of it, even where the processor would cut its sides off.

Photos and the text before their questions, as a model of the hub is given them.
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
from logicls.records import Answer, Box


@dataclass(frozen=True, slots=True)
class PhotoPlacement:
    """What of a picture is the photo."""

    canvas_size: Size
    """(width, height) of the picture."""
    left: int
    """Pixels of border before the photo begins."""
    top: int
    photo_size: Size

    def boxes_to_canvas(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        """Boxes on the photo as boxes on the picture."""
        return tuple(box.translate(self.left, self.top) for box in boxes)

    def answer_to_photo(self, answer: Answer) -> Answer:
        """An answer about the picture as one about the photo: edges in order, and inside."""
        boxes = tuple(_inside(box.translate(-self.left, -self.top), self.photo_size) for box in answer.boxes)
        return replace(answer, boxes=boxes)


def place_photo(size: Size, processor: Any) -> PhotoPlacement:
    """How a photo of that (width, height) is shown: as it is, or within a square where the processor cuts one out."""
    if not getattr(processor.image_processor, "do_center_crop", False):
        return PhotoPlacement(size, 0, 0, size)
    width, height = size
    side = max(size)
    return PhotoPlacement((side, side), (side - width) // 2, (side - height) // 2, size)


def pad_photo(photo: np.ndarray, placement: PhotoPlacement) -> np.ndarray:
    """The picture, uint8 RGB [height width 3], of a photo of the same kind."""
    if placement.canvas_size == placement.photo_size:
        return photo
    canvas = np.full((placement.canvas_size[1], placement.canvas_size[0], 3), LETTERBOX_GREY, np.uint8)
    canvas[placement.top : placement.top + photo.shape[0], placement.left : placement.left + photo.shape[1]] = photo
    return canvas


def _inside(box: Box, size: Size) -> Box:
    (x1, x2), (y1, y2) = (
        sorted(min(max(edge, 0.0), float(side)) for edge in edges)
        for edges, side in zip(((box.x1, box.x2), (box.y1, box.y2)), size, strict=True)
    )
    return Box(x1, y1, x2, y2)


def make_inputs(
    processor: Any, chat_format: ChatFormat, images: Sequence[np.ndarray], reference: np.ndarray | None = None
) -> dict[str, Tensor]:
    """What the processor makes of pictures, uint8 RGB [height width 3], each with the text before its questions.

    A `reference` is a picture that is shown before each of them, where the text has room for it.

    Rows of unequal length are filled up in front. Nothing is cut off. Raises whatever the processor raises for a
    picture that it does not take.
    """
    made = processor(
        text=[chat_format.prompt_prefix] * len(images),
        images=[[picture] if reference is None else [reference, picture] for picture in images],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        truncation=False,
        add_special_tokens=not chat_format.has_bos,
    )
    return dict(made)


QUESTION_PLACEHOLDER, ANSWER_PLACEHOLDER = "QqQqQ", "AaAaA"
"""What no template holds."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What stands around a question and its answer."""

    prompt_prefix: str
    """From the beginning to the question; the photo's placeholder is in it, and a system text where there is one."""
    prompt_suffix: str
    """From the question to where the model goes on."""
    answer_lead: str
    """What the model puts before its answer: often nothing, a space for some."""
    end_token: int
    """Token with which the model ends its turn."""
    has_bos: bool
    """True where the template writes the token that begins a text, so that the tokenizer must not."""

    def format_question(self, question: str) -> str:
        """The text from the question on."""
        return f"{question}{self.prompt_suffix}"

    def format_answer(self, line: str) -> str:
        """The text of an answer, without its end."""
        return f"{self.answer_lead}{line}"


@dataclass(frozen=True, slots=True)
class PromptContext:
    """What a model is told before it is shown the photo that it is asked about."""

    notes: str = ""
    has_reference: bool = False
    """Whether another picture comes first."""

    def to_parts(self) -> list[dict[str, str]]:
        """As parts of a turn. Notes come before the photo: questions about it then still begin alike."""
        shown = [{"type": "image"}] if self.has_reference else []
        return [*shown, *([{"type": "text", "text": self.notes}] if self.notes else [])]


def read_chat_format(processor: Any, model_name: str, context: PromptContext = PromptContext()) -> ChatFormat:
    """Ask the chat template of the model `name`.

    Raises:
        DataError: There is none, or none for a photo and a question (LC431).
    """
    tokenizer, parts = processor.tokenizer, context.to_parts()
    asked = _rendered(processor, model_name, parts, answered=False)
    before, found, after = asked.partition(QUESTION_PLACEHOLDER)
    told = _rendered(processor, model_name, parts, answered=True)
    upto, answered, rest = told.partition(ANSWER_PLACEHOLDER)
    if not (found and answered):
        raise _error(model_name, "its chat template leaves out the question or the answer.")
    # Some templates write a turn that is over in another way than they begin one; then nothing is known to lead.
    lead = upto.removeprefix(asked) if upto.startswith(asked) else ""
    ends = tokenizer(rest, add_special_tokens=False)["input_ids"]
    end = ends[0] if ends and ends[0] in tokenizer.all_special_ids else tokenizer.eos_token_id
    if end is None:
        raise _error(model_name, "nothing says with which token it ends its turn.")
    begin = tokenizer.bos_token
    return ChatFormat(before, after, lead, int(end), bool(begin) and before.startswith(begin))


def _rendered(processor: Any, name: str, parts: list[dict[str, str]], *, answered: bool) -> str:
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    template = template.get("default") if isinstance(template, dict) else template
    if not template:
        raise _error(name, "it has no chat template: it was not made to answer questions.")
    turns = [_turn("user", *parts, {"type": "image"}, {"type": "text", "text": QUESTION_PLACEHOLDER})]
    turns += [_turn("assistant", {"type": "text", "text": ANSWER_PLACEHOLDER})] if answered else []
    try:
        text: str = processor.tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=not answered
        )
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise _error(name, f"its chat template cannot be filled in: {error}.") from error
    return text


def _turn(role: str, *content: dict[str, str]) -> dict[str, object]:
    return {"role": role, "content": list(content)}


def _error(name: str, message: str) -> DataError:
    return DataError(Problem("LC431", message, name, advice="Choose a model that was tuned for conversation."))
