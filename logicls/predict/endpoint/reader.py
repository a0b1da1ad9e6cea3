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
from logicls.models.box_formats import BOX_FORMATS, BoxFormat, BoxFamily, Size
from logicls.models.bundle import Bundle, load_bundle_without_model
from logicls.models.hub.chat_template import PhotoPlacement, pad_photo, place_photo
from logicls.models.hub.loading import box_format_for
from logicls.predict.endpoint.client import ChatClient, Endpoint, RequestRejectedError
from logicls.predict.endpoint.prompts import EndpointRequest, RequestBuilder, PromptMode, PromptOptions
from logicls.predict.readers.nano import Prediction
from logicls.records import Answer, Box

DEFAULT_MAX_ITEMS = 50
"""Boxes or values of an answer where no training data tells."""
FAMILY_PATTERNS = {
    r"qwen[-_]?2[._]?5[-_]?vl": BoxFamily.qwen2_5_vl,
    r"qwen[-_]?2[-_]?vl": BoxFamily.qwen2_vl,
    r"internvl": BoxFamily.internvl,
    r"paligemma": BoxFamily.paligemma,
    r"florence": BoxFamily.florence2,
    r"llava": BoxFamily.llava,
}
"""How models are called whose family writes boxes in a way of its own; all others are asked for thousandths."""


@contextmanager
def open_endpoint_reader(
    subject: Path, endpoint: Endpoint, options: PromptOptions, report: Callable[[str], None] = lambda _: None
) -> Iterator[EndpointReader]:
    """A reader for a bundle's folder or a spec's file. `say` is told what the server cannot do.

    The model of a bundle is not loaded: the server is trusted to have it.

    Raises:
        LogiClsError: The bundle or spec cannot be used, or the server cannot be asked (LC672 to LC677).
    """
    bundle = load_bundle_without_model(subject) if subject.is_dir() else make_spec_bundle(subject)
    manner = options.mode or (PromptMode.lines if bundle.hub is not None else PromptMode.json)
    own = manner is PromptMode.lines and bundle.hub is not None
    with ChatClient(endpoint, report) as chat:
        asks = RequestBuilder(
            bundle.spec, manner, _coordinates(bundle, chat.model, options.boxes, own=own), bundle.max_boxes
        )
        if not own:  # how often the bundle's own model is right says nothing of another one
            bundle = replace(bundle, processor=None, is_external=True)
        yield EndpointReader(
            replace(bundle, id=compute_reader_id(bundle, asks, chat.model)), strip_special_tokens(asks), chat
        )


def strip_special_tokens(asks: RequestBuilder) -> RequestBuilder:
    """With boxes as they are in the text of an answer, which servers give without special tokens.

    Raises:
        DataError: Nothing would be left of them (LC677).
    """
    form = re.sub(r"<\|\w+\|>", "", asks.box_format.template)
    if asks.mode is PromptMode.json:
        return asks
    if "<loc" in form:
        message = f'boxes of the family "{asks.box_format.name}" are special tokens, which servers leave out.'
        raise DataError(Problem("LC677", message, advice="Use --ask json."))
    return replace(asks, box_format=replace(asks.box_format, template=form))


def guess_box_family(model: str) -> BoxFamily:
    """How a model of that name writes boxes."""
    for spelling, family in FAMILY_PATTERNS.items():
        if re.search(spelling, model.lower()):
            return family
    return BoxFamily.qwen3_vl


def _coordinates(bundle: Bundle, model: str, boxes: BoxFamily | None, *, own: bool) -> BoxFormat:
    if boxes is None and own and bundle.hub is not None:
        return box_format_for(bundle.hub.boxes, bundle.processor)
    return BOX_FORMATS[boxes or guess_box_family(model)]


def make_spec_bundle(spec: Path) -> Bundle:
    """A spec in a bundle's place: rules, and no model. Raises `SpecError`."""
    return Bundle(spec, "", load_spec(spec), None, None, DEFAULT_MAX_ITEMS)


MAX_CONCURRENT_REQUESTS = 16
"""Requests that are under way at a time."""


@dataclass(slots=True)
class EndpointReader:
    """Answers the questions of a spec by asking a server."""

    bundle: Bundle
    """Of it the spec alone is used, and the processor where the model is the bundle's."""
    requests: RequestBuilder
    client: ChatClient

    def predict_pixels(self, photos: Sequence[np.ndarray]) -> list[Prediction]:
        """Read photos, uint8 RGB [height width 3] of any sizes, several requests at a time. Raises `DataError`."""
        with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as pool:
            return list(pool.map(self._look, photos))

    def _look(self, photo: np.ndarray) -> Prediction:
        size = photo.shape[1], photo.shape[0]
        shown = (
            PhotoPlacement(size, 0, 0, size)
            if self.bundle.processor is None
            else place_photo(size, self.bundle.processor)
        )
        picture = self._sent(pad_photo(photo, shown))
        answers = [answer for ask in self.requests.build(_size(picture)) for answer in self._asked(ask, picture)]
        mapped = [shown.answer_to_photo(_resized(answer, _size(picture), shown)) for answer in answers]
        stated = next(answer for answer in mapped if answer.query == VERDICT)
        rest = tuple(answer for answer in mapped if answer.query != VERDICT)
        return Prediction(rest, stated, self._chances(stated))

    def _sent(self, picture: np.ndarray) -> np.ndarray:
        """Where boxes are counted in pixels, the picture in the size in which the model sees it."""
        resizing = self.requests.box_format.resize
        if self.requests.mode is not PromptMode.json or resizing is None:
            return picture
        return cv2.resize(picture, resizing(_size(picture)), interpolation=cv2.INTER_AREA)

    def _asked(self, ask: EndpointRequest, picture: np.ndarray) -> tuple[Answer, ...]:
        try:
            told = self.client.complete(picture, ask.text, ask.max_tokens, ask.structure)
        except RequestRejectedError:
            told = None
        if told is None or not told.is_complete:
            return tuple(Answer(query.id, readable=False, confidence=0.0) for query in ask.queries)
        return self.requests.parse(ask, told.text, told.tokens, _size(picture))

    def _chances(self, stated: Answer) -> tuple[tuple[str, float], ...]:
        """How sure the model is of a verdict that names a violation; what one without it lacks of being sure."""
        sure = stated.confidence if stated.readable else 0.5
        return tuple((name, sure if name in stated.values else 1.0 - sure) for name in self.bundle.spec.violations)


def compute_reader_id(bundle: Bundle, asks: RequestBuilder, model: str) -> str:
    """Twelve hex digits in the place of a bundle's: verdicts of another model, or asked otherwise, are others."""
    told = [model, asks.mode, asks.box_format.name, asks.max_items, bundle.id]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _size(picture: np.ndarray) -> Size:
    return picture.shape[1], picture.shape[0]


def _resized(answer: Answer, sent: Size, shown: PhotoPlacement) -> Answer:
    """An answer about the picture that was sent, as one about the picture that was shown."""
    if sent == shown.canvas_size:
        return answer
    here, there = (Box(0.0, 0.0, float(width), float(height)) for width, height in (sent, shown.canvas_size))
    return replace(answer, boxes=tuple(box.map_between(here, there) for box in answer.boxes))
