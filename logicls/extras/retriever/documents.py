"""The retriever: which product a photo shows, and the documents that are drawn for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from logicls.errors import DataError, Problem, did_you_mean, relative
from logicls.extras.retriever import q2k
from logicls.extras.retriever.folder import Knowledge, read_knowledge
from logicls.extras.retriever.sights import Sights, sights_of
from logicls.models.bundle import Bundle
from logicls.plugins import Photo, Recall


@dataclass(frozen=True, slots=True)
class Documents:
    """Recalls what a folder of knowledge says of photos."""

    knowledge: Knowledge
    sights: Sights
    expected: str = ""
    """The product that photos are to show; any if empty."""

    def recall(self, photos: list[Photo]) -> list[Recall]:
        """What is known of each photo."""
        return [self._recall(key) for key in self.sights.keys(photos)] if photos else []

    def _recall(self, key: Float[np.ndarray, " width"]) -> Recall:
        likeness = {name: float((kin.features @ key).max()) for name, kin in self.sights.kin.items()}
        product = max(likeness, key=lambda name: likeness[name])
        most, least = likeness[product], self.sights.kin[product].limit
        if most < least:
            doubt = f"unlike every product known: {most:.2f} to {product}, whose own photos have {least:.2f} or more"
            return Recall("", likeness=most, nearest=product, doubt=doubt)
        wrong = f"shows another product: {product}" if self.expected and product != self.expected else ""
        own = [k for k, page in enumerate(self.sights.pages) if page.product == product]
        similarities = self.sights.locks[own] @ key
        drawn = [self.sights.pages[own[k]] for k in self._draw(similarities)]
        # The variant is that of the reference which is the most alike; a product may have pages of defects alone.
        shown = max(own, key=lambda k: (self.sights.pages[k].is_reference, self.sights.locks[k] @ key))
        page = self.sights.pages[shown]
        names, notes = tuple(page.name for page in drawn), tuple(page.text for page in drawn)
        return Recall(product, page.variant, names, most, product, wrong, notes, page.photo)

    def _draw(self, similarities: Float[np.ndarray, " documents"]) -> list[int]:
        settings = self.knowledge.settings
        if settings.draw == "nearest":
            return q2k.nearest(similarities, settings.budget)
        return q2k.draw(similarities, settings.budget)


def documents(bundle: Bundle, folder: Path) -> Documents:
    """The retriever for a bundle. Raises as `read_knowledge` and `sights_of` do, and `DataError` (LC708)."""
    knowledge, product = read_knowledge(folder), bundle.spec.product.name
    if product not in knowledge.products:
        advice = did_you_mean(product, knowledge.products)
        message = f'nothing is known of "{product}", the bundle\'s product.'
        raise DataError(Problem("LC708", message, relative(folder), advice=advice))
    return Documents(knowledge, sights_of(knowledge), product)
