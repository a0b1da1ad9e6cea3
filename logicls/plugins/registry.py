"""Registry of the plug-ins: kind and name → the factory that builds one for a bundle. Factories are imported lazily."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from logicls.errors import DataError, Problem, suggest_name

PluginKind = Literal["retriever", "expert", "reasoner"]
REASONERS: Mapping[str, str] = MappingProxyType(
    {
        "closer": "make_larger_input",
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
"""Kind → name → `module:function` of a factory that takes a bundle (`models.bundle.Bundle`) and, if any, settings."""


def load_factory(kind: PluginKind, name: str) -> Any:
    """Import the factory of a plug-in. Raises `DataError` (LC700) for an unknown name."""
    module, _, function = factory_path(kind, name).partition(":")
    return getattr(import_module(module), function)


def factory_path(kind: PluginKind, name: str) -> str:
    """Return the `module:function` of a plug-in from `FACTORIES`. Raises `DataError` (LC700) for an unknown name."""
    if name not in FACTORIES[kind]:
        raise DataError(Problem("LC700", f'there is no {kind} "{name}".', advice=suggest_name(name, FACTORIES[kind])))
    return FACTORIES[kind][name]
