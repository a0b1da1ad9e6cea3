"""Data-parallel training: processes learn what one would, and end when one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import torch

from logicls.errors import RecipeError
from logicls.predict.self_test import open_bundle
from logicls.train.distributed import ProcessRank
from logicls.train.fit import fit
from logicls.train.metrics_log import TrainingObserver, read_rows
from logicls.train.recipe import Recipe
from logicls.train.sampler import interleave

TINY = Recipe(
    steps=16, batch=8, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=6,
    validation=0.3, evaluate_every=5, jitter=0.0,
)  # fmt: skip
CHILD = """
import sys, time
from pathlib import Path
import torch
from logicls.train.fit import fit
from logicls.train.metrics_log import TrainingObserver
from logicls.train.recipe import Recipe

def report_step(step, loss):
    print("step", step, flush=True)
    if step == 9:
        time.sleep(300)

if __name__ == "__main__":
    recipe = Recipe.model_validate_json(sys.argv[3])
    fit(Path(sys.argv[1]), Path(sys.argv[2]), recipe, observer=TrainingObserver(on_step=report_step))
"""


def test_shards_make_up_the_batch():
    """Each process takes every n-th example, and gathered results are in the order of the batch."""
    ranks = [ProcessRank(number, 2, 2) for number in range(2)]
    loss = [[2.0 * number, 2.0 * number + 1] for number in range(6)]

    parts = [(torch.tensor(rank.shard(loss)), torch.tensor(rank.shard([[True, False]] * 6))) for rank in ranks]
    losses, right = interleave(parts)

    assert losses.tolist() == loss
    assert right.tolist() == [[True, False]] * 6


@pytest.fixture(scope="module")
def runs(synth, tmp_path_factory):
    """Same run by one process and by two: folders and losses."""
    found = []
    for processes in (1, 2):
        out, losses = tmp_path_factory.mktemp("run"), []
        recipe = TINY.model_copy(update={"processes": processes})
        fit(synth, out, recipe, observer=TrainingObserver(on_step=lambda _, loss, losses=losses: losses.append(loss)))
        found.append((out, losses))
    return found


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(runs):
    """Losses are equal but for batch norms, and for the mean of the shards' means."""
    (_, one), (out, two) = runs

    assert len(one) == len(two) == 16
    assert two == pytest.approx(one, rel=0.01)
    assert two[-1] < 0.9 * two[0]
    assert open_bundle(out).max_boxes > 1
    assert [row["step"] for row in read_rows(out / "work" / "validation.csv")] == ["5", "10", "15", "16"]


@pytest.mark.slow
def test_killed_processes_resume_to_the_same_weights(runs, synth, tmp_path):
    """The other process ends with the first; resumed, weights equal those of an uninterrupted run, to the last bit."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    recipe = TINY.model_copy(update={"processes": 2})
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(script),
        str(synth),
        str(tmp_path / "out"),
        recipe.model_dump_json(exclude_unset=True),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:  # ends when the last process that has this pipe has ended
            if line == "step 9\n":
                os.kill(child.pid, signal.SIGKILL)
    losses: list[float] = []

    fit(
        synth,
        tmp_path / "out",
        recipe,
        resume=True,
        observer=TrainingObserver(on_step=lambda _, loss: losses.append(loss)),
    )

    folder, expected = runs[1]
    assert losses == expected[6:]
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_uneven_shards_are_refused(synth, tmp_path):
    """Before files are written; the online part must be split evenly as well."""
    with pytest.raises(RecipeError, match=r"LC414 a batch of 8 cannot be split evenly between 3 processes\."):
        fit(synth, tmp_path / "out", TINY.model_copy(update={"processes": 3}))
    with pytest.raises(RecipeError, match=r"LC414 a batch of 8, 3 of them online, cannot be split evenly between 2"):
        fit(synth, tmp_path / "out", TINY.model_copy(update={"processes": 2, "online": 0.375}))

    assert not (tmp_path / "out").exists()
