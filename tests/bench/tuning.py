"""From scratch in four sizes, all of the base's weights, or an adapter: which learns a product best in equal time?

python tests/bench/tuning.py SYNTH FOLDER [--photos HELDOUT] [--minutes 4] [--seeds 1] [--batch 16] [--tokens 168]

SYNTH is what `logicls synth` wrote; HELDOUT has `images/` and `truth.csv`, the sample product's if left out. Time is
that of the processor, so that other work on the machine does not count: a few steps of each way are timed, and each is
then given as many steps as its minutes hold, with the schedule of the learning rate over just these. Each way has a
learning rate of its own, none of them tuned. Prints for each run its steps, what of the
examples kept aside it has read without an error, and on how many of the photos of HELDOUT the violations are right
(by the rules from the answers, and as stated). A bundle that is there already is not trained again.
"""

import argparse
import statistics
import time
from pathlib import Path

from logicls.cli.train import silence_progress_bars
from logicls.evaluation import read_truth
from logicls.io.resources import resource_path
from logicls.predict.folder.runner import predict_folder
from logicls.predict.self_test import open_bundle
from logicls.predict.serialization import read_verdicts
from logicls.train.fit import fit
from logicls.train.metrics_log import SILENT, TrainingObserver, read_rows
from logicls.train.recipe import Recipe

WARM, TIMED = 4, 12
WAYS = {
    "scratch": {"base": False, "lr": 2e-3},
    "scratch, narrow": {"base": False, "lr": 2.5e-3, "width": 64},
    "scratch, wide": {"base": False, "lr": 1.5e-3, "width": 192},
    "scratch, shallow": {"base": False, "lr": 2e-3, "encoder_layers": 2, "decoder_layers": 2},
    "full": {"lr": 1.5e-3},
}
MEASURED = ("validation", "exact derived", "exact stated")


def seconds_a_step(synth: Path, out: Path, recipe: Recipe) -> float:
    """Processor seconds of a step, its batch included."""
    times = []
    short = recipe.model_copy(update={"steps": TIMED, "validation": 0.0})
    fit(synth, out, short, observer=TrainingObserver(on_step=lambda *_: times.append(time.process_time())))
    return (times[-1] - times[WARM - 1]) / (TIMED - WARM)


def trained(synth: Path, out: Path, recipe: Recipe, minutes: float) -> int:
    """Makes the bundle in `out`, in as many steps as these minutes of the processor hold; how many."""
    mark = out / "steps.txt"
    if not mark.exists():
        steps = max(int(minutes * 60 / seconds_a_step(synth, out, recipe)), 2)
        plan = recipe.model_copy(update={"steps": steps, "evaluate_every": max(steps // 6, 1), "patience": 0})
        began = time.process_time()
        fit(synth, out, plan, observer=SILENT)
        print(f"{out.name}: {time.process_time() - began:.0f} s of the processor, preflight and bundle included")
        mark.write_text(str(steps))
    return int(mark.read_text())


def measured(out: Path, photos: Path) -> tuple[float, ...]:
    """`MEASURED` of one bundle."""
    truth = {name: set(names) for name, names in read_truth(photos / "truth.csv").items()}
    predict_folder(open_bundle(out), photos / "images", out / "verdicts", batch=16)
    verdicts = {verdict.photo: verdict for verdict in read_verdicts(out / "verdicts" / "verdicts.jsonl")}
    derived = statistics.mean(set(verdicts[name].violations) == names for name, names in truth.items())
    stated = statistics.mean(set(verdicts[name].stated or ()) == names for name, names in truth.items())
    looks = [(float(row["loss"]) - float(row["exact_match"]), float(row["exact_match"]))
             for row in read_rows(out / "work" / "validation.csv")]  # fmt: skip
    return min(looks)[1], derived, stated


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("synth", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, default=resource_path("data/dosing_kit/heldout"))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    for name, default in (("--seeds", 1), ("--batch", 16), ("--tokens", 168)):
        parser.add_argument(name, type=int, default=default)
    given = parser.parse_args()
    silence_progress_bars()
    for way in given.ways:
        found = []
        for seed in range(given.seeds):
            recipe = Recipe(batch=given.batch, visual_tokens=given.tokens, seed=seed, **WAYS[way])
            out = given.folder / f"{way.replace(', ', '-').replace(' ', '-')}-{seed}"
            steps = trained(given.synth, out, recipe, given.minutes)
            found.append(measured(out, given.photos))
            text = ", ".join(f"{what} {value:.1%}" for what, value in zip(MEASURED, found[-1], strict=True))
            print(f"{way}, seed {seed}, {steps} steps: {text}", flush=True)
        means = ", ".join(
            f"{what} {statistics.mean(v):.1%}" for what, v in zip(MEASURED, zip(*found, strict=True), strict=True)
        )
        print(f"{way}, mean of {given.seeds}: {means}", flush=True)


if __name__ == "__main__":
    main()
