"""Inspection of a folder on a Ray cluster."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.models.bundle import load_bundle_without_model
from logicls.predict.folder.ray_cluster import RayCluster, connect_cluster, inspect_on_cluster
from logicls.predict.folder.runner import predict_folder
from logicls.predict.plugin_protocols import PluginManifest, Plugins, ProductMatch
from logicls.records import PluginInfo


class FakeRay:
    """Stand-in for Ray that runs two actors in turn in this process."""

    def __init__(self) -> None:
        self.data = SimpleNamespace(
            DataContext=SimpleNamespace(get_current=lambda: SimpleNamespace(execution_options=SimpleNamespace())),
            ActorPoolStrategy=lambda size: size,
            from_items=self.from_items,
        )
        self.options: dict[str, object] = {}

    def from_items(self, items: list[dict[str, str]], override_num_blocks: int) -> FakeRay:
        """Return the dataset of these rows."""
        assert 0 < override_num_blocks <= len(items)
        self.items = items
        return self

    def map(self, actor: type, fn_constructor_args: tuple[str, ...], **options: object) -> FakeRay:
        """Apply the actors."""
        self.actors, self.options = [actor(*fn_constructor_args) for _ in range(2)], options
        return self

    def iter_rows(self) -> Iterator[dict[str, str]]:
        """Yield the rows in order."""
        for number, item in enumerate(self.items):
            row = self.actors[number % 2](item)
            assert all(isinstance(value, str) for value in row.values())
            yield row


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory) -> Path:
    """Write eleven photos in two folders, one of them damaged, one with a name that is not UTF-8."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(9):
        path = root / f"line{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photos[number % 4]).rotate(10 * number).save(path)
    (root / "line0" / "broken.png").write_bytes(b"broken")
    shutil.copy(root / "line0" / "0.png", root / "line1" / "\udcff.png")
    return root


def verdicts(out: Path) -> list[dict[str, object]]:
    """Read the records without their times."""
    records = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def predict_locally(bundle, folder, out: Path) -> list[dict[str, object]]:
    """Return the records of one process."""
    predict_folder(bundle, folder, out, batch=2, workers=0)
    return verdicts(out)


def test_cluster_has_the_records_of_one_process(bundle, folder, tmp_path):
    """Identical and in the same order, with damaged photos and odd names; nano needs no GPU."""
    outline, ray = load_bundle_without_model(bundle.path), FakeRay()

    predict_folder(
        outline, folder, tmp_path / "many", inspect=inspect_on_cluster(RayCluster(ray, 2, 4), outline, folder, 2)
    )

    assert len(verdicts(tmp_path / "many")) == 11
    assert verdicts(tmp_path / "many") == predict_locally(bundle, folder, tmp_path / "one")
    assert ray.options == {"compute": 2, "num_cpus": 1, "num_gpus": None}


