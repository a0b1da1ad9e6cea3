"""Which plug-ins there are: names → the functions that make them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from logicls.errors import DataError, Problem, did_you_mean

Kind = Literal["retriever", "expert", "reasoner"]
REASONERS: Mapping[str, str] = MappingProxyType(
    {
        "closer": "closer",
        "latent": "latent",
        "latent-sampled": "latent_sampled",
        "latent-still": "latent_still",
        "random": "random",
    }
)
NAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "retriever": {"documents": "logicls.extras.retriever.documents:documents"},
        "expert": {
            "patches": "logicls.extras.expert.patches:make",
            "prototypes": "logicls.extras.expert.prototypes:make",
            "texts": "logicls.extras.expert.texts:make",
            "priors": "logicls.extras.expert.priors:make",
        },
        "reasoner": {name: f"logicls.extras.reasoner.second:{made}" for name, made in REASONERS.items()},
    }
)
"""Kind → name → `module:function` that makes one of a bundle (`models.bundle.Bundle`) and its settings."""


def found(kind: Kind, name: str) -> Any:
    """The function that makes the plug-in of that name. Raises `DataError` (LC700)."""
    module, _, function = known(kind, name).partition(":")
    return getattr(import_module(module), function)


def known(kind: Kind, name: str) -> str:
    """Where the plug-in of that name is made, as `NAMES` says it. Raises `DataError` (LC700)."""
    if name not in NAMES[kind]:
        raise DataError(Problem("LC700", f'there is no {kind} "{name}".', advice=did_you_mean(name, NAMES[kind])))
    return NAMES[kind][name]
