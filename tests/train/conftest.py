"""Dataset with a few examples of the sample product, and a run that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from logicls.io.resources import resource_path
from logicls.synth.pipeline import SynthesisRequest, build_dataset
from logicls.train.recipe import Recipe

CHILD = """
import sys, time
from pathlib import Path
import torch
from logicls.train.fit import fit
from logicls.train.metrics_log import TrainingObserver
from logicls.train.recipe import Recipe

torch.set_num_threads(1)
synth, out, recipe, mark = sys.argv[1:]

def report_step(step, loss):
    report(f"step {step}, loss")

def report(line):
    print(line, flush=True)
    if line.startswith(mark):
        time.sleep(300)

fit(Path(synth), Path(out), Recipe.model_validate_json(recipe), resume=Path(out, "work").exists(),
    observer=TrainingObserver(on_message=report, on_step=report_step))
"""


def _kill_training(synth: Path, out: Path, recipe: Recipe, mark: str) -> None:
    """Train, or resume, in a process of its own, and kill it when it prints a line that begins with `mark`."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        CHILD,
        str(synth),
        str(out),
        recipe.model_dump_json(exclude_unset=True),
        mark,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(mark):
                os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Train on one thread: models this small are slower on more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def synth(tmp_path_factory) -> Path:
    """Twenty examples; read only."""
    out = tmp_path_factory.mktemp("synth")
    build_dataset(
        SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), out, 20, 0),
        workers=1,
    )
    return out


@pytest.fixture(scope="session")
def kill_training() -> Callable[[Path, Path, Recipe, str], None]:
    """Function that trains, or resumes, in a process of its own, and kills it at a line that begins with a mark."""
    return _kill_training
