"""Readers: models that read photos and answer queries, behind one protocol (`protocol.Reader`)."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.predict.plugin_protocols import Retriever
    from logicls.predict.readers.protocol import Reader

__all__ = ["make_reader"]


def make_reader(bundle: Bundle, retriever: Retriever | None = None) -> Reader:
    """Make the reader of a bundle: nano's, or that of a hub model, whose prompts the retriever may augment."""
    from logicls.predict.readers.hub import HubReader
    from logicls.predict.readers.nano import NanoReader

    return HubReader(bundle, retriever) if bundle.hub is not None else NanoReader(bundle)
