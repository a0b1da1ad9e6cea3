"""Reader whose model runs on a server. Its answers are evaluated like those of a bundle's own model.

The server is asked about the rules of a bundle, or of a spec without a trained model.
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

from logicls.answer_format import PromptMode
from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError, Problem
from logicls.models.box_formats import BOX_FORMATS, BoxFamily, BoxFormat, Size
from logicls.models.bundle import Bundle, load_bundle_without_model
from logicls.models.hub.chat_template import PhotoPlacement, pad_photo, place_photo
from logicls.models.hub.loading import box_format_for
from logicls.predict.endpoint.client import ChatClient, Endpoint, RequestRejectedError
from logicls.predict.endpoint.prompts import EndpointRequest, PromptOptions, RequestBuilder
from logicls.predict.input.loader import LoadedPhoto
from logicls.predict.readers.appearance import add_comparison
from logicls.predict.readers.protocol import Prediction, Reader, unpack_pixels
from logicls.records import Answer, Box

DEFAULT_MAX_ITEMS = 50
"""Largest number of boxes or values of an answer, without training data that limits it."""
MAX_CONCURRENT_REQUESTS = 16
FAMILY_PATTERNS = {
    r"qwen[-_]?2[._]?5[-_]?vl": BoxFamily.qwen2_5_vl,
    r"qwen[-_]?2[-_]?vl": BoxFamily.qwen2_vl,
    r"internvl": BoxFamily.internvl,
    r"paligemma": BoxFamily.paligemma,
    r"florence": BoxFamily.florence2,
    r"llava": BoxFamily.llava,
}
"""Pattern of a model's name → its box format; other models are asked for thousandths."""


@contextmanager
def open_endpoint_reader(
    subject: Path, endpoint: Endpoint, options: PromptOptions, report: Callable[[str], None] = lambda _: None
) -> Iterator[Reader]:
    """Open a reader for a bundle or a spec. The model of a bundle is not loaded: the server is trusted to run it.

    Args:
        subject: Folder of a bundle, or file of a spec.
        endpoint: The server.
        options: Form of the requests.
        report: Called with a message about features that the server lacks.

    Raises:
        LogiClsError: The bundle or spec is unusable, or the server is (LC672 to LC677); a spec has rules about
            appearance, which need the memory of a bundle (LC506).
    """
    bundle = load_bundle_without_model(subject) if subject.is_dir() else make_spec_bundle(subject)
    mode = options.mode or (PromptMode.lines if bundle.hub is not None else PromptMode.json)
    is_own_model = mode is PromptMode.lines and bundle.hub is not None
    with ChatClient(endpoint, report) as client:
        box_format = _choose_box_format(bundle, client.model, options.boxes, is_own_model=is_own_model)
        spec = bundle.question_spec if is_own_model else bundle.spec
        requests = RequestBuilder(spec, mode, box_format, bundle.max_boxes)
        trained = bundle
        if not is_own_model:  # the calibration of the bundle's own model does not apply to another one
            bundle = replace(bundle, processor=None, is_external=True, trained_spec=None)
        reader_id = compute_reader_id(bundle, requests, client.model)
        yield add_comparison(
            EndpointReader(replace(bundle, id=reader_id), strip_special_tokens(requests), client), trained
        )


def strip_special_tokens(requests: RequestBuilder) -> RequestBuilder:
    """Remove special tokens from the box format, because servers return text without them.

    Raises:
        DataError: Boxes consist of special tokens (LC677).
    """
    template = re.sub(r"<\|\w+\|>", "", requests.box_format.template)
    if requests.mode is PromptMode.json:
        return requests
    if "<loc" in template:
        message = f'boxes of the family "{requests.box_format.name}" are special tokens, which servers remove.'
        raise DataError(Problem("LC677", message, advice="Use --answer-format json."))
    return replace(requests, box_format=replace(requests.box_format, template=template))


def guess_box_family(model: str) -> BoxFamily:
    """Guess the box format of a model from its name."""
    for pattern, family in FAMILY_PATTERNS.items():
        if re.search(pattern, model.lower()):
            return family
    return BoxFamily.qwen3_vl


