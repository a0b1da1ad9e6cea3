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


class Here:
    """In the place of Ray: what it was asked to do on other machines is done here, with two actors in turn."""

    def __init__(self) -> None:
        self.data = SimpleNamespace(
            DataContext=SimpleNamespace(get_current=lambda: SimpleNamespace(execution_options=SimpleNamespace())),
            ActorPoolStrategy=lambda size: size,
            from_items=self.from_items,
        )
        self.asked: dict[str, object] = {}

    def from_items(self, items: list[dict[str, str]], override_num_blocks: int) -> Here:
        """The dataset of these rows."""
        assert 0 < override_num_blocks <= len(items)
        self.items = items
        return self

    def map(self, actor: type, fn_constructor_args: tuple[str, ...], **asked: object) -> Here:
        """What the actors make of it."""
        self.actors, self.asked = [actor(*fn_constructor_args) for _ in range(2)], asked
        return self

    def iter_rows(self) -> Iterator[dict[str, str]]:
        """The rows, in order."""
        for number, item in enumerate(self.items):
            row = self.actors[number % 2](item)
            assert all(isinstance(value, str) for value in row.values())
            yield row


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory) -> Path:
    """Eleven photos in two folders, one of them broken, one with a name that is no UTF-8."""
    made = tmp_path_factory.mktemp("photos")
    for number in range(9):
        path = made / f"line{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photos[number % 4]).rotate(10 * number).save(path)
    (made / "line0" / "broken.png").write_bytes(b"broken")
    shutil.copy(made / "line0" / "0.png", made / "line1" / "\udcff.png")
    return made


def verdicts(out: Path) -> list[dict[str, object]]:
    """The records, without the time that they took."""
    records = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def once(bundle, folder, out: Path) -> list[dict[str, object]]:
    """What one process says."""
    predict_folder(bundle, folder, out, batch=2, workers=0)
    return verdicts(out)


def test_shares_come_to_the_same_records(bundle, folder, tmp_path):
    """Word for word and in the same order, broken photos and odd names too; nano asks for no GPU."""
    outline, ray = load_bundle_without_model(bundle.path), Here()

    predict_folder(
        outline, folder, tmp_path / "many", inspect=inspect_on_cluster(RayCluster(ray, 2, 4), outline, folder, 2)
    )

    assert len(verdicts(tmp_path / "many")) == 11
    assert verdicts(tmp_path / "many") == once(bundle, folder, tmp_path / "one")
    assert ray.asked == {"compute": 2, "num_cpus": 1, "num_gpus": None}


def test_a_run_goes_on_elsewhere_and_comes_back(bundle, folder, tmp_path):
    """What one process finished, a cluster does not do again; and the other way round."""
    outline, out = load_bundle_without_model(bundle.path), tmp_path / "out"
    wanted = once(bundle, folder, out)
    lines = (out / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
    (out / "verdicts.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    ray = Here()

    predict_folder(outline, folder, out, inspect=inspect_on_cluster(RayCluster(ray, 2, 0), outline, folder, 2))
    shares = [json.loads(item["names"]) for item in ray.items]
    again = Here()
    predict_folder(outline, folder, out, inspect=inspect_on_cluster(RayCluster(again, 2, 0), outline, folder, 2))

    assert [len(share) for share in shares] == [2, 2, 2, 1]
    assert [record["photo"] for record in verdicts(out)] == [record["photo"] for record in wanted]
    assert not hasattr(again, "items")


def test_a_machine_without_the_photos_ends_the_run(bundle, folder, tmp_path):
    """Instead of sending to review what it does not see."""
    outline = load_bundle_without_model(bundle.path)
    inspect = inspect_on_cluster(RayCluster(Here(), 2, 0), outline, tmp_path / "not_there", 2)

    with pytest.raises(DataError, match=r"LC679 .* cannot do its share: .*not_there: there is no such folder"):
        predict_folder(outline, folder, tmp_path / "out", inspect=inspect)

    assert verdicts(tmp_path / "out") == []


def test_a_machine_with_another_bundle_ends_the_run(bundle, folder, tmp_path):
    """Two bundles' verdicts in one folder would be nobody's."""
    outline = load_bundle_without_model(bundle.path)
    path = shutil.copytree(bundle.path, tmp_path / "bundle")
    facts = path / "bundle.json"
    inspect = inspect_on_cluster(RayCluster(Here(), 2, 0), load_bundle_without_model(path), folder, 2)
    facts.write_text(facts.read_text().replace(outline.id, "0123456789ab"))

    with pytest.raises(DataError, match=r"cannot do its share: .*changed since the bundle was made"):
        predict_folder(outline, folder, tmp_path / "out", inspect=inspect)


class Doubting:
    """A retriever that knows nothing, and says so."""

    def recall(self, photos: list[np.ndarray]) -> list[ProductMatch]:
        """A doubt each."""
        return [ProductMatch("", review_reason="never seen") for _ in photos]


PLUGGED = PluginManifest((PluginInfo("retriever", "doubting", "0a1b"),))


def doubting(bundle) -> Plugins:
    """Made on each machine."""
    return Plugins(retriever=Doubting(), manifest=PLUGGED)


def test_every_machine_has_the_plug_ins(bundle, folder, tmp_path):
    """Made there, and written down with each verdict; the folder is not gone on with without them."""
    outline = load_bundle_without_model(bundle.path)
    inspect = inspect_on_cluster(RayCluster(Here(), 2, 0), outline, folder, 2, make_plugins=doubting, manifest=PLUGGED)

    predict_folder(outline, folder, tmp_path, inspect=inspect, manifest=PLUGGED)

    records = verdicts(tmp_path)
    assert {record["outcome"] for record in records} == {"review"}
    assert all(record["plugins"] == [{"kind": "retriever", "name": "doubting", "knowledge_id": "0a1b", "settings": []}]
               for record in records)  # fmt: skip
    assert sum("never seen" in record["reasons"] for record in records) == 10
    with pytest.raises(
        DataError, match="LC710 holds verdicts made with retriever doubting 0a1b, where now there is no"
    ):
        predict_folder(outline, folder, tmp_path)


def test_a_machine_with_another_plug_in_ends_the_run(bundle, folder, tmp_path):
    """It is named."""
    outline, other = (
        load_bundle_without_model(bundle.path),
        PluginManifest((PluginInfo("retriever", "doubting", "ffff"),)),
    )
    inspect = inspect_on_cluster(RayCluster(Here(), 2, 0), outline, folder, 2, make_plugins=doubting, manifest=other)

    with pytest.raises(DataError, match="it has retriever doubting 0a1b, not retriever doubting ffff"):
        predict_folder(outline, folder, tmp_path, inspect=inspect, manifest=other)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'logicls[ray]'")
@pytest.mark.filterwarnings("default")  # Ray's own
def test_ray_itself(bundle, folder, tmp_path):
    """Two processes of a Ray of this machine's own: the same records, and the rest of a run that was ended."""
    outline, out = load_bundle_without_model(bundle.path), tmp_path / "many"
    wanted = once(bundle, folder, tmp_path / "one")

    with connect_cluster("local", cpus=2) as found:
        inspect = inspect_on_cluster(found, outline, folder, 2)
        predict_folder(outline, folder, out, inspect=inspect)
        first = verdicts(out)
        lines = (out / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
        (out / "verdicts.jsonl").write_bytes(b"".join(lines[:6]))
        predict_folder(outline, folder, out, inspect=inspect)

    assert found.cpus == 2
    assert first == wanted
    assert verdicts(out) == wanted
