"""Readers: models that read photos and answer queries, behind one protocol (`protocol.Reader`)."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.predict.plugin_protocols import Retriever
    from logicls.predict.readers.protocol import Reader

__all__ = ["make_question_reader", "make_reader"]


def make_reader(bundle: Bundle, retriever: Retriever | None = None) -> Reader:
    """Make the reader of a bundle: nano's, or that of a hub model, whose prompts the retriever may augment.

    Where a rule is about appearance, instances are compared with good photos as well.

    Raises:
        BundleError: The memory of good photos that a rule needs is missing or damaged (LC506).
    """
    from logicls.predict.readers.appearance import add_comparison

    return add_comparison(make_question_reader(bundle, retriever), bundle)


def make_question_reader(bundle: Bundle, retriever: Retriever | None = None) -> Reader:
    """Make the reader of a bundle that answers the questions for its model, and nothing else."""
    from logicls.predict.readers.hub import HubReader
    from logicls.predict.readers.nano import NanoReader

    return HubReader(bundle, retriever) if bundle.hub is not None else NanoReader(bundle)
