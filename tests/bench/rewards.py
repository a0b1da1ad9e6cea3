"""Do rewards pay? A bundle goes on by rewards, and, in equal time, by more of the first stage.

python tests/bench/rewards.py SYNTH FOLDER --from BUNDLE [--photos HELDOUT] [--steps 100] [--lr 5e-5] [--sft-lr 5e-4]
    [--batch 16] [--tokens 168] [--seed 0]

SYNTH is what BUNDLE was trained on; HELDOUT has `images/` and `truth.csv`, the sample product's if left out. Time is
that of the processor, so that other work on the machine does not count. `--batch` and `--tokens` are those of the first
stage. Both keep the weights that read best what is kept aside. Prints for the bundle as it was and for both what came
of it: of the examples kept aside those without an error and those whose stated verdict is right (no chance in it), of
the photos of HELDOUT those whose violations are right, by the rules from the answers and as stated, and on how many
both are the same.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from logicls.cli.train import silence_progress_bars
from logicls.evaluation import read_truth
from logicls.io.resources import resource_path
from logicls.models.bundle import load_bundle
from logicls.predict.folder.runner import predict_folder
from logicls.predict.serialization import read_verdicts
from logicls.train.fit import fit
from logicls.train.grpo.policies import NanoPolicy
from logicls.train.grpo.stage import fit_grpo
from logicls.train.hub_dataset import open_rows
from logicls.train.metrics_log import PRINTING, TrainingObserver
from logicls.train.photo_split import SPLIT_COLUMNS, split_photos
from logicls.train.recipe import GrpoSettings, Recipe
from logicls.train.validation import QueryScores, aggregate_scores

ASIDE = 384
"""Examples kept aside that are measured on."""
WARM, TIMED = 4, 12


def stated_right(found: Sequence[QueryScores]) -> float:
    """Share of the examples whose last question, the stated verdict, is right."""
    return statistics.mean(
        bool(row[is_asked.nonzero()[-1]])
        for loss, rows in found
        for row, is_asked in zip(rows, loss.isfinite(), strict=True)
    )


def measured(path: Path, synth: Path, photos: Path, recipe: Recipe) -> str:
    """What came of a bundle."""
    bundle = load_bundle(path)
    policy = NanoPolicy(bundle, open_rows(synth, path / "work"))
    numbers = split_photos(policy.rows.select_columns(list(SPLIT_COLUMNS)), recipe.validation, recipe.seed).validation[
        :ASIDE
    ]
    found = policy.score_examples(numbers)
    truth = {name: set(names) for name, names in read_truth(photos / "truth.csv").items()}
    predict_folder(bundle, photos / "images", path / "verdicts", batch=16)
    verdicts = {verdict.photo: verdict for verdict in read_verdicts(path / "verdicts" / "verdicts.jsonl")}
    read = [(set(verdicts[name].violations), set(verdicts[name].stated or ()), true) for name, true in truth.items()]
    derived, stated = (statistics.mean(one[way] == one[2] for one in read) for way in (0, 1))
    agreed = statistics.mean(one[0] == one[1] for one in read)
    exact = aggregate_scores([found]).exact_match
    return (f"validation ({len(numbers)}): exact {exact:.1%}, stated {stated_right(found):.1%}; "
            f"photos ({len(read)}): derived {derived:.1%}, stated {stated:.1%}, agreed {agreed:.1%}")  # fmt: skip


def by_rewards(synth: Path, out: Path, recipe: Recipe, start: Path) -> float:
    """Seconds of the processor."""
    began = time.process_time()
    fit_grpo(synth, out, recipe, start=start, observer=PRINTING)
    return time.process_time() - began


def by_answers(synth: Path, out: Path, recipe: Recipe, start: Path, seconds: float) -> int:
    """Steps of the first stage that these seconds held."""
    times: list[float] = []
    short = recipe.model_copy(update={"steps": TIMED, "validation": 0.0})
    fit(synth, out, short, start=start, observer=TrainingObserver(on_step=lambda *_: times.append(time.process_time())))
    steps = int(seconds / ((times[-1] - times[WARM - 1]) / (TIMED - WARM)))
    plan = recipe.model_copy(update={"steps": steps, "evaluate_every": max(steps // 5, 1), "patience": 0})
    fit(
        synth,
        out,
        plan,
        start=start,
        observer=TrainingObserver(on_message=lambda line: print(line) if line.startswith("step") else None),
    )
    return steps


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("synth", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--from", dest="start", type=Path, required=True)
    parser.add_argument("--photos", type=Path, default=resource_path("data/dosing_kit/heldout"))
    for name, default in (("--steps", 100), ("--batch", 16), ("--tokens", 168), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--sft-lr", type=float, default=5e-4)
    given = parser.parse_args()
    silence_progress_bars()
    settings = GrpoSettings(steps=given.steps, lr=given.lr)
    recipe = Recipe(batch=given.batch, visual_tokens=given.tokens, seed=given.seed, lr=given.sft_lr, grpo=settings)
    print(f"begins with: {measured(given.start, given.synth, given.photos, recipe)}", flush=True)
    seconds = by_rewards(given.synth, given.folder / "grpo", recipe, given.start)
    text = measured(given.folder / "grpo", given.synth, given.photos, recipe)
    print(f"by rewards, {given.steps} steps in {seconds:.0f} s: {text}", flush=True)
    steps = by_answers(given.synth, given.folder / "sft", recipe, given.start, seconds)
    text = measured(given.folder / "sft", given.synth, given.photos, recipe)
    print(f"by answers, {steps} steps in as long: {text}", flush=True)


if __name__ == "__main__":
    main()
