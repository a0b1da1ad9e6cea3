"""What may be plugged into the predictor: a retriever, an expert, a reasoner. One method each; the core knows no more.

They are found by name in `logicls.plugins` and given to whoever inspects photos; where there is none, nothing is paid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from logicls.records import Box, PluginInfo, Verdict

Photo = UInt8[np.ndarray, "_height _width 3"]
"""RGB, as it is on the disk, whatever the size of the model's input."""
ANOMALY_VIOLATION = "structural_defect"
"""What truth.csv calls a flaw that an expert finds and no rule names."""


@dataclass(frozen=True, slots=True)
class ProductMatch:
    """What is known of a photo's product before any rule is applied to it."""

    product: str
    """The product that it shows; empty where it is none of those known."""
    variant: str = ""
    documents: tuple[str, ...] = ()
    """Names of the documents that were drawn for it, the most telling first."""
    similarity: float = 0.0
    """Cosine to the nearest photo that is known, -1 to 1."""
    nearest_product: str = ""
    """The product of that one, whether the photo shows it or not."""
    review_reason: str = ""
    """Why a person has to look; empty where the photo shows what it should."""
    notes: tuple[str, ...] = ()
    """What the documents say, in their order; text for a prompt."""
    reference: Path | None = None
    """A photo of a good one, of the variant that is the most alike."""


@dataclass(frozen=True, slots=True)
class ViolationCause:
    """What is known of a violation beyond its rule."""

    page: str
    """The page of knowledge that says it."""
    variant: str
    """Which variant it is about; empty for any."""
    causes: str
    consequences: str


@dataclass(frozen=True, slots=True)
class AnomalyDetection:
    """How unlike those of good photos the patches of a photo are."""

    probability: float
    """Probability that it has a defect that no rule names, 0 to 1."""
    score: float
    """What the chance was made of, in the expert's own unit."""
    box: Box | None = None
    """Around the place that is most unlike; None where nothing is unlike."""
    description: str = ""
    """In words, as a finding says it."""
    needs_review: bool = False
    """True where a person has to say."""
    components: tuple[str, ...] = ()
    """Those that lie at that place on good photos: a broken rule about them may explain it."""


@runtime_checkable
class Retriever(Protocol):
    """Knows products by documents."""

    def match_products(self, photos: list[Photo]) -> list[ProductMatch]:
        """What is known of each photo."""
        ...


@runtime_checkable
class Expert(Protocol):
    """Knows what good photos look like, patch by patch."""

    def detect_anomalies(self, photos: list[Photo]) -> list[AnomalyDetection]:
        """The flaw of each photo, or how far it is from having one."""
        ...


@runtime_checkable
class Reasoner(Protocol):
    """Looks once more where a verdict is not sure."""

    def reinspect(self, photo: Photo, verdict: Verdict) -> Verdict | None:
        """The verdict after a second look; None where the first one was sure enough to need none."""
        ...


@dataclass(frozen=True, slots=True)
class PluginManifest:
    """What verdicts say of the plug-ins that they are made with."""

    plugins: tuple[PluginInfo, ...] = ()
    knowledge: Path | None = None
    """Folder that the retriever reads; a run notes where it lay, verdicts do not."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """Those that are plugged in."""

    retriever: Retriever | None = None
    expert: Expert | None = None
    reasoner: Reasoner | None = None
    manifest: PluginManifest = PluginManifest()

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.retriever, self.expert, self.reasoner))
