"""What a server is asked about: the rules of a bundle, or of a spec where nothing was trained; and in what manner."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from logicls.constraints.load import load_spec
from logicls.errors import DataError, Problem
from logicls.models.bundle import Bundle, read_outline
from logicls.models.coordinates import FAMILIES, Coordinates, Family
from logicls.models.hub.families import coordinates_of
from logicls.predict.endpoint.asks import Asks
from logicls.predict.endpoint.chat import Chat, Endpoint
from logicls.predict.endpoint.manner import Manner, Wish
from logicls.predict.endpoint.reader import EndpointReader, identity

MOST = 50
"""Boxes or values of an answer where no training data tells."""
SPELLINGS = {
    r"qwen[-_]?2[._]?5[-_]?vl": Family.qwen2_5_vl,
    r"qwen[-_]?2[-_]?vl": Family.qwen2_vl,
    r"internvl": Family.internvl,
    r"paligemma": Family.paligemma,
    r"florence": Family.florence2,
    r"llava": Family.llava,
}
"""How models are called whose family writes boxes in a way of its own; all others are asked for thousandths."""


@contextmanager
def endpoint_reader(
    subject: Path, endpoint: Endpoint, wish: Wish, say: Callable[[str], None] = lambda _: None
) -> Iterator[EndpointReader]:
    """A reader for a bundle's folder or a spec's file. `say` is told what the server cannot do.

    The model of a bundle is not loaded: the server is trusted to have it.

    Raises:
        LogiClsError: The bundle or spec cannot be used, or the server cannot be asked (LC672 to LC677).
    """
    bundle = read_outline(subject) if subject.is_dir() else untrained(subject)
    manner = wish.manner or (Manner.lines if bundle.hub is not None else Manner.json)
    own = manner is Manner.lines and bundle.hub is not None
    with Chat(endpoint, say) as chat:
        asks = Asks(bundle.spec, manner, _coordinates(bundle, chat.model, wish.boxes, own=own), bundle.max_boxes)
        if not own:  # how often the bundle's own model is right says nothing of another one
            bundle = replace(bundle, processor=None, foreign=True)
        yield EndpointReader(replace(bundle, id=identity(bundle, asks, chat.model)), spoken(asks), chat)


def spoken(asks: Asks) -> Asks:
    """With boxes as they are in the text of an answer, which servers give without special tokens.

    Raises:
        DataError: Nothing would be left of them (LC677).
    """
    form = re.sub(r"<\|\w+\|>", "", asks.coordinates.form)
    if asks.manner is Manner.json:
        return asks
    if "<loc" in form:
        message = f'boxes of the family "{asks.coordinates.name}" are special tokens, which servers leave out.'
        raise DataError(Problem("LC677", message, advice="Use --ask json."))
    return replace(asks, coordinates=replace(asks.coordinates, form=form))


def family_of(model: str) -> Family:
    """How a model of that name writes boxes."""
    for spelling, family in SPELLINGS.items():
        if re.search(spelling, model.lower()):
            return family
    return Family.qwen3_vl


def _coordinates(bundle: Bundle, model: str, boxes: Family | None, *, own: bool) -> Coordinates:
    if boxes is None and own and bundle.hub is not None:
        return coordinates_of(bundle.hub.boxes, bundle.processor)
    return FAMILIES[boxes or family_of(model)]


def untrained(spec: Path) -> Bundle:
    """A spec in a bundle's place: rules, and no model. Raises `SpecError`."""
    return Bundle(spec, "", load_spec(spec), None, None, MOST)
