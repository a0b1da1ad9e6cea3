"""A reader whose model runs on a server: what it answers is judged like the answers of a bundle's own model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from logicls.constraints.decompose import VERDICT
from logicls.models.bundle import Bundle
from logicls.models.coordinates import Size
from logicls.models.hub.picture import Shown, picture_of, shown_of
from logicls.predict.endpoint.asks import Ask, Asks
from logicls.predict.endpoint.chat import Chat, RefusedError
from logicls.predict.endpoint.manner import Manner
from logicls.predict.read.one_pass import Look
from logicls.records import Answer, Box

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
    return replace(answer, boxes=tuple(box.mapped(here, there) for box in answer.boxes))
