"""What reports say beside a violation: what brings it about, and what comes of it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from logicls.extras.retriever.folder import read_knowledge
from logicls.plugins import Cause


def causes_of(folder: Path, product: str) -> Mapping[str, tuple[Cause, ...]]:
    """Violation → what the product's pages say of it, those about any variant first. Raises as `read_knowledge`."""
    found: dict[str, list[Cause]] = {}
    for page in sorted(read_knowledge(folder).pages, key=lambda page: page.variant):
        if page.product == product and page.defect and (page.causes or page.consequences):
            cause = Cause(page.name, page.variant, page.causes, page.consequences)
            found.setdefault(page.defect, []).append(cause)
    return {name: tuple(some) for name, some in found.items()}
