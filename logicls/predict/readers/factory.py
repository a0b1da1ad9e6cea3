"""Choice of the reader for a bundle."""

from __future__ import annotations

from logicls.models.bundle import Bundle
from logicls.predict.plugin_protocols import Retriever
from logicls.predict.readers.hub import HubReader
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import Reader


def make_reader(bundle: Bundle, retriever: Retriever | None = None) -> Reader:
    """Make the reader for the bundle's kind of model. A `retriever` adds context to the prompts of a hub model."""
    return NanoReader(bundle) if bundle.hub is None else HubReader(bundle, retriever)
