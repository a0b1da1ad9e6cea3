"""Start-up: the command line and rule checks load no heavy libraries, and commands on verdicts load no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.predict.serialization import verdict_to_json
from logicls.records import Verdict

DEEP_LEARNING = ("torch", "transformers", "lightning", "peft", "datasets")
"""Libraries that only training and inspection need."""
HEAVY = (*DEEP_LEARNING, "numpy", "pydantic", "cv2", "scipy", "PIL")
"""Libraries that the help does not need either."""


def loaded_modules(code: str, *, exit_code: int = 0) -> set[str]:
    """Run code in a new interpreter; return the heavy libraries that are loaded at its end."""
    program = f"""
import sys
try:
{chr(10).join("    " + line for line in code.splitlines())}
except SystemExit as stop:
    assert (stop.code or 0) == {exit_code}, stop.code
print("loaded:", *(set(sys.modules) & set({HEAVY!r})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def run_command(*words: object) -> str:
    """Return code that runs the command line."""
    return f"from logicls.cli.app import main\nsys.argv = {['logicls', *map(str, words)]!r}\nmain()"


@pytest.fixture
def verdicts(tmp_path: Path) -> Path:
    """Folder of verdicts on two photos, with its bundle's spec, and ground truth."""
    (tmp_path / "bundle").mkdir()
    spec = resource_path("constraints/dosing_kit.yaml").read_text(encoding="utf-8")
    (tmp_path / "bundle" / "spec.yaml").write_text(spec)
    with Appender(tmp_path / "verdicts" / "verdicts.jsonl") as lines:
        for name, outcome in (("a.jpg", "pass"), ("b.jpg", "review")):
            lines.append(verdict_to_json(Verdict(name, outcome)))
    origin = {"photos": str(tmp_path), "folder": str(tmp_path / "bundle")}
    (tmp_path / "verdicts" / "run.json").write_text(json.dumps(origin))
    (tmp_path / "truth.csv").write_text("image,violations\na.jpg,\nb.jpg,missing_spoon\n")
    return tmp_path / "verdicts"


def test_the_overview_loads_no_heavy_library():
    """The overview of commands loads neither numpy nor pydantic nor a deep-learning library."""
    assert loaded_modules(run_command("--help")) == set()


@pytest.mark.parametrize("words", [("predict",), ("expert", "fit")])
def test_the_help_of_a_command_loads_no_heavy_library(words):
    """The help of a command loads only pydantic, which Typer uses for the options."""
    assert loaded_modules(run_command(*words, "--help")) <= {"pydantic"}


@pytest.mark.parametrize("module", ["logicls", "logicls.records", "logicls.constraints.spec.loader", "logicls.cli.app"])
def test_importing_light_modules_loads_no_deep_learning(module):
    """The modules for checking rules load no deep-learning library."""
    assert loaded_modules(f"import {module}") & set(DEEP_LEARNING) == set()


def test_check_loads_no_deep_learning():
    """Checking a spec, from start to exit, loads no deep-learning library."""
    spec = resource_path("constraints/dosing_kit.yaml")

    assert loaded_modules(run_command("check", spec)) & set(DEEP_LEARNING) == set()


def test_report_loads_no_deep_learning(verdicts):
    """Creating the report page, with ground truth, loads no deep-learning library."""
    words = "report", verdicts, "--truth", verdicts.parent / "truth.csv"

    assert loaded_modules(run_command(*words), exit_code=1) & set(DEEP_LEARNING) == set()
    assert (verdicts / "report" / "index.html").exists()


def test_eval_loads_no_deep_learning(verdicts):
    """Scoring verdicts loads no deep-learning library."""
    out = verdicts.parent / "scores"

    words = "eval", verdicts, "--truth", verdicts.parent / "truth.csv", "--out", out

    assert loaded_modules(run_command(*words)) & set(DEEP_LEARNING) == set()
    assert (out / "metrics.json").exists()


def test_heavy_imports_are_detected():
    """The checks above can fail: imports of torch and numpy are noticed."""
    assert {"torch", "numpy"} <= loaded_modules("import torch")
