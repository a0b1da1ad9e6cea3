"""A conversation with a server that speaks OpenAI's API: one picture and a text, one answer.

What a server does not take of what is asked beyond the API's core, it is not asked for again: answers within a
structure, and their probabilities.

Sources: OpenAI's API reference, "Create chat completion"; vLLM, "Structured outputs" (`structured_outputs`, since
0.12); SGLang, "Structured outputs" (`regex`). Both take `response_format`. `transformers serve` (5.23) holds answers to
neither: it passes over `response_format` and refuses what OpenAI's API does not have.
"""

from __future__ import annotations

import base64
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple

import cv2
import httpx2
import numpy as np

from logicls.errors import DataError, Problem, suggest_name

MAX_ATTEMPTS = 5
MAX_WAIT = 60.0
"""Seconds that are waited before another try, at most."""
GREY_IMAGE = np.full((64, 64, 3), 128, np.uint8)
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What a server may answer that would answer otherwise a little later."""
TIMEOUT = httpx2.Timeout(300.0, connect=10.0)
"""Seconds: a large model without a GPU takes minutes for an answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom to ask."""

    url: str
    """As people write it: with or without `/v1`."""
    model: str = ""
    """Empty: the only one that the server has."""
    key: str = ""
    """Sent as a bearer token; empty where the server asks for none."""
    pause: float = 0.5
    """Seconds before the second try; each further pause is twice as long."""


class TokenProbability(NamedTuple):
    """A piece of an answer."""

    text: str
    probability: float
    """Probability that the model gave to it."""


class Completion(NamedTuple):
    """An answer."""

    text: str
    is_complete: bool
    """False where it was cut off."""
    tokens: tuple[TokenProbability, ...] = ()
    """Empty where the server does not tell probabilities."""


class RequestRejectedError(Exception):
    """The server does not take this request, and would not take it a second time."""


class RequestFeatures(NamedTuple):
    """What is asked for beyond an answer."""

    structure: bool
    logprobs: bool


FEATURE_LEVELS = (
    RequestFeatures(True, True),
    RequestFeatures(True, False),
    RequestFeatures(False, True),
    RequestFeatures(False, False),
)
"""From all to nothing."""


class ChatClient:
    """Asks one model of one server, from any number of threads. Use it in a `with` block."""

    def __init__(
        self,
        endpoint: Endpoint,
        report: Callable[[str], None] = lambda _: None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`say` is told once of what the server cannot do; `transport` takes the network's place."""
        self.endpoint, self.base, self.report = endpoint, normalize_url(endpoint.url), report
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._http = httpx2.Client(base_url=self.base, headers=headers, timeout=TIMEOUT, transport=transport)
        self._lock, self._level, self._answered = threading.Lock(), 0, False

    def __enter__(self) -> ChatClient:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    @cached_property
    def model(self) -> str:
        """The one that was chosen, or the only one. Raises `DataError`."""
        return self.endpoint.model or self._only()

    def complete(self, image: np.ndarray, text: str, max_tokens: int, structure: Mapping[str, object]) -> Completion:
        """The answer in at most so many tokens. `picture`: uint8 RGB [height width 3]; it is sent without loss.

        Raises:
            RefusedError: Of this request.
            DataError: The server cannot be asked at all (LC672, LC673, LC674, LC675).
        """
        body = self._body(image, text, max_tokens)
        refused: RequestRejectedError | None = None
        tried: list[Mapping[str, object]] = []
        for number in range(self._level, len(FEATURE_LEVELS)):
            level = FEATURE_LEVELS[number]
            extras = {**(structure if level.structure else {}), **({"logprobs": True} if level.logprobs else {})}
            if extras in tried:
                continue
            tried.append(extras)
            try:
                told = parse_completion(self._answer("chat/completions", {**body, **extras}), self.base)
            except RequestRejectedError as error:
                refused = refused or error
                continue
            self._settle(number, refused)
            return told
        self._check_core()
        raise refused or RequestRejectedError("nothing is left to ask for")

    def _check_core(self) -> None:
        """Whether what was refused is all there is, or that request alone. Raises `DataError` (LC675)."""
        if self._answered:
            return
        try:
            parse_completion(self._answer("chat/completions", self._body(GREY_IMAGE, "What is this?", 8)), self.base)
        except RequestRejectedError as error:
            raise _error("LC675", f"the server refuses whatever it is asked: {error}", self.base) from error
        self._answered = True

    def _body(self, picture: np.ndarray, text: str, most: int) -> dict[str, object]:
        """What every server takes."""
        url = "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_completion_tokens": most}

    def _settle(self, number: int, refused: RequestRejectedError | None) -> None:
        """What was taken is asked for from now on; what is lost is said once."""
        with self._lock:
            before, self._level, self._answered = self._level, max(self._level, number), True
        if number > before:
            change = zip(("structure", "probabilities"), FEATURE_LEVELS[before], FEATURE_LEVELS[number], strict=True)
            lost = " and ".join(name for name, had, has in change if had and not has)
            self.report(f"{self.base}: answers come without {lost}, which the server refuses: {refused}")

    def _only(self) -> str:
        names = self.models()
        if len(names) == 1:
            return names[0]
        told = f"has {len(names)} models" if names else "does not say which models it has"
        advice = f"Choose one with --model. {_known(names)}".strip()
        raise _error("LC674", f"no model was chosen, and the server {told}.", self.base, advice)

    def models(self) -> list[str]:
        """What the server says it has; empty where it does not say."""
        try:
            answer = self._answer("models")
            return [str(one["id"]) for one in answer["data"]]
        except (RequestRejectedError, LookupError, TypeError):
            return []

    def _answer(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The JSON that the server answers."""
        answer = self._tried(path, body)
        match answer.status_code:
            case 200:
                pass
            case 401 | 403:
                raise _error("LC673", f"the server refuses the key: {_reason(answer)}", self.base)
            case 404 if body is not None:
                raise self._not_found(answer)
            case _:
                raise RequestRejectedError(_reason(answer))
        try:
            return answer.json()
        except ValueError as error:
            raise _error("LC675", f"what /{path} answers is not JSON.", self.base) from error

    def _not_found(self, answer: httpx2.Response) -> DataError:
        names = self.models()
        if names and self.model not in names:
            message = f'the server has no model "{self.model}".'
            return _error("LC674", message, self.base, suggest_name(self.model, names))
        return _error("LC675", f"there is no chat/completions: {_reason(answer)}", self.base)

    def _tried(self, path: str, body: Mapping[str, object] | None) -> httpx2.Response:
        """The answer, after as many tries as it takes or may take."""
        failed = ""
        for pause in (0.0, *self._pauses()):
            time.sleep(pause)
            try:
                answer = self._http.get(path) if body is None else self._http.post(path, json=body)
            except httpx2.HTTPError as error:
                failed = f"{type(error).__name__}: {error}".rstrip(": ")
                continue
            if answer.status_code not in RETRY_STATUSES:
                return answer
            failed = _reason(answer)
            time.sleep(_asked_to_wait(answer))
        raise _error("LC672", f"the server does not answer, {MAX_ATTEMPTS} times: {failed}", self.base)

    def _pauses(self) -> Iterator[float]:
        return (min(self.endpoint.pause * 2**k, MAX_WAIT) for k in range(MAX_ATTEMPTS - 1))


def normalize_url(url: str) -> str:
    """The address below which the API is, from what people write.

    Raises:
        DataError: It is none (LC676).
    """
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _error("LC676", f'"{url}" is not the address of a server.', "--endpoint")
    path = parsed.path.rstrip("/").removesuffix("/chat/completions")
    return str(parsed.copy_with(path=path or "/v1", query=None, fragment=None))


def parse_completion(answer: Any, base: str) -> Completion:
    """What is in an answer of the API. Raises `DataError` where it is none (LC675)."""
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        pieces = (choice.get("logprobs") or {}).get("content") or []
        tokens = tuple(TokenProbability(str(one["token"]), math.exp(min(one["logprob"], 0.0))) for one in pieces)
        return Completion(str(text), choice.get("finish_reason") != "length", tokens)
    except (LookupError, TypeError, AttributeError) as error:
        raise _error("LC675", "what /chat/completions answers is not OpenAI's API.", base) from error


def encode_png(picture: np.ndarray) -> bytes:
    """The picture as a file."""
    done, data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("the picture cannot be written as PNG")
    return data.tobytes()


def _asked_to_wait(answer: httpx2.Response) -> float:
    told = answer.headers.get("retry-after", "")
    return min(float(told), MAX_WAIT) if told.isdecimal() else 0.0


def _reason(answer: httpx2.Response) -> str:
    """The status, and what the server says about it on one line."""
    said = " ".join(answer.text.split())[:300]
    try:
        name = HTTPStatus(answer.status_code).phrase
    except ValueError:
        name = ""
    return f"{answer.status_code} {name}: {said}".rstrip(": ")


def _known(names: list[str]) -> str:
    return f"Available: {', '.join(sorted(names))}." if names else ""


_ADVICE = {
    "LC672": "Start it, or look at its log; then run the same command again: what is finished stays.",
    "LC673": "Put the key into the environment variable LOGICLS_API_KEY.",
    "LC675": "Give the address of a server that speaks OpenAI's API, as http://localhost:8000/v1.",
    "LC676": "An address begins with http:// or https://.",
}


def _error(code: str, message: str, place: str, advice: str = "") -> DataError:
    return DataError(Problem(code, f"{message.rstrip('.')}.", place, advice=advice or _ADVICE.get(code, "")))
