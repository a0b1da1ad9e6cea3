"""Messages about training data, training runs, bundles and inspections."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from logicls.cli.predict import predict
from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError
from logicls.io.resources import resource_path
from logicls.models.bundle import load_bundle, write_bundle
from logicls.models.nano import NanoImageProcessor
from logicls.predict.folder.runner import predict_folder
from logicls.predict.input.loader import PhotoLoader
from logicls.predict.readers import make_reader
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.self_test import open_bundle, write_probe
from logicls.pretraining.photo_store import read_scene_shards
from logicls.synth.pipeline import SynthesisRequest, build_dataset, load_source
from logicls.train.distributed import ProcessRank, launch_processes
from logicls.train.fit import fit
from logicls.train.grpo import stage as grpo
from logicls.train.grpo.stage import fit_grpo
from logicls.train.metrics_log import SILENT
from logicls.train.online_examples import make_online_task
from logicls.train.preflight import decode_image, preflight
from logicls.train.recipe import Recipe, check_grpo_options
from logicls.train.time_budget import StepTime, fit_steps_to_time

REQUEST = SynthesisRequest(
    Path(__file__).parents[1] / "fixtures" / "bundle_0_1" / "spec.yaml",
    resource_path("data/dosing_kit"),
    Path("synth"),
    2,
    0,
)
TINY = Recipe(steps=1, batch=1, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory, tiny_nano) -> Path:
    """Folder with two training examples in `synth`, and a `bundle` of random weights."""
    folder = tmp_path_factory.mktemp("artifacts")
    build_dataset(replace(REQUEST, out=folder / "synth"), workers=1)
    model, processor = tiny_nano(load_spec(REQUEST.spec))
    bundle = write_bundle(folder / "bundle", model=model, processor=processor, spec_file=REQUEST.spec, max_boxes=5)
    write_probe(bundle, folder / "synth")
    return folder


@pytest.fixture
def prepared(workdir, artifacts) -> Path:
    """Working directory with a copy of `synth` and `bundle`."""
    shutil.copytree(artifacts, workdir, dirs_exist_ok=True)
    return workdir


def edit_file(name: str, old: str, new: str) -> None:
    """Replace text in a file."""
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


def resume_with_other_recipe() -> object:
    """Resume a run with more steps than it was started with."""
    Path("new/work").mkdir(parents=True)
    Path("new/work/recipe.json").write_text(TINY.model_dump_json())
    return fit(Path("synth"), Path("new"), TINY.model_copy(update={"steps": 2}), resume=True)


def start_from_smaller_model() -> object:
    """Start training from the weights of a smaller model."""
    recipe = TINY.model_copy(update={"width": 64})
    return fit(Path("synth"), Path("new"), recipe, start=Path("bundle"), observer=SILENT)


def load_invalid_spec() -> object:
    """Load a bundle with an invalid spec."""
    edit_file("bundle/spec.yaml", "exactly: 4", "exacly: 4")
    return load_bundle(Path("bundle"))


def load_edited_spec() -> object:
    """Load a bundle whose spec was edited."""
    edit_file("bundle/spec.yaml", "exactly: 4", "exactly: 5")
    return load_bundle(Path("bundle"))


def open_without_self_test() -> object:
    """Open a bundle whose self-test is empty."""
    Path("bundle/probe/expected.json").write_text("{}")
    return open_bundle(Path("bundle"))


def open_with_other_answers() -> object:
    """Open a bundle whose self-test expects other answers."""
    path = Path("bundle/probe/expected.json")
    expected = json.loads(path.read_text())
    expected["0.jpg"]["locate:unknown"] = [[], [], 1.0]
    path.write_text(json.dumps(expected))
    return open_bundle(Path("bundle"))


def continue_with_another_bundle() -> object:
    """Continue a folder of verdicts with another bundle."""
    Path("photos").mkdir()
    Image.new("L", (40, 30)).save("photos/kit_001.png")
    Path("verdicts").mkdir()
    Path("verdicts/run.json").write_text('{"bundle": "0c1d2e3f4a5b"}')
    return predict_folder(replace(load_bundle(Path("bundle")), id="9a8b7c6d5e4f"), Path("photos"), Path("verdicts"))


def kill_worker() -> object:
    """Synthesise a dataset, and kill a worker process."""

    def kill(count: int) -> None:
        if count:
            multiprocessing.active_children()[0].kill()

    return build_dataset(replace(REQUEST, out=Path("larger"), count=400), workers=2, on_progress=kill)


def continue_with_another_folder() -> object:
    """Continue a folder of verdicts with photos of another folder."""
    Path("tuesday").mkdir()
    Image.new("L", (40, 30)).save("tuesday/kit_001.png")
    Path("verdicts").mkdir()
    bundle = load_bundle(Path("bundle"))
    manifest = {"bundle": bundle.id, "spec": bundle.spec.hash, "product": bundle.spec.product.name, "photos": "/monday"}
    Path("verdicts/run.json").write_text(json.dumps(manifest))
    try:
        return predict_folder(bundle, Path("tuesday"), Path("verdicts"))
    except DataError as error:
        cwd = str(Path.cwd())
        return [replace(p, message=p.message.replace(cwd, "/plant")) for p in error.problems]


def write_into_photo_folder() -> object:
    """Write verdicts into the folder of the photos."""
    Path("photos").mkdir()
    Image.new("L", (40, 30)).save("photos/kit_001.png")
    return predict_folder(load_bundle(Path("bundle")), Path("photos"), Path("photos"))


def kill_decoders() -> object:
    """Decode photos in processes that terminate at once."""
    with PhotoLoader(exec, 1) as loader:
        return list(loader.stream(['__import__("os")._exit(1)']))


def fail_on_gpu() -> object:
    """Predict on a GPU that fails."""

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later.")

    Path("photos").mkdir()
    Image.new("L", (40, 30)).save("photos/kit_001.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NanoReader, "predict_raw", fail)
        return predict_folder(load_bundle(Path("bundle")), Path("photos"), Path("verdicts"))


def reject_narrow_photo() -> object:
    """Predict a photo that the model's image processor rejects."""

    def reject(*_: object) -> None:
        raise ValueError("absolute aspect ratio must be smaller than 200, got 300.0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NanoImageProcessor, "preprocess", reject)
        return predict_arrays(make_reader(load_bundle(Path("bundle"))), [np.zeros((20, 6000, 3), np.uint8)])


def limit_without_watch() -> object:
    """Set a time limit without watching."""
    return predict(Path("bundle"), Path("photos"), Path("verdicts"), idle=60)


def train_without_source_photos() -> object:
    """Train with online examples whose source photos are missing."""
    edit_file("synth/synth.json", str(REQUEST.data.resolve()), "/old/place")
    return fit(Path("synth"), Path("new"), TINY.model_copy(update={"online": 1.0}))


def kill_self(rank: ProcessRank) -> None:
    """Kill the own process."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_training_process() -> object:
    """Train in two processes, one of which is killed."""
    with launch_processes(2, kill_self) as rank:
        return rank.all_gather("here")


def train_without_trl() -> object:
    """Train by rewards without TRL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "find_spec", lambda name: None if name == "trl" else name)
        return fit_grpo(Path("synth"), Path("new"), TINY, start=Path("bundle"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC401": lambda: build_dataset(replace(REQUEST, count=3), workers=1),
    "LC402": lambda: preflight(Path("bundle"), Path("cache"), visual_tokens=16),
    "LC403": lambda: decode_image(b"no picture", 17),
    "LC404": kill_worker,
    "LC405": lambda: make_online_task((64, 64), 0)(load_source(REQUEST).create_generator(), 0, 17),
    "LC406": train_without_source_photos,
    "LC407": lambda: read_scene_shards(Path("nowhere")),
    "LC411": resume_with_other_recipe,
    "LC412": start_from_smaller_model,
    "LC413": lambda: fit_steps_to_time(
        StepTime(step_seconds=0.5, evaluation_seconds=3.0, evaluate_every=100), minutes=0.1, elapsed=4.0
    ),
    "LC414": lambda: fit(Path("synth"), Path("new"), TINY.model_copy(update={"processes": 3, "batch": 32})),
    "LC415": kill_training_process,
    "LC435": train_without_trl,
    "LC436": lambda: fit_grpo(Path("synth"), Path("new"), TINY, start=None),
    "LC437": lambda: check_grpo_options({"resume": True}),
    "LC501": lambda: load_bundle(Path("synth")),
    "LC502": load_invalid_spec,
    "LC503": load_edited_spec,
    "LC504": open_without_self_test,
    "LC505": open_with_other_answers,
    "LC601": continue_with_another_bundle,
    "LC602": continue_with_another_folder,
    "LC605": write_into_photo_folder,
    "LC607": kill_decoders,
    "LC608": limit_without_watch,
    "LC609": fail_on_gpu,
    "LC610": reject_narrow_photo,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("prepared")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])
