"""Messages about plug-ins, knowledge bases and second looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from logicls.cli.plugins import second_look
from logicls.constraints.spec.loader import load_spec
from logicls.io.resources import resource_path
from logicls.models.box_formats import BoxFamily
from logicls.models.bundle import Bundle
from logicls.models.hub.bundle_io import HubModelInfo
from logicls.plugins.bundled_knowledge import bundle_knowledge
from logicls.plugins.registry import load_factory
from logicls.plugins.retrieval.drafting import read_photo_features, write_photo_features
from logicls.plugins.retrieval.embedding import load_encoder
from logicls.plugins.retrieval.knowledge import read_knowledge, render_page
from logicls.plugins.retrieval.product_matcher import build_index, load_retriever
from logicls.plugins.retrieval.routing import find_bundles
from logicls.plugins.selection import PluginOptions, restore_selection
from logicls.plugins.settings import KnowledgeSettings
from logicls.predict.folder.runner import open_verdict_writer
from logicls.predict.plugin_protocols import PluginManifest
from logicls.records import PluginInfo


def hub_bundle() -> Bundle:
    """Return a bundle of a Hugging Face model, without the model."""
    folder = Path(__file__).parents[1] / "fixtures" / "bundle_0_1"
    spec = load_spec(folder / "spec.yaml")
    hub = HubModelInfo("org/model", "", "", False, "float32", False, BoxFamily.pixels)
    return Bundle(folder, "0", spec, None, None, 1, hub)


def make_photos(name: str) -> Path:
    """Create a folder with one photo."""
    Path("photos").mkdir()
    Image.new("RGB", (8, 8)).save(Path("photos", name))
    return Path("photos")


def write_truth(name: str) -> Path:
    """Write the ground truth of one good photo."""
    Path("truth.csv").write_text(f"image,violations\n{name},\n")
    return Path("truth.csv")


@dataclass(frozen=True)
class FixedEncoder:
    """Encoder with two features."""

    id: str = "new 0123456789ab"

    def embed(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Return zeros."""
        return np.zeros((len(photos), 2))


def make_knowledge(page: str) -> Path:
    """Create a knowledge base with one page."""
    Path("known").mkdir()
    Path("known/page.md").write_text(page)
    return Path("known")


def read_features_of_another_encoder() -> object:
    """Read features that another encoder wrote."""
    write_photo_features(Path("known"), np.zeros((3, 4)), FixedEncoder("old ba9876543210"))
    return read_photo_features(Path("known"), FixedEncoder(), 2)


def load_chat_model() -> object:
    """Load an encoder from a folder with an unknown type of model."""
    Path("chat").mkdir()
    Path("chat/config.json").write_text('{"model_type": "chat"}')
    return load_encoder("chat", Path())


def load_for_another_product() -> object:
    """Load a knowledge base without the bundle's product."""
    bundle = hub_bundle()
    return load_retriever(bundle, make_knowledge(NOTE))


def continue_without_expert() -> object:
    """Continue a folder of verdicts without the expert that it was started with."""
    bundle, plugins = hub_bundle(), (PluginInfo("expert", "patches", "0a1b2c3d4e5f"),)
    folder = make_photos("a.png").resolve()
    with open_verdict_writer(bundle, folder, Path("verdicts"), PluginManifest(plugins)):
        pass
    with open_verdict_writer(bundle, folder, Path("verdicts")):
        return None


def bundle_photo_outside() -> object:
    """Bundle a knowledge base with a photo outside its folder."""
    Path("synth").mkdir()
    Path("synth/spec.yaml").write_text(resource_path("constraints/dosing_kit.yaml").read_text())
    make_photos("a.png")
    make_knowledge(render_page({"product": "dosing_kit", "photo": "../photos/a.png"}, "A kit."))
    return bundle_knowledge(Path("synth"), Path("bundle"), KnowledgeSettings(folder="known"))


NOTE = render_page({"product": "box"}, "A box.")
TRIGGERS: dict[str, Callable[[], object]] = {
    "LC700": lambda: load_factory("expert", "patch"),
    "LC740": lambda: load_factory("reasoner", "latent")(hub_bundle()),
    "LC741": lambda: second_look(Path("bundle"), make_photos("b.png"), write_truth("a.png"), Path("looks")),
    "LC710": continue_without_expert,
    "LC711": lambda: PluginOptions(reasoner="closer", tokens=8).resolve(Path("bundle")),
    "LC712": lambda: restore_selection([PluginInfo("retriever", "documents", "0a1b2c3d4e5f")], None),
    "LC713": bundle_photo_outside,
    "LC701": lambda: read_knowledge(Path("empty")),
    "LC702": lambda: read_knowledge(make_knowledge("# A box\n")),
    "LC703": lambda: read_knowledge(make_knowledge(render_page({"product": "box", "photo": "old.jpg"}, "A box."))),
    "LC704": read_features_of_another_encoder,
    "LC705": load_chat_model,
    "LC706": lambda: read_photo_features(Path("box"), FixedEncoder(), 2),
    "LC707": lambda: build_index(read_knowledge(make_knowledge(NOTE))),
    "LC708": load_for_another_product,
    "LC709": lambda: find_bundles(read_knowledge(make_knowledge(NOTE))),
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("workdir")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])
