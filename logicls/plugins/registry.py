"""Which plug-ins there are: names → the functions that make them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from logicls.errors import DataError, Problem, suggest_name

PluginKind = Literal["retriever", "expert", "reasoner"]
REASONERS: Mapping[str, str] = MappingProxyType(
    {
        "closer": "make_closer",
        "latent": "make_latent",
        "latent-sampled": "make_latent_sampled",
        "latent-still": "make_latent_still",
        "random": "make_random",
    }
)
FACTORIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "retriever": {"documents": "logicls.plugins.retrieval.product_matcher:load_retriever"},
        "expert": {
            "patches": "logicls.plugins.anomaly.patchcore:load_expert",
            "prototypes": "logicls.plugins.anomaly.prototype_expert:load_expert",
            "texts": "logicls.plugins.anomaly.text_expert:load_expert",
            "priors": "logicls.plugins.anomaly.prior_expert:load_expert",
        },
        "reasoner": {name: f"logicls.plugins.reasoning.second_look:{function}" for name, function in REASONERS.items()},
    }
)
"""Kind → name → `module:function` that makes one of a bundle (`models.bundle.Bundle`) and its settings."""


def load_factory(kind: PluginKind, name: str) -> Any:
    """The function that makes the plug-in of that name. Raises `DataError` (LC700)."""
    module, _, function = factory_path(kind, name).partition(":")
    return getattr(import_module(module), function)


def factory_path(kind: PluginKind, name: str) -> str:
    """Where the plug-in of that name is made, as `NAMES` says it. Raises `DataError` (LC700)."""
    if name not in FACTORIES[kind]:
        raise DataError(Problem("LC700", f'there is no {kind} "{name}".', advice=suggest_name(name, FACTORIES[kind])))
    return FACTORIES[kind][name]
