"""Messages about experts (anomaly detectors)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from logicls.cli.plugins import parse_expert_settings
from logicls.constraints.spec.loader import load_spec
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.fit import fit_expert
from logicls.plugins.anomaly.prior_query import build_prior_query
from logicls.plugins.anomaly.storage import read_expert_state
from logicls.plugins.anomaly.text_expert import check_dimension, load_clip
from logicls.plugins.selection import read_default_plugins
from logicls.plugins.settings import ExpertSettings


def _fit_without_photos() -> object:
    Path("good", "images").mkdir(parents=True)
    coco = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "pin"}]}
    Path("good", "annotations.json").write_text(json.dumps(coco))
    spec = load_spec(resource_path("constraints/dosing_kit.yaml"))
    return fit_expert(Bundle(Path("bundle"), "0", spec, None, None, 1), Path("good"), ExpertSettings())


def _read_damaged_expert() -> object:
    Path("bundle").mkdir()
    Path("bundle", "expert-patches.safetensors").write_bytes(b"no tensors")
    return read_expert_state(Path("bundle"), "patches", "0123456789ab")


def _read_invalid_defaults() -> object:
    Path("plugins.json").write_text('{"expert": 7}')
    return read_default_plugins(Path())


def _check_other_dimension() -> object:
    Path("bundle").mkdir()
    return check_dimension("openai/clip", 768, 512, Path("bundle", "expert-texts.safetensors"))


def _query_external_model() -> object:
    spec = load_spec(resource_path("constraints/dosing_kit.yaml"))
    return build_prior_query(Bundle(Path("bundle"), "0", spec, None, None, 1, is_external=True))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC720": _fit_without_photos,
    "LC721": lambda: read_expert_state(Path("bundle"), "patches", "0123456789ab"),
    "LC722": _read_damaged_expert,
    "LC723": _read_invalid_defaults,
    "LC724": lambda: parse_expert_settings(kind="patch", coreset_ratio=2),
    "LC725": lambda: load_clip("no/such-clip"),
    "LC726": _check_other_dimension,
    "LC727": _query_external_model,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("workdir")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])
