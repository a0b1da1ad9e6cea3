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
        return [self._recall(each) for each in self.sights.similarities(photos)] if photos else []

    def _recall(self, similarities: Float[np.ndarray, " documents"]) -> Recall:
        pages, best = self.sights.pages, int(similarities.argmax())
        product, likeness = pages[best].product, float(similarities[best])
        if likeness < self.sights.limits[product]:
            least = self.sights.limits[product]
            doubt = f"unlike every product known: {likeness:.2f} to {product}, whose own photos reach {least:.2f}"
            return Recall("", likeness=likeness, nearest=product, doubt=doubt)
        own = [k for k, page in enumerate(pages) if page.product == product]
        settings = self.knowledge.settings
        drawn = (q2k.draw if settings.draw == "q2k" else q2k.nearest)(similarities[own], settings.budget)
        found = [pages[own[k]] for k in drawn]
        good = [k for k in own if pages[k].is_reference]
        shown = pages[max(good or own, key=lambda k: similarities[k])]
        wrong = f"shows another product: {product}" if self.expected and product != self.expected else ""
        return Recall(
            product, shown.variant, tuple(page.name for page in found), likeness, product, wrong,
            tuple(page.text for page in found), shown.photo,
        )  # fmt: skip


def documents(bundle: Bundle, folder: Path) -> Documents:
    """The retriever for a bundle. Raises as `read_knowledge` and `sights_of` do, and `DataError` (LC708)."""
    knowledge, product = read_knowledge(folder), bundle.spec.product.name
    if product not in knowledge.products:
        advice = did_you_mean(product, knowledge.products)
        message = f'nothing is known of "{product}", the bundle\'s product.'
        raise DataError(Problem("LC708", message, relative(folder), advice=advice))
    return Documents(knowledge, sights_of(knowledge), product)
