"""Messages about prompt templates."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from logicls.io.resources import resource_path
from logicls.prompts.template_lint import lint_templates


def change(name: str, old: str, new: str) -> Callable[[], object]:
    """Return a check of the shipped templates with the first `old` in one of them replaced by `new`."""

    def check() -> object:
        shutil.copytree(resource_path("synth"), "synth")
        path = Path("synth") / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return lint_templates(Path("synth"))

    return check


def check_missing() -> object:
    """Check a folder without templates."""
    return lint_templates(Path("synth"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC420": check_missing,
    "LC421": change("verdicts.j2", "{%- else -%}", "{%- else -% }"),
    "LC422": change("questions.j2", "where is every {{ component }}?", "where is every {{ componnet }}?"),
    "LC423": change("verdicts.j2", "The {{ product }} passes.", "The {{ product.__class__ }} passes."),
    "LC424": change("verdicts.j2", "{{ violations | length }}", '{{ violations | length + "" }}'),
    "LC425": change("questions.j2", "locate each {{ component }}\n", ""),
    "LC426": change("verdicts.j2", "Verdict: pass.", "The {{ product }} passes."),
    "LC427": change("verdicts.j2", "Verdict: pass.", "@ verdict = none"),
    "LC428": change("reasoning.j2", 'The rule "{{ rule }}" holds', "The rule \u201c{{ rule }}\u201d holds"),
    "LC429": change("verdicts.j2", "Verdict: pass.", "It passes. " * 30),
}


@pytest.mark.parametrize("code", TRIGGERS)
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])