def test_interrupted_run_continues_on_a_cluster(bundle, folder, tmp_path):
    """A cluster does not repeat what one process finished, and the other way round."""
    outline, out = load_bundle_without_model(bundle.path), tmp_path / "out"
    expected = predict_locally(bundle, folder, out)
    lines = (out / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
    (out / "verdicts.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    ray = FakeRay()

    predict_folder(outline, folder, out, inspect=inspect_on_cluster(RayCluster(ray, 2, 0), outline, folder, 2))
    tasks = [json.loads(item["names"]) for item in ray.items]
    second = FakeRay()
    predict_folder(outline, folder, out, inspect=inspect_on_cluster(RayCluster(second, 2, 0), outline, folder, 2))

    assert [len(task) for task in tasks] == [2, 2, 2, 1]
    assert [record["photo"] for record in verdicts(out)] == [record["photo"] for record in expected]
    assert not hasattr(second, "items")


def test_missing_photos_on_a_worker_are_an_error(bundle, folder, tmp_path):
    """The run ends instead of sending the photos to review."""
    outline = load_bundle_without_model(bundle.path)
    inspect = inspect_on_cluster(RayCluster(FakeRay(), 2, 0), outline, tmp_path / "not_there", 2)

    with pytest.raises(DataError, match=r"LC679 .* cannot start its worker: .*not_there: there is no such folder"):
        predict_folder(outline, folder, tmp_path / "out", inspect=inspect)

    assert verdicts(tmp_path / "out") == []


def test_another_bundle_on_a_worker_is_an_error(bundle, folder, tmp_path):
    """A folder has verdicts of one bundle only."""
    outline = load_bundle_without_model(bundle.path)
    path = shutil.copytree(bundle.path, tmp_path / "bundle")
    facts = path / "bundle.json"
    inspect = inspect_on_cluster(RayCluster(FakeRay(), 2, 0), load_bundle_without_model(path), folder, 2)
    facts.write_text(facts.read_text().replace(outline.id, "0123456789ab"))

    with pytest.raises(DataError, match=r"cannot start its worker: .*changed since the bundle was made"):
        predict_folder(outline, folder, tmp_path / "out", inspect=inspect)


class UnmatchedRetriever:
    """Retriever without a match for any photo."""

    def match_products(self, photos: list[np.ndarray]) -> list[ProductMatch]:
        """Return a reason for review for each photo."""
        return [ProductMatch("", review_reason="no match") for _ in photos]


MANIFEST = PluginManifest((PluginInfo("retriever", "unmatched", "0a1b"),))


def make_plugins(bundle) -> Plugins:
    """Make the plug-ins of a worker."""
    return Plugins(retriever=UnmatchedRetriever(), manifest=MANIFEST)


def test_workers_have_the_plugins(bundle, folder, tmp_path):
    """Each verdict lists them; the folder cannot be continued without them."""
    outline = load_bundle_without_model(bundle.path)
    inspect = inspect_on_cluster(
        RayCluster(FakeRay(), 2, 0), outline, folder, 2, make_plugins=make_plugins, manifest=MANIFEST
    )

    predict_folder(outline, folder, tmp_path, inspect=inspect, manifest=MANIFEST)

    records = verdicts(tmp_path)
    assert {record["outcome"] for record in records} == {"review"}
    assert all(record["plugins"] == [{"kind": "retriever", "name": "unmatched", "knowledge_id": "0a1b", "settings": []}]
               for record in records)  # fmt: skip
    assert sum("no match" in record["reasons"] for record in records) == 10
    with pytest.raises(DataError, match="LC710 has verdicts made with retriever unmatched 0a1b, and now there is no"):
        predict_folder(outline, folder, tmp_path)


def test_another_plugin_on_a_worker_is_an_error(bundle, folder, tmp_path):
    """The message names both plug-ins."""
    outline, other = (
        load_bundle_without_model(bundle.path),
        PluginManifest((PluginInfo("retriever", "unmatched", "ffff"),)),
    )
    inspect = inspect_on_cluster(
        RayCluster(FakeRay(), 2, 0), outline, folder, 2, make_plugins=make_plugins, manifest=other
    )

    with pytest.raises(DataError, match="it has retriever unmatched 0a1b, not retriever unmatched ffff"):
        predict_folder(outline, folder, tmp_path, inspect=inspect, manifest=other)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'logicls[ray]'")
@pytest.mark.filterwarnings("default")  # Ray's own
def test_local_ray(bundle, folder, tmp_path):
    """Two processes of a local instance have the same records, also after an interrupted run."""
    outline, out = load_bundle_without_model(bundle.path), tmp_path / "many"
    expected = predict_locally(bundle, folder, tmp_path / "one")

    with connect_cluster("local", cpus=2) as cluster:
        inspect = inspect_on_cluster(cluster, outline, folder, 2)
        predict_folder(outline, folder, out, inspect=inspect)
        first = verdicts(out)
        lines = (out / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
        (out / "verdicts.jsonl").write_bytes(b"".join(lines[:6]))
        predict_folder(outline, folder, out, inspect=inspect)

    assert cluster.cpus == 2
    assert first == expected
    assert verdicts(out) == expected
