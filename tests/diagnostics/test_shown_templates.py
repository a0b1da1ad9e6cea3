"""What people see of a template that is not as it must be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from logicls.io.resources import share
from logicls.prompts.template_lint import lint_templates


def changed(name: str, old: str, new: str) -> Callable[[], object]:
    """Checking the templates that ship after the first `old` in one of them became `new`."""

    def check() -> object:
        shutil.copytree(share("synth"), "synth")
        path = Path("synth") / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return lint_templates(Path("synth"))

    return check


def missing() -> object:
    """Checking a folder without templates."""
    return lint_templates(Path("synth"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC420": missing,
    "LC421": changed("verdicts.j2", "{%- else -%}", "{%- else -% }"),
    "LC422": changed("questions.j2", "where is every {{ component }}?", "where is every {{ componnet }}?"),
    "LC423": changed("verdicts.j2", "The {{ product }} passes.", "The {{ product.__class__ }} passes."),
    "LC424": changed("verdicts.j2", "{{ violations | length }}", '{{ violations | length + "" }}'),
    "LC425": changed("questions.j2", "locate each {{ component }}\n", ""),
    "LC426": changed("verdicts.j2", "Verdict: pass.", "The {{ product }} passes."),
    "LC427": changed("verdicts.j2", "Verdict: pass.", "@ verdict = none"),
    "LC428": changed("reasoning.j2", 'The rule "{{ rule }}" holds', "The rule \u201c{{ rule }}\u201d holds"),
    "LC429": changed("verdicts.j2", "Verdict: pass.", "It passes. " * 30),
}


@pytest.mark.parametrize("code", TRIGGERS)
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])
