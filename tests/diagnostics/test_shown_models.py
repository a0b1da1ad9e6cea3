"""What people see when training data, a training run or a bundle cannot be used."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from logicls.cli.predict import predict
from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError
from logicls.io.resources import resource_path
from logicls.models.bundle import load_bundle, write_bundle
from logicls.predict.folder.runner import predict_folder
from logicls.predict.input.loader import PhotoLoader
from logicls.predict.self_test import open_bundle, write_probe
from logicls.pretraining.photo_store import read_scene_shards
from logicls.synth.pipeline import SynthesisRequest, build_dataset, load_source
from logicls.train.distributed import ProcessRank, launch_processes
from logicls.train.fit import fit
from logicls.train.grpo import stage as grpo
from logicls.train.grpo.stage import fit_grpo
from logicls.train.observer import SILENT
from logicls.train.online_examples import make_online_task
from logicls.train.preflight import decode_image, preflight
from logicls.train.recipe import Recipe, check_grpo_options
from logicls.train.time_budget import StepTime, fit_steps_to_time

ORDER = SynthesisRequest(
    resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), Path("synth"), 2, 0
)
TINY = Recipe(steps=1, batch=1, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_nano) -> Path:
    """A folder with `synth`, two training examples, and `bundle`, a model of random weights with its probe."""
    folder = tmp_path_factory.mktemp("made")
    build_dataset(replace(ORDER, out=folder / "synth"), workers=1)
    model, processor = tiny_nano(load_spec(ORDER.spec))
    bundle = write_bundle(folder / "bundle", model=model, processor=processor, spec_file=ORDER.spec, max_boxes=5)
    write_probe(bundle, folder / "synth")
    return folder


@pytest.fixture
def bench(desk, made) -> Path:
    """The folder that one works in, with its own `synth` and `bundle`."""
    shutil.copytree(made, desk, dirs_exist_ok=True)
    return desk


def edited(name: str, old: str, new: str) -> None:
    """Change a text file."""
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


def other_recipe() -> object:
    """A run that goes on with more steps than it was begun with."""
    Path("new/work").mkdir(parents=True)
    Path("new/work/recipe.json").write_text(TINY.model_dump_json())
    return fit(Path("synth"), Path("new"), TINY.model_copy(update={"steps": 2}), resume=True)


def other_size() -> object:
    """A run that begins with a smaller model's weights."""
    recipe = TINY.model_copy(update={"width": 64})
    return fit(Path("synth"), Path("new"), recipe, start=Path("bundle"), observer=SILENT)


def misspelt_spec() -> object:
    """A bundle whose spec cannot be loaded."""
    edited("bundle/spec.yaml", "exactly: 4", "exacly: 4")
    return load_bundle(Path("bundle"))


def changed_spec() -> object:
    """A bundle whose spec was edited."""
    edited("bundle/spec.yaml", "exactly: 4", "exactly: 5")
    return load_bundle(Path("bundle"))


def empty_probe() -> object:
    """A bundle that expects no answers."""
    Path("bundle/probe/expected.json").write_text("{}")
    return open_bundle(Path("bundle"))


def other_answer() -> object:
    """A bundle that expects an answer to a question that is not asked."""
    path = Path("bundle/probe/expected.json")
    expected = json.loads(path.read_text())
    expected["0.jpg"]["locate:gone"] = [[], [], 1.0]
    path.write_text(json.dumps(expected))
    return open_bundle(Path("bundle"))


def verdicts_of_another() -> object:
    """A folder of verdicts that another bundle began."""
    Path("photos").mkdir()
    Image.new("L", (40, 30)).save("photos/kit_001.png")
    Path("verdicts").mkdir()
    Path("verdicts/run.json").write_text('{"bundle": "0c1d2e3f4a5b"}')
    return predict_folder(replace(load_bundle(Path("bundle")), id="9a8b7c6d5e4f"), Path("photos"), Path("verdicts"))


