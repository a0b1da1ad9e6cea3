"""`import logicls` and `logicls check` start fast, because they leave the heavy libraries alone."""

import subprocess
import sys

import pytest

from logicls.io import resources as assets

HEAVY = ("torch", "transformers", "lightning", "peft", "datasets")


def loaded(code: str) -> set[str]:
    """The heavy libraries that are there after `code` ran in a fresh interpreter."""
    report = f"\nimport sys\nprint('loaded:', *(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("module", ["logicls", "logicls.records", "logicls.constraints.spec.loader", "logicls.cli.app"])
def test_import_leaves_heavy_libraries_alone(module):
    """Importing what a rule check needs loads none of the heavy libraries."""
    assert loaded(f"import {module}") == set()


def test_check_leaves_heavy_libraries_alone():
    """Checking a spec that ships, from start to exit, loads none of them either."""
    spec = str(assets.share("constraints/dosing_kit.yaml"))
    code = f"""
import sys
from logicls.cli.app import main
sys.argv = ["logicls", "check", {spec!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""

    assert loaded(code) == set()


def test_a_heavy_import_is_seen():
    """The check above can fail: an import of torch is noticed."""
    assert "torch" in loaded("import torch")
