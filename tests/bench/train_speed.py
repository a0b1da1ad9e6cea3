"""How fast the training loop is beside a bare one: the same model, the same batches, the same cores.

python tests/bench/train_speed.py SYNTH_DIR [STEPS] [RECIPE]

After every step of `fit` a bare loop makes the same step on its own copy of the model: forward, backward, clip, AdamW,
on the same batch, which it finds ready. So both are slowed alike by whatever else runs, and what is measured is all
that `fit` adds: making batches, Lightning, draws by difficulty, tables, checkpoints, looks at photos kept aside. Prints
the share of the bare speed that `fit` reaches (asked for: 95 % or more), once with all of that and once of the median
step, and the share of time in which it waits for data (asked for: under 5 %).
"""

import copy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from logicls.io.resources import resource_path
from logicls.train import lightning_module as loop
from logicls.train.fit import fit
from logicls.train.lightning_module import NanoTrainingModule
from logicls.train.recipe import read_recipe

WARM = 5
"""Steps that do not count."""


Clocks = np.ndarray
"""Seconds by the clock, and of all cores together: where much else runs only the second says something."""


def clocks() -> Clocks:
    """Now."""
    return np.array([time.perf_counter(), time.process_time()])


class Beside:
    """Makes each step once more, by a bare loop on a copy; `times` has seconds of both, by both clocks."""

    def __init__(self) -> None:
        self.times: list[tuple[Clocks, Clocks]] = []

    def begin(self, tuner: NanoTrainingModule) -> None:
        """Before the first step."""
        self.model = copy.deepcopy(tuner.model)
        bare = NanoTrainingModule(
            self.model, steps=tuner.steps, lr=tuner.lr, weight_decay=tuner.weight_decay, seed=tuner.seed
        )
        made = bare.configure_optimizers()
        self.optimiser, self.cycle = made["optimizer"], made["lr_scheduler"]["scheduler"]
        self.ended = clocks()

    def step(self, batch: dict[str, Any]) -> None:
        """After a step of `fit`."""
        began = clocks()
        self.optimiser.zero_grad()
        self.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.cycle.step()
        before, self.ended = self.ended, clocks()
        self.times.append((began - before, self.ended - began))


def beside(found: Beside) -> Any:
    """The callback, to be put after those of `fit`."""
    from lightning.pytorch.callbacks import Callback

    class Last(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            found.begin(module)

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            found.step(batch)

    return Last()


def main() -> None:
    """Measure one run."""
    synth, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100
    recipe = read_recipe(Path(sys.argv[3]) if len(sys.argv) > 3 else resource_path("train/nano.yaml"))
    found, inner = Beside(), loop.run_training_loop

    def with_bare(tuner: NanoTrainingModule, batches: Any, callbacks: Any, **settings: Any) -> None:
        inner(tuner, batches, [*callbacks, beside(found)], **settings)
        counted = np.array(found.times[WARM:])
        for name, times in (("by the clock", counted[..., 0]), ("of the cores", counted[..., 1])):
            theirs, bare = times.mean(0)
            middle = np.median(times[:, 1] / times[:, 0])
            print(f"{len(times)} steps, {name}: fit {theirs:.3f} s, bare {bare:.3f} s a step; {bare / theirs:.1%} of "
                  f"the bare speed, median step {middle:.1%}")  # fmt: skip
        print(f"waiting for data {batches.waited / sum(times[0][0] for times in found.times):.1%}")

    from logicls.train import run

    run.run_training_loop = with_bare  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as out:
        fit(synth, Path(out), recipe.model_copy(update={"steps": steps}))


if __name__ == "__main__":
    main()
