"""Server with plug-ins: the records equal those of a folder run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import httpx2
import pytest

from logicls.errors import BundleError
from logicls.plugins.selection import PluginOptions, PluginSelection, set_default_plugins
from logicls.predict.folder.runner import inspect_with_reader, predict_folder
from logicls.predict.readers import make_reader
from logicls.predict.self_test import open_bundle
from logicls.serve.server import Address, serve
from logicls.serve.service import InferenceService, Metrics
from logicls.serve.uploads import Limits

_PLUGIN_FIXTURES = runpy.run_path(str(Path(__file__).parents[1] / "plugins" / "conftest.py"))
plugin_setup, plugin_setup_copy, good, dataset = (
    _PLUGIN_FIXTURES[name] for name in ("plugin_setup", "plugin_setup_copy", "good", "dataset")
)
OPTIONS = PluginOptions("patches", "closer", min_entropy=0.0)


def without_times(record: dict[str, object]) -> object:
    """Return a record rounded to four digits, without durations."""
    results = [{**one, "payload": {**one["payload"], "seconds": 0}} for one in record["plugin_results"]]
    stripped = {**record, "seconds": 0, "plugin_results": results}
    return json.loads(json.dumps(stripped), parse_float=lambda text: round(float(text), 4))


def request_records(url: str, photos: Path) -> dict[str, object]:
    """Return the server's record of each photo of a folder."""
    records = {}
    for path in sorted(photos.iterdir()):
        answer = httpx2.post(
            f"{url}/predict", params={"photo": path.name}, content=path.read_bytes(), timeout=60, trust_env=False
        )
        assert answer.status_code == 200
        records[path.name] = without_times(answer.json())
    return records


@pytest.mark.slow
def test_records_equal_those_of_a_folder_run(plugin_setup, serve_in_thread, tmp_path):
    """With all three plug-ins, the records and result ids equal those of a folder run."""
    selection = PluginSelection("patches", OPTIONS.resolve(plugin_setup.bundle).reasoner, plugin_setup.knowledge)
    bundle = open_bundle(plugin_setup.bundle)
    plugins = selection.build(bundle)
    inspect = inspect_with_reader(make_reader(bundle, plugins.retriever), plugin_setup.photos, 1, 0, plugins)
    predict_folder(bundle, plugin_setup.photos, tmp_path, inspect=inspect, manifest=plugins.manifest)
    lines = map(json.loads, (tmp_path / "verdicts.jsonl").read_text().splitlines())
    expected = {record["photo"]: without_times(record) for record in lines}

    with serve_in_thread(InferenceService(plugin_setup.bundle, Limits(batch=1), Metrics(), selection.build)) as url:
        records = request_records(url, plugin_setup.photos)
        health = httpx2.get(f"{url}/healthz", trust_env=False).json()

    assert records == expected
    assert len(records) == 4
    assert records["a.png"]["plugin_results"][0]["name"] == "closer"
    assert "structural_defect" in dict(records["a.png"]["scores"])
    assert any(one["kind"] == "retriever" for record in records.values() for one in record["plugin_results"])
    assert health["plugins"] == [plug.to_text() for plug in plugins.manifest.plugins]


@pytest.mark.slow
def test_without_plugins_photos_are_downscaled_on_loading(plugin_setup, serve_in_thread):
    """Photos are decoded at the model's input size, and the records list no plug-ins."""
    service = InferenceService(
        plugin_setup.bundle, Limits(), Metrics(), PluginOptions().resolve(plugin_setup.bundle).build
    )

    with serve_in_thread(service) as url:
        records = request_records(url, plugin_setup.photos)
        health = httpx2.get(f"{url}/healthz", trust_env=False).json()
        size = service._input_size

    assert size == (64, 64)
    assert all((record["plugins"], record["plugin_results"]) == ([], []) for record in records.values())
    assert "plugins" not in health


@pytest.mark.slow
def test_a_missing_plugin_stops_the_server(plugin_setup_copy):
    """The error is raised, instead of a server that predicts without the plug-in."""
    set_default_plugins(plugin_setup_copy.bundle, expert="prototypes")
    messages: list[str] = []

    with pytest.raises(BundleError, match="LC721"):
        serve(
            plugin_setup_copy.bundle,
            Address("127.0.0.1", 0),
            Limits(),
            report=messages.append,
            plugin_factory=PluginOptions().resolve(plugin_setup_copy.bundle).build,
        )

    assert messages == []
