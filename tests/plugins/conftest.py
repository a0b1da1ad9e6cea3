"""Bundle with random weights and all three plug-ins: a fitted expert, knowledge, and photos in review."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from logicls.models.bundle import load_bundle
from logicls.plugins.anomaly.fit import fit_expert
from logicls.plugins.retrieval.drafting import write_photo_features
from logicls.plugins.retrieval.embedding import load_encoder
from logicls.plugins.retrieval.knowledge import render_page
from logicls.plugins.selection import PLUGINS_FILE as STANDING
from logicls.plugins.settings import ExpertSettings
from logicls.predict.self_test import write_probe
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, RuleThresholds, Thresholds, write_thresholds
from logicls.pretraining.scene_generator import generate_scene

_EXPERT = runpy.run_path(str(Path(__file__).parent / "anomaly" / "conftest.py"))
make_bundle, _one_thread, good, dataset, good_photo, flawed_photo = (
    _EXPERT[name] for name in ("make_bundle", "_one_thread", "good", "dataset", "good_photo", "flawed_photo")
)
shards = _EXPERT["_PREDICT"]["dataset"]


@dataclass(frozen=True)
class PluginSetup:
    """Bundle, photos and knowledge for tests with plug-ins."""

    bundle: Path
    """Nothing is plugged in by itself; an expert is fitted. Its thresholds send nearly all to review."""
    photos: Path
    """Two good ones, a flawed one, and one that is torn."""
    knowledge: Path


@pytest.fixture(scope="session")
def plugin_setup(make_bundle, box_spec, dataset, good, tmp_path_factory) -> PluginSetup:
    """Return the setup; read only."""
    torch.manual_seed(0)
    bundle, root = make_bundle(box_spec.read_text()), tmp_path_factory.mktemp("outfit")
    write_probe(bundle, shards(root, good[:2]))
    write_thresholds(
        bundle.path / THRESHOLDS_FILE,
        Thresholds(tuple((c.id, RuleThresholds(0.01, 1.0)) for c in bundle.spec.constraints)),
    )
    fit_expert(load_bundle(bundle.path), dataset, ExpertSettings(patches=144, coreset_ratio=0.5, neighbourhood=1))
    (bundle.path / STANDING).unlink()
    (root / "photos").mkdir()
    for name, photo in (("a", good_photo(91)), ("b", good_photo(92)), ("flawed", flawed_photo(93))):
        Image.fromarray(photo).save(root / "photos" / f"{name}.png")
    (root / "photos" / "torn.png").write_bytes(b"torn")
    return PluginSetup(bundle.path, root / "photos", write_knowledge(root / "known", good))


def write_knowledge(folder: Path, good: list[np.ndarray]) -> Path:
    """Write knowledge of boxes: a reference and a note."""
    encoder = load_encoder("base", folder)
    page = render_page({"product": "box", "photo": "good.png"}, "A good one.", causes="None.")
    (folder / "box").mkdir(parents=True)
    (folder / "box" / "good.md").write_text(page)
    (folder / "box" / "two.md").write_text(render_page({"product": "box"}, "The rule: two pins."))
    Image.fromarray(good[0]).save(folder / "box" / "good.png")
    write_photo_features(folder / "box", encoder.embed(good[:16]), encoder)
    others = [generate_scene(np.random.default_rng([0, k]), (96, 96)).pixels for k in range(8)]
    write_photo_features(folder, encoder.embed(others), encoder)
    return folder


@pytest.fixture
def plugin_setup_copy(plugin_setup, tmp_path) -> PluginSetup:
    """Return a copy of the setup that a test may change."""
    copied = (
        shutil.copytree(one, tmp_path / one.name)
        for one in (plugin_setup.bundle, plugin_setup.photos, plugin_setup.knowledge)
    )
    return PluginSetup(*copied)
