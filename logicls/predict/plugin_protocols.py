"""Protocols of the inspector's plug-ins: retriever, expert and reasoner, one method each.

`logicls.plugins` finds them by name; the core knows nothing else about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from logicls.records import Box, PluginInfo, Verdict

Photo = UInt8[np.ndarray, "_height _width 3"]
"""RGB at the photo's own resolution, whatever the size of the model's input."""
ANOMALY_VIOLATION = "structural_defect"
"""Violation of an anomaly that no rule names, in verdicts and in truth.csv."""


@dataclass(frozen=True, slots=True)
class ProductMatch:
    """Output of a retriever: the product that a photo shows, and the documents about it."""

    product: str
    """Matched product; empty if the photo shows none of the knowledge base."""
    variant: str = ""
    documents: tuple[str, ...] = ()
    """Names of the retrieved documents, the most relevant first."""
    similarity: float = 0.0
    """Cosine similarity to the nearest reference photo, -1 to 1."""
    nearest_product: str = ""
    """Product of that reference photo, whether it counts as a match or not."""
    review_reason: str = ""
    """Reason for review; empty if the photo shows the expected product."""
    notes: tuple[str, ...] = ()
    """Texts of the documents, in their order, for a prompt."""
    reference: Path | None = None
    """Photo of a good product, of the most similar variant."""


@dataclass(frozen=True, slots=True)
class ViolationCause:
    """Causes and consequences of a violation, from the knowledge base."""

    page: str
    """Page of the knowledge base."""
    variant: str
    """Variant that it is about; empty for any."""
    causes: str
    consequences: str


@dataclass(frozen=True, slots=True)
class AnomalyDetection:
    """Output of an expert: anomaly of one photo that no rule names."""

    probability: float
    """Probability of such an anomaly, 0 to 1."""
    score: float
    """Anomaly score behind the probability, in the expert's own unit."""
    box: Box | None = None
    """Around the most anomalous region; None without one."""
    description: str = ""
    """Text for the finding."""
    needs_review: bool = False
    components: tuple[str, ...] = ()
    """Components that lie in that region on good photos: a broken rule about one of them may explain the anomaly."""


@runtime_checkable
class Retriever(Protocol):
    """Plug-in that matches photos with the products of a knowledge base."""

    def match_products(self, photos: list[Photo]) -> list[ProductMatch]:
        """Match each photo."""
        ...


@runtime_checkable
class Expert(Protocol):
    """Plug-in that detects anomalies by comparison with good photos."""

    def detect_anomalies(self, photos: list[Photo]) -> list[AnomalyDetection]:
        """Score each photo."""
        ...


@runtime_checkable
class Reasoner(Protocol):
    """Plug-in that inspects photos with an uncertain verdict again."""

    def reinspect(self, photo: Photo, verdict: Verdict) -> Verdict | None:
        """Return the verdict after a second inspection; None if the first was certain enough."""
        ...


@dataclass(frozen=True, slots=True)
class PluginManifest:
    """Identity of the plug-ins of a run."""

    plugins: tuple[PluginInfo, ...] = ()
    knowledge: Path | None = None
    """Folder of the retriever's knowledge base; `run.json` has it, verdicts do not."""

    def plugin_name(self, kind: str) -> str:
        """Return the name of the plug-in of a kind; the kind itself if it is not in the manifest."""
        return next((plugin.name for plugin in self.plugins if plugin.kind == kind), kind)


@dataclass(frozen=True, slots=True)
class Plugins:
    """Plug-ins of an inspector; false without any."""

    retriever: Retriever | None = None
    expert: Expert | None = None
    reasoner: Reasoner | None = None
    manifest: PluginManifest = PluginManifest()

    def __bool__(self) -> bool:
        return any(plugin is not None for plugin in (self.retriever, self.expert, self.reasoner))
