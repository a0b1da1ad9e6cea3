"""Messages about rules that change without training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from logicls.cli.rules import limits
from logicls.errors import DataError
from logicls.io.jsonl import Appender
from logicls.models.bundle import load_bundle, update_bundle
from logicls.predict.folder.judge import judge_folder
from logicls.predict.folder.replay import restore_rules
from logicls.predict.folder.rules import write_rules
from logicls.predict.serialization import verdict_to_json
from logicls.records import Answer, Box, Finding, Verdict

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def prepared(workdir) -> Path:
    """Working directory with a bundle, its verdicts of version 0.1, and a spec with other limits."""
    shutil.copytree(FIXTURES / "bundle_0_1", "bundle")
    Path("verdicts").mkdir()
    shutil.copy(FIXTURES / "verdicts_0_1.jsonl", "verdicts/verdicts.jsonl")
    text = Path("bundle/spec.yaml").read_text().partition("\nexamples:")[0] + "\n"
    Path("new.yaml").write_text(text.replace("exactly: 4", "exactly: 3"))
    return workdir


def judge(bundle: Path) -> object:
    """Judge the verdicts by the new limits."""
    return judge_folder(Path("verdicts"), Path("new.yaml"), Path("judged"), bundle=bundle)


def test_new_questions(check_message, prepared):
    """LC630: an attribute that was never asked, and a value that the model cannot answer."""
    text = Path("new.yaml").read_text().replace("  spoon: {}", "  spoon: {attributes: {side: [left, right]}}")
    text = text.replace("[red, yellow, blue]", "[red, yellow, blue, green]")
    Path("new.yaml").write_text(text + "  - {id: side, attribute: {of: spoon.side, is: left}}\n")

    check_message("LC630", lambda: update_bundle(Path("bundle"), Path("new.yaml"), Path("bundle")))


def test_an_output_folder_in_use(check_message, prepared):
    """LC631: verdicts are not judged in place."""
    check_message("LC631", lambda: judge_folder(Path("verdicts"), Path("new.yaml"), Path("verdicts")))


def test_no_rules_of_the_verdicts(check_message, prepared):
    """LC632: version 0.1 copied no rules, and there is no bundle."""
    check_message("LC632", lambda: judge_folder(Path("verdicts"), Path("new.yaml"), Path("judged")))


def test_rules_of_another_model(check_message, prepared):
    """LC633: the bundle has other rules than those of the run."""
    Path("verdicts/run.json").write_text('{"bundle": "b", "spec": "another"}')

    check_message("LC633", lambda: judge(Path("bundle")))


def test_a_verdict_without_candidates(check_message, prepared):
    """LC634: the first verdict of version 0.1 for which another count matters."""
    check_message("LC634", lambda: judge(Path("bundle")))


def test_a_verdict_of_another_spec(check_message, prepared):
    """LC635: the rules beside the verdicts are not those of the result."""
    bundle = load_bundle(Path("bundle"))
    write_rules(Path("verdicts"), Path("new.yaml"), Path("bundle/spec.yaml"), None)

    check_message("LC635", lambda: restore_rules(bundle, Verdict("a.jpg", "pass", spec="gone"), Path("verdicts")))


def test_no_limit_to_propose(check_message, prepared):
    """LC636: there is no such rule."""
    check_message("LC636", lambda: limits(Path("bundle"), Path("verdicts"), rules=["levle"]))


def test_no_reading(prepared):
    """LC636 too: no photo has anything to measure."""
    Path("empty").mkdir()
    answers = (Answer("locate:vial", boxes=(Box(0, 0, 9, 9),)),)
    verdict = Verdict("a.jpg", "pass", findings=(Finding("level", "holds"),), answers=answers)
    with Appender(Path("empty/verdicts.jsonl")) as lines:
        lines.append(verdict_to_json(verdict))

    with pytest.raises(DataError, match="LC636 no photo has a reading for a limit"):
        limits(Path("bundle"), Path("empty"))
