"""A server with plug-ins: over HTTP the same record as in a folder."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import httpx2
import pytest

from logicls.errors import BundleError
from logicls.plugins.selection import PluginOptions, PluginSelection, set_default_plugins
from logicls.predict.folder.runner import inspect_with_reader, predict_folder
from logicls.predict.readers.protocol import make_reader
from logicls.predict.self_test import open_bundle
from logicls.serve.server import Address, serve
from logicls.serve.service import InferenceService, Metrics
from logicls.serve.uploads import Limits

_EXTRAS = runpy.run_path(str(Path(__file__).parents[1] / "plugins" / "conftest.py"))
outfit, own, good, dataset = (_EXTRAS[name] for name in ("outfit", "own", "good", "dataset"))
ASKED = PluginOptions("patches", "closer", open=0.0)


def without_times(record: dict[str, object]) -> object:
    """The record, to four digits, without how long things took."""
    again = record["second_look"]
    told = {**record, "seconds": 0, "second_look": again and {**again, "seconds": 0}}
    return json.loads(json.dumps(told), parse_float=lambda text: round(float(text), 4))


def answers(url: str, photos: Path) -> dict[str, object]:
    """What the server says of each photo of a folder."""
    found = {}
    for path in sorted(photos.iterdir()):
        answer = httpx2.post(
            f"{url}/predict", params={"photo": path.name}, content=path.read_bytes(), timeout=60, trust_env=False
        )
        assert answer.status_code == 200
        found[path.name] = without_times(answer.json())
    return found


@pytest.mark.slow
def test_the_record_is_that_of_a_folder(outfit, served, tmp_path):
    """With all three: what each of them says, what was plugged in, and the same result id."""
    wanted = PluginSelection("patches", ASKED.resolve(outfit.bundle).reasoner, outfit.knowledge)
    bundle = open_bundle(outfit.bundle)
    plugins = wanted.build(bundle)
    inspect = inspect_with_reader(make_reader(bundle, plugins.retriever), outfit.photos, 1, 0, plugins)
    predict_folder(bundle, outfit.photos, tmp_path, inspect=inspect, manifest=plugins.manifest)
    lines = map(json.loads, (tmp_path / "verdicts.jsonl").read_text().splitlines())
    told = {record["photo"]: without_times(record) for record in lines}

    with served(InferenceService(outfit.bundle, Limits(batch=1), Metrics(), wanted.build)) as url:
        came = answers(url, outfit.photos)
        health = httpx2.get(f"{url}/healthz", trust_env=False).json()

    assert came == told
    assert len(came) == 4
    assert came["a.png"]["second_look"]["reasoner"] == "closer"
    assert "structural_defect" in dict(came["a.png"]["scores"])
    assert any(record["documents"] for record in came.values())
    assert health["plugins"] == [plug.to_text() for plug in plugins.manifest.plugins]


@pytest.mark.slow
def test_without_plug_ins_nothing_is_paid(outfit, served):
    """Photos are decoded in the size of the model's input, and the record says that nothing was plugged in."""
    desk = InferenceService(outfit.bundle, Limits(), Metrics(), PluginOptions().resolve(outfit.bundle).build)

    with served(desk) as url:
        came = answers(url, outfit.photos)
        health = httpx2.get(f"{url}/healthz", trust_env=False).json()
        size = desk._input_size

    assert size == (64, 64)
    assert all((record["plugins"], record["second_look"]) == ([], None) for record in came.values())
    assert "plugins" not in health


@pytest.mark.slow
def test_a_plug_in_that_is_not_there_ends_the_server(own):
    """With the error, and not with a server that judges without it."""
    set_default_plugins(own.bundle, expert="prototypes")
    told: list[str] = []

    with pytest.raises(BundleError, match="LC721"):
        serve(
            own.bundle, Address("127.0.0.1", 0), Limits(), report=told.append, plugin_factory=PluginOptions().resolve(own.bundle).build
        )  # fmt: skip

    assert told == []