def _choose_box_format(bundle: Bundle, model: str, boxes: BoxFamily | None, *, is_own_model: bool) -> BoxFormat:
    if boxes is None and is_own_model and bundle.hub is not None:
        return box_format_for(bundle.hub.boxes, bundle.hub_processor)
    return BOX_FORMATS[boxes or guess_box_family(model)]


def make_spec_bundle(spec: Path) -> Bundle:
    """Make a bundle of a spec, without a model. Raises `SpecError`."""
    return Bundle(spec, "", load_spec(spec), None, None, DEFAULT_MAX_ITEMS)


@dataclass(slots=True)
class EndpointReader:
    """Answers the questions of a spec by requests to a server. Implements `Reader`."""

    bundle: Bundle
    """Supplies the spec, and the processor if the server runs the bundle's own model."""
    requests: RequestBuilder
    client: ChatClient

    @property
    def input_size(self) -> Size | None:
        """None: photos are sent in their own size."""
        return None

    def predict_raw(self, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
        """Read photos, with several requests at a time; see `Reader.predict_raw`. Raises `DataError`."""
        with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as pool:
            return list(pool.map(self._predict, unpack_pixels(photos)))

    def _predict(self, photo: np.ndarray) -> Prediction:
        size = photo.shape[1], photo.shape[0]
        own_model = self.bundle.processor is not None
        placement = place_photo(size, self.bundle.hub_processor) if own_model else PhotoPlacement(size, 0, 0, size)
        image = self._resize(pad_photo(photo, placement))
        answers = [answer for request in self.requests.build(_size(image)) for answer in self._ask(request, image)]
        in_photo = [placement.answer_to_photo(_resize_answer(answer, _size(image), placement)) for answer in answers]
        stated = next(answer for answer in in_photo if answer.query == VERDICT)
        rest = tuple(answer for answer in in_photo if answer.query != VERDICT)
        return Prediction(rest, stated, self._violation_probabilities(stated))

    def _resize(self, image: np.ndarray) -> np.ndarray:
        """Resize the image as the model's processor does, where boxes are pixels of the resized one."""
        resize = self.requests.box_format.resize
        if self.requests.mode is not PromptMode.json or resize is None:
            return image
        return cv2.resize(image, resize(_size(image)), interpolation=cv2.INTER_AREA)

    def _ask(self, request: EndpointRequest, image: np.ndarray) -> tuple[Answer, ...]:
        try:
            completion = self.client.complete(image, request.text, request.max_tokens, request.structure)
        except RequestRejectedError:
            completion = None
        if completion is None or not completion.is_complete:
            return tuple(Answer(query.id, readable=False, confidence=0.0) for query in request.queries)
        return self.requests.parse(request, completion.text, completion.tokens, _size(image))

    def _violation_probabilities(self, stated: Answer) -> tuple[tuple[str, float], ...]:
        """Derive probabilities from the confidence p of the stated verdict; 1 - p for violations that it omits."""
        p = stated.confidence if stated.readable else 0.5
        return tuple((name, p if name in stated.values else 1.0 - p) for name in self.bundle.question_spec.violations)


def compute_reader_id(bundle: Bundle, requests: RequestBuilder, model: str) -> str:
    """Compute twelve hex digits that identify bundle, model and form of the requests, in the place of a bundle's id."""
    facts = [model, requests.mode, requests.box_format.name, requests.max_items, bundle.id]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _size(image: np.ndarray) -> Size:
    return image.shape[1], image.shape[0]


def _resize_answer(answer: Answer, image_size: Size, placement: PhotoPlacement) -> Answer:
    """Convert an answer's boxes from the image that was sent to the canvas before it was resized."""
    if image_size == placement.canvas_size:
        return answer
    image, canvas = (
        Box(0.0, 0.0, float(width), float(height)) for width, height in (image_size, placement.canvas_size)
    )
    return replace(answer, boxes=tuple(box.map_between(image, canvas) for box in answer.boxes))
