"""Does resampling by difficulty pay? The sample product with a long tail: one violation on 1 % of the examples.

python tests/bench/long_tail.py FOLDER [--kind extra_tablet] [--steps 400] [--count 1600] [--first 0] [--seeds 3]
    [--share 0.01]

Photos are split, three quarters to learn from and the rest to measure on. Of the examples made of the first, all but so
many with the rare violation are thrown away that these make up 1 %; then a model is trained with resampling and one
without, for each seed from FIRST on and below SEEDS, with equal steps and without early stopping. Measured on examples
made of the other photos, in which every violation is as frequent as any other. Prints for each run how often the rare
violation was found (by the rules from the answers, and as stated) and how often the whole set of violations was right;
then means, spreads, and whether the gain is larger than the spread between the seeds. The sets are made once and kept
in FOLDER, and so is each bundle: a run that was broken off goes on.
"""

import argparse
import json
import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from logicls.io.resources import resource_path
from logicls.predict.folder.runner import predict_folder
from logicls.predict.self_test import open_bundle
from logicls.predict.serialization import read_verdicts
from logicls.synth.pipeline import SynthesisRequest, build_dataset
from logicls.train.fit import fit
from logicls.train.metrics_log import SILENT
from logicls.train.recipe import Recipe, read_recipe

SPEC, DATA = resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit")
MEASURED = ("tail derived", "tail stated", "exact derived", "exact stated")


def split(folder: Path) -> tuple[Path, Path]:
    """Two datasets: every fourth photo is in the second one."""
    full = json.loads((DATA / "annotations.json").read_text())
    parts = []
    for name, wanted in (("learn", {0, 1, 2}), ("measure", {3})):
        images = [image for place, image in enumerate(full["images"]) if place % 4 in wanted]
        ids = {image["id"] for image in images}
        notes = [note for note in full["annotations"] if note["image_id"] in ids]
        out = folder / name
        out.mkdir(parents=True, exist_ok=True)
        (out / "annotations.json").write_text(json.dumps({**full, "images": images, "annotations": notes}))
        if not (out / "images").exists():
            os.symlink(DATA / "images", out / "images")
        parts.append(out)
    return parts[0], parts[1]


def made(data: Path, out: Path, count: int, seed: int) -> Path:
    """A set of that many examples."""
    build_dataset(SynthesisRequest(SPEC, data, out, count, seed), workers=2)
    return out


def with_tail(synth: Path, out: Path, kind: str, share: float) -> Path:
    """The set, with so few examples of the kind left that they are that share."""
    table = pa.concat_tables(pq.read_table(path) for path in sorted((synth / "data").glob("*.parquet")))
    has = [kind in names for names in table["violations"].to_pylist()]
    keep = max(round(share / (1 - share) * has.count(False)), 1)
    rare = [place for place, is_rare in enumerate(has) if is_rare][:keep]
    chosen = sorted({*rare, *(place for place, is_rare in enumerate(has) if not is_rare)})
    (out / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(table.take(chosen), out / "data" / "train-00000-of-00001.parquet")
    for name in ("spec.yaml", "synth.json"):
        shutil.copy(synth / name, out / name)
    print(f"{len(chosen)} examples to learn from, {len(rare)} of them with {kind}")
    return out


def laid_out(synth: Path, out: Path) -> dict[str, frozenset[str]]:
    """The set's photos in a folder of their own; what each shows."""
    out.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number, row in enumerate(_rows(synth)):
        (out / f"{number:05d}.jpg").write_bytes(row["image"]["bytes"])
        truth[f"{number:05d}.jpg"] = frozenset(row["violations"])
    return truth


def _rows(synth: Path) -> Iterator[dict[str, object]]:
    for path in sorted((synth / "data").glob("*.parquet")):
        yield from pq.read_table(path, columns=["image", "violations"]).to_pylist()


def measured(bundle: Path, photos: Path, truth: dict[str, frozenset[str]], kind: str) -> tuple[float, ...]:
    """`MEASURED` of one bundle."""
    predict_folder(open_bundle(bundle), photos, bundle / "verdicts", batch=16)
    verdicts = list(read_verdicts(bundle / "verdicts" / "verdicts.jsonl"))
    read = {verdict.photo: (set(verdict.violations), set(verdict.stated or ())) for verdict in verdicts}
    tail = [name for name, labels in truth.items() if kind in labels]
    recalls = [statistics.mean(kind in read[name][way] for name in tail) for way in (0, 1)]
    exact = [statistics.mean(read[name][way] == labels for name, labels in truth.items()) for way in (0, 1)]
    return (*recalls, *exact)


def tell(found: dict[bool, Sequence[tuple[float, ...]]]) -> None:
    """Means and spreads, and the gain beside the spread."""
    for column, name in enumerate(MEASURED):
        ways = {on: [row[column] for row in rows] for on, rows in found.items()}
        ranges = {on: f"{statistics.mean(v):.1%} ({min(v):.1%} to {max(v):.1%})" for on, v in ways.items()}
        gain = statistics.mean(ways[True]) - statistics.mean(ways[False])
        spread = max(max(values) - min(values) for values in ways.values())
        print(
            f"{name:14s} off {ranges[False]}   on {ranges[True]}   gain {gain:+.1%}, spread between seeds {spread:.1%}"
        )


def trained(synth: Path, out: Path, recipe: Recipe) -> Path:
    """The bundle; made unless it is there."""
    if not (out / "probe" / "expected.json").exists():
        fit(synth, out, recipe, resume=True, observer=SILENT)
    return out


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", default="extra_tablet")
    for name, default in (("--steps", 400), ("--count", 1600), ("--first", 0), ("--seeds", 3), ("--measure", 300)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--share", type=float, default=0.01)
    given = parser.parse_args()
    learn, rest = split(given.folder)
    full = made(learn, given.folder / "whole", given.count, 0)
    synth = with_tail(full, given.folder / f"tail-{given.kind}", given.kind, given.share)
    photos = given.folder / "photos"
    truth = laid_out(made(rest, given.folder / "test", given.measure, 1), photos)
    print(f"{len(truth)} to measure on, {sum(given.kind in shown for shown in truth.values())} with {given.kind}")
    plan = read_recipe(resource_path("train/demo.yaml")).model_copy(update={"steps": given.steps, "validation": 0.0})
    found: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
    for seed in range(given.first, given.seeds):
        for on in (False, True):
            recipe = plan.model_copy(update={"seed": seed, "hard_example_mining": on})
            name = f"{given.kind}-{given.steps}-{'on' if on else 'off'}-{seed}"
            bundle = trained(synth, given.folder / name, recipe)
            found[on].append(measured(bundle, photos, truth, given.kind))
            text = ", ".join(f"{what} {value:.1%}" for what, value in zip(MEASURED, found[on][-1], strict=True))
            print(f"seed {seed}, resampling {'on ' if on else 'off'}: {text}", flush=True)
    tell(found)


if __name__ == "__main__":
    main()
