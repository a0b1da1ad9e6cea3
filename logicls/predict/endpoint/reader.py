"""A reader whose model runs on a server: what it answers is judged like the answers of a bundle's own model.

What a server is asked about: the rules of a bundle, or of a spec where nothing was trained; and in what manner.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError, Problem
from logicls.models.box_formats import FAMILIES, Coordinates, Family, Size
from logicls.models.bundle import Bundle, read_outline
from logicls.models.hub.chat_template import Shown, picture_of, shown_of
from logicls.models.hub.loading import coordinates_of
from logicls.predict.endpoint.client import Chat, Endpoint, RefusedError
from logicls.predict.endpoint.prompts import Ask, Asks, Manner, Wish
from logicls.predict.readers.nano import Look
from logicls.records import Answer, Box

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


TOGETHER = 16
"""Requests that are under way at a time."""


@dataclass(slots=True)
class EndpointReader:
    """Answers the questions of a spec by asking a server."""

    bundle: Bundle
    """Of it the spec alone is used, and the processor where the model is the bundle's."""
    asks: Asks
    chat: Chat

    def look(self, photos: Sequence[np.ndarray]) -> list[Look]:
        """Read photos, uint8 RGB [height width 3] of any sizes, several requests at a time. Raises `DataError`."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            return list(pool.map(self._look, photos))

    def _look(self, photo: np.ndarray) -> Look:
        size = photo.shape[1], photo.shape[0]
        shown = Shown(size, 0, 0, size) if self.bundle.processor is None else shown_of(size, self.bundle.processor)
        picture = self._sent(picture_of(photo, shown))
        answers = [answer for ask in self.asks.of(_size(picture)) for answer in self._asked(ask, picture)]
        mapped = [shown.back(_resized(answer, _size(picture), shown)) for answer in answers]
        stated = next(answer for answer in mapped if answer.query == VERDICT)
        rest = tuple(answer for answer in mapped if answer.query != VERDICT)
        return Look(rest, stated, self._chances(stated))

    def _sent(self, picture: np.ndarray) -> np.ndarray:
        """Where boxes are counted in pixels, the picture in the size in which the model sees it."""
        resizing = self.asks.coordinates.resizing
        if self.asks.manner is not Manner.json or resizing is None:
            return picture
        return cv2.resize(picture, resizing(_size(picture)), interpolation=cv2.INTER_AREA)

    def _asked(self, ask: Ask, picture: np.ndarray) -> tuple[Answer, ...]:
        try:
            told = self.chat.ask(picture, ask.text, ask.tokens, ask.structure)
        except RefusedError:
            told = None
        if told is None or not told.whole:
            return tuple(Answer(query.id, readable=False, confidence=0.0) for query in ask.queries)
        return self.asks.read(ask, told.text, told.tokens, _size(picture))

    def _chances(self, stated: Answer) -> tuple[tuple[str, float], ...]:
        """How sure the model is of a verdict that names a violation; what one without it lacks of being sure."""
        sure = stated.confidence if stated.readable else 0.5
        return tuple((name, sure if name in stated.values else 1.0 - sure) for name in self.bundle.spec.violations)


def identity(bundle: Bundle, asks: Asks, model: str) -> str:
    """Twelve hex digits in the place of a bundle's: verdicts of another model, or asked otherwise, are others."""
    told = [model, asks.manner, asks.coordinates.name, asks.most, bundle.id]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _size(picture: np.ndarray) -> Size:
    return picture.shape[1], picture.shape[0]


def _resized(answer: Answer, sent: Size, shown: Shown) -> Answer:
    """An answer about the picture that was sent, as one about the picture that was shown."""
    if sent == shown.size:
        return answer
    here, there = (Box(0.0, 0.0, float(width), float(height)) for width, height in (sent, shown.size))
    return replace(answer, boxes=tuple(box.map_between(here, there) for box in answer.boxes))