def killed_worker() -> object:
    """A run in which somebody ends one of the processes."""

    def done(count: int) -> None:
        if count:
            multiprocessing.active_children()[0].kill()

    return build_dataset(replace(ORDER, out=Path("larger"), count=400), workers=2, on_progress=done)


def verdicts_of_monday() -> object:
    """A folder of verdicts of photos that lay elsewhere."""
    Path("tuesday").mkdir()
    Image.new("L", (40, 30)).save("tuesday/kit_001.png")
    Path("verdicts").mkdir()
    bundle = load_bundle(Path("bundle"))
    begun = {"bundle": bundle.id, "spec": bundle.spec.hash, "product": bundle.spec.product.name, "photos": "/monday"}
    Path("verdicts/run.json").write_text(json.dumps(begun))
    try:
        return predict_folder(bundle, Path("tuesday"), Path("verdicts"))
    except DataError as error:
        here = str(Path.cwd())
        return [replace(p, message=p.message.replace(here, "/plant")) for p in error.problems]


def verdicts_among_photos() -> object:
    """Verdicts into the folder of the photos."""
    Path("photos").mkdir()
    Image.new("L", (40, 30)).save("photos/kit_001.png")
    return predict_folder(load_bundle(Path("bundle")), Path("photos"), Path("photos"))


def dying_processes() -> object:
    """Processes that end as soon as they are asked for something."""
    with PhotoLoader(exec, 1) as loader:
        return list(loader.stream(['__import__("os")._exit(1)']))


def limit_without_watching() -> object:
    """A time to end for a run that ends by itself."""
    return predict(Path("bundle"), Path("photos"), Path("verdicts"), idle=60)


def moved_photos() -> object:
    """A run with fresh examples of photos that are not there any more."""
    edited("synth/synth.json", str(ORDER.data.resolve()), "/old/place")
    return fit(Path("synth"), Path("new"), TINY.model_copy(update={"online": 1.0}))


def end(rank: ProcessRank) -> None:
    """What a process does that is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_process() -> object:
    """A run of which somebody ends one of the processes."""
    with launch_processes(2, end) as rank:
        return rank.all_gather("here")


def without_trl() -> object:
    """Rewards where their library is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "find_spec", lambda name: None if name == "trl" else name)
        return fit_grpo(Path("synth"), Path("new"), TINY, start=Path("bundle"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC401": lambda: build_dataset(replace(ORDER, count=3), workers=1),
    "LC402": lambda: preflight(Path("bundle"), Path("cache"), visual_tokens=16),
    "LC403": lambda: decode_image(b"no picture", 17),
    "LC404": killed_worker,
    "LC405": lambda: make_online_task((64, 64), 0)(load_source(ORDER).create_generator(), 0, 17),
    "LC406": moved_photos,
    "LC407": lambda: read_scene_shards(Path("nowhere")),
    "LC411": other_recipe,
    "LC412": other_size,
    "LC413": lambda: fit_steps_to_time(
        StepTime(step_seconds=0.5, evaluation_seconds=3.0, evaluate_every=100), minutes=0.1, elapsed=4.0
    ),
    "LC414": lambda: fit(Path("synth"), Path("new"), TINY.model_copy(update={"processes": 3, "batch": 32})),
    "LC415": killed_process,
    "LC435": without_trl,
    "LC436": lambda: fit_grpo(Path("synth"), Path("new"), TINY, start=None),
    "LC437": lambda: check_grpo_options({"resume": True}),
    "LC501": lambda: load_bundle(Path("synth")),
    "LC502": misspelt_spec,
    "LC503": changed_spec,
    "LC504": empty_probe,
    "LC505": other_answer,
    "LC601": verdicts_of_another,
    "LC602": verdicts_of_monday,
    "LC605": verdicts_among_photos,
    "LC607": dying_processes,
    "LC608": limit_without_watching,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("bench")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])
