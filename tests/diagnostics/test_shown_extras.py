"""What people see when something cannot be plugged in."""

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
from logicls.plugins.retrieval.knowledge import render_page, read_knowledge
from logicls.plugins.retrieval.product_matcher import load_retriever, build_index
from logicls.plugins.retrieval.routing import find_bundles
from logicls.plugins.selection import PluginOptions, restore_selection
from logicls.plugins.settings import KnowledgeSettings
from logicls.predict.folder.runner import open_verdict_writer
from logicls.predict.plugin_protocols import PluginManifest
from logicls.records import PluginInfo


def hub_bundle() -> Bundle:
    """As far as it is looked at: a bundle of a hub model."""
    spec = load_spec(resource_path("constraints/dosing_kit.yaml"))
    hub = HubModelInfo("org/model", "", "", False, "float32", False, BoxFamily.pixels)
    return Bundle(Path("bundle"), "0", spec, None, None, 1, hub)


def photos_of(name: str) -> Path:
    """A folder with one photo."""
    Path("photos").mkdir()
    Image.new("RGB", (8, 8)).save(Path("photos", name))
    return Path("photos")


def truth_of(name: str) -> Path:
    """The truth about one photo, which is good."""
    Path("truth.csv").write_text(f"image,violations\n{name},\n")
    return Path("truth.csv")


@dataclass(frozen=True)
class Fixed:
    """An encoder of two numbers."""

    id: str = "new 0123456789ab"

    def embed(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Nothing is seen."""
        return np.zeros((len(photos), 2))


def knows(page: str) -> Path:
    """A folder of knowledge with one page."""
    Path("known").mkdir()
    Path("known/page.md").write_text(page)
    return Path("known")


def spoiled() -> object:
    """Features of another encoder."""
    write_photo_features(Path("known"), np.zeros((3, 4)), Fixed("old ba9876543210"))
    return read_photo_features(Path("known"), Fixed(), 2)


def chat() -> object:
    """A folder with a model of no kind that there is."""
    Path("chat").mkdir()
    Path("chat/config.json").write_text('{"model_type": "chat"}')
    return load_encoder("chat", Path())


def for_lids() -> object:
    """A bundle for another product; nothing else of it is looked at."""
    bundle = hub_bundle()
    return load_retriever(bundle, knows(NOTE))


def other_plug_ins() -> object:
    """A folder of verdicts that were made with an expert."""
    bundle, plugs = hub_bundle(), (PluginInfo("expert", "patches", "0a1b2c3d4e5f"),)
    folder = photos_of("a.png").resolve()
    with open_verdict_writer(bundle, folder, Path("verdicts"), PluginManifest(plugs)):
        pass
    with open_verdict_writer(bundle, folder, Path("verdicts")):
        return None


def outside() -> object:
    """Knowledge whose photo lies elsewhere."""
    Path("synth").mkdir()
    Path("synth/spec.yaml").write_text(resource_path("constraints/dosing_kit.yaml").read_text())
    photos_of("a.png")
    knows(render_page({"product": "dosing_kit", "photo": "../photos/a.png"}, "A kit."))
    return bundle_knowledge(Path("synth"), Path("bundle"), KnowledgeSettings(folder="known"))


NOTE = render_page({"product": "box"}, "A box.")
TRIGGERS: dict[str, Callable[[], object]] = {
    "LC700": lambda: load_factory("expert", "patch"),
    "LC740": lambda: load_factory("reasoner", "latent")(hub_bundle()),
    "LC741": lambda: second_look(Path("bundle"), photos_of("b.png"), truth_of("a.png"), Path("looks")),
    "LC710": other_plug_ins,
    "LC711": lambda: PluginOptions(reasoner="closer", tokens=8).resolve(Path("bundle")),
    "LC712": lambda: restore_selection([PluginInfo("retriever", "documents", "0a1b2c3d4e5f")], None),
    "LC713": outside,
    "LC701": lambda: read_knowledge(Path("empty")),
    "LC702": lambda: read_knowledge(knows("# A box\n")),
    "LC703": lambda: read_knowledge(knows(render_page({"product": "box", "photo": "old.jpg"}, "A box."))),
    "LC704": spoiled,
    "LC705": chat,
    "LC706": lambda: read_photo_features(Path("box"), Fixed(), 2),
    "LC707": lambda: build_index(read_knowledge(knows(NOTE))),
    "LC708": for_lids,
    "LC709": lambda: find_bundles(read_knowledge(knows(NOTE))),
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("desk")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])
