"""One question about one photo as the chat template of a model writes it.

The template is asked, not known: it writes a turn with marks for the question and the answer, and what stands around
the marks is what stands around every question and every answer. The photo comes first, so that all questions about it
begin alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2

from logicls.errors import DataError, Problem

QUESTION, ANSWER = "QqQqQ", "AaAaA"
"""What no template holds."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What stands around a question and its answer."""

    before: str
    """From the beginning to the question; the photo's placeholder is in it, and a system text where there is one."""
    after: str
    """From the question to where the model goes on."""
    lead: str
    """What the model puts before its answer: often nothing, a space for some."""
    end: int
    """Token with which the model ends its turn."""
    whole: bool
    """True where the template writes the token that begins a text, so that the tokenizer must not."""

    def asked(self, question: str) -> str:
        """The text from the question on."""
        return f"{question}{self.after}"

    def told(self, line: str) -> str:
        """The text of an answer, without its end."""
        return f"{self.lead}{line}"


@dataclass(frozen=True, slots=True)
class Told:
    """What a model is told before it is shown the photo that it is asked about."""

    notes: str = ""
    reference: bool = False
    """Whether another picture comes first."""

    def parts(self) -> list[dict[str, str]]:
        """As parts of a turn. Notes come before the photo: questions about it then still begin alike."""
        shown = [{"type": "image"}] if self.reference else []
        return [*shown, *([{"type": "text", "text": self.notes}] if self.notes else [])]


def talk_of(processor: Any, name: str, told_before: Told = Told()) -> Talk:
    """Ask the chat template of the model `name`.

    Raises:
        DataError: There is none, or none for a photo and a question (LC431).
    """
    tokenizer, parts = processor.tokenizer, told_before.parts()
    asked = _rendered(processor, name, parts, answered=False)
    before, found, after = asked.partition(QUESTION)
    told = _rendered(processor, name, parts, answered=True)
    upto, answered, rest = told.partition(ANSWER)
    if not (found and answered):
        raise _error(name, "its chat template leaves out the question or the answer.")
    # Some templates write a turn that is over in another way than they begin one; then nothing is known to lead.
    lead = upto.removeprefix(asked) if upto.startswith(asked) else ""
    ends = tokenizer(rest, add_special_tokens=False)["input_ids"]
    end = ends[0] if ends and ends[0] in tokenizer.all_special_ids else tokenizer.eos_token_id
    if end is None:
        raise _error(name, "nothing says with which token it ends its turn.")
    begin = tokenizer.bos_token
    return Talk(before, after, lead, int(end), bool(begin) and before.startswith(begin))


def _rendered(processor: Any, name: str, parts: list[dict[str, str]], *, answered: bool) -> str:
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    template = template.get("default") if isinstance(template, dict) else template
    if not template:
        raise _error(name, "it has no chat template: it was not made to answer questions.")
    turns = [_turn("user", *parts, {"type": "image"}, {"type": "text", "text": QUESTION})]
    turns += [_turn("assistant", {"type": "text", "text": ANSWER})] if answered else []
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
