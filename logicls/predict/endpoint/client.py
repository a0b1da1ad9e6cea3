"""Client of OpenAI's chat completions API: one image and a text, one answer.

Beyond the core of the API, structured output and token probabilities are requested. What a server rejects is not
requested again.

Sources: OpenAI's API reference, "Create chat completion"; vLLM, "Structured outputs" (`structured_outputs`, since
0.12); SGLang, "Structured outputs" (`regex`). Both accept `response_format`. `transformers serve` (5.23) supports
neither: it ignores `response_format` and rejects parameters that OpenAI's API does not have.
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
"""Longest wait before another attempt, in seconds."""
GREY_IMAGE = np.full((64, 64, 3), 128, np.uint8)
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses of temporary failures."""
TIMEOUT = httpx2.Timeout(300.0, connect=10.0)
"""Seconds: a large model without a GPU takes minutes for an answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address and credentials of a server."""

    url: str
    """URL, with or without `/v1`."""
    model: str = ""
    """Name of the model; empty for the only one of the server."""
    key: str = ""
    """Bearer token; empty for none."""
    pause: float = 0.5
    """Seconds before the second attempt; each further pause is twice as long."""


class TokenProbability(NamedTuple):
    """A token of an answer."""

    text: str
    probability: float


class Completion(NamedTuple):
    """An answer of the server."""

    text: str
    is_complete: bool
    """False where it was cut off by the token limit."""
    tokens: tuple[TokenProbability, ...] = ()
    """Empty where the server gives no probabilities."""


class RequestRejectedError(Exception):
    """The server rejects this request, and would reject it again."""


class RequestFeatures(NamedTuple):
    """Features that are requested beyond the core of the API."""

    structure: bool
    logprobs: bool


FEATURE_LEVELS = (
    RequestFeatures(True, True),
    RequestFeatures(True, False),
    RequestFeatures(False, True),
    RequestFeatures(False, False),
)
"""Combinations of features in the order in which they are tried."""


class ChatClient:
    """Client for one model of one server, usable from several threads. A context manager."""

    def __init__(
        self,
        endpoint: Endpoint,
        report: Callable[[str], None] = lambda _: None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Create a client.

        Args:
            endpoint: The server.
            report: Called once with a message about features that the server lacks.
            transport: Replacement of the network, for tests.
        """
        self.endpoint, self.base, self.report = endpoint, normalize_url(endpoint.url), report
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._http = httpx2.Client(base_url=self.base, headers=headers, timeout=TIMEOUT, transport=transport)
        self._lock, self._level, self._has_answered = threading.Lock(), 0, False

    def __enter__(self) -> ChatClient:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    @cached_property
    def model(self) -> str:
        """Name of the selected model, or of the server's only one. Raises `DataError`."""
        return self.endpoint.model or self._find_only_model()

    def complete(
        self, image: np.ndarray, text: str, max_tokens: int, structure: Mapping[str, object]
    ) -> Completion:  # fmt: skip
        """Request an answer of at most `max_tokens` tokens.

        Args:
            image: uint8 RGB [height width 3]; sent losslessly.
            text: The prompt.
            max_tokens: Limit of the answer.
            structure: Parameters that constrain the answer.

        Raises:
            RequestRejectedError: The server rejects this request.
            DataError: The server is unusable (LC672, LC673, LC674, LC675).
        """
        body = self._make_body(image, text, max_tokens)
        rejection: RequestRejectedError | None = None
        tried: list[Mapping[str, object]] = []
        for number in range(self._level, len(FEATURE_LEVELS)):
            level = FEATURE_LEVELS[number]
            extras = {**(structure if level.structure else {}), **({"logprobs": True} if level.logprobs else {})}
            if extras in tried:
                continue
            tried.append(extras)
            try:
                completion = parse_completion(self._request("chat/completions", {**body, **extras}), self.base)
            except RequestRejectedError as error:
                rejection = rejection or error
                continue
            self._lower_level(number, rejection)
            return completion
        self._check_core()
        raise rejection or RequestRejectedError("no combination of features is left")

    def _check_core(self) -> None:
        """Check that the server accepts a plain request. Raises `DataError` (LC675)."""
        if self._has_answered:
            return
        try:
            parse_completion(
                self._request("chat/completions", self._make_body(GREY_IMAGE, "What is this?", 8)), self.base
            )  # fmt: skip
        except RequestRejectedError as error:
            raise _error("LC675", f"the server rejects every request: {error}", self.base) from error
        self._has_answered = True

    def _make_body(self, image: np.ndarray, text: str, max_tokens: int) -> dict[str, object]:
        """Make a request that uses only the core of the API."""
        url = "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_completion_tokens": max_tokens}

    def _lower_level(self, number: int, rejection: RequestRejectedError | None) -> None:
        """Request the accepted features from now on, and report the rejected ones once."""
        with self._lock:
            before, self._level, self._has_answered = self._level, max(self._level, number), True
        if number > before:
            pairs = zip(("structure", "probabilities"), FEATURE_LEVELS[before], FEATURE_LEVELS[number], strict=True)
            lost = " and ".join(name for name, had, has in pairs if had and not has)
            self.report(f"{self.base}: answers come without {lost}, which the server rejects: {rejection}")

    def _find_only_model(self) -> str:
        names = self.list_models()
        if len(names) == 1:
            return names[0]
        reason = f"has {len(names)} models" if names else "does not list its models"
        advice = f"Select one with --model. {_list_names(names)}".strip()
        raise _error("LC674", f"no model is selected, and the server {reason}.", self.base, advice)

    def list_models(self) -> list[str]:
        """List the models of the server; empty where it does not list them."""
        try:
            answer = self._request("models")
            return [str(one["id"]) for one in answer["data"]]
        except (RequestRejectedError, LookupError, TypeError):
            return []

    def _request(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Send a request, with retries. Returns the JSON of the answer."""
        response = self._send_with_retries(path, body)
        match response.status_code:
            case 200:
                pass
            case 401 | 403:
                raise _error("LC673", f"the server rejects the API key: {_describe(response)}", self.base)
            case 404 if body is not None:
                raise self._not_found(response)
            case _:
                raise RequestRejectedError(_describe(response))
        try:
            return response.json()
        except ValueError as error:
            raise _error("LC675", f"the answer of /{path} is not JSON.", self.base) from error

    def _not_found(self, response: httpx2.Response) -> DataError:
        names = self.list_models()
        if names and self.model not in names:
            message = f'the server has no model "{self.model}".'
            return _error("LC674", message, self.base, suggest_name(self.model, names))
        return _error("LC675", f"there is no chat/completions: {_describe(response)}", self.base)

    def _send_with_retries(self, path: str, body: Mapping[str, object] | None) -> httpx2.Response:
        """Send a request up to `MAX_ATTEMPTS` times, until it succeeds or fails permanently."""
        failure = ""
        for pause in (0.0, *self._pauses()):
            time.sleep(pause)
            try:
                response = self._http.get(path) if body is None else self._http.post(path, json=body)
            except httpx2.HTTPError as error:
                failure = f"{type(error).__name__}: {error}".rstrip(": ")
                continue
            if response.status_code not in RETRY_STATUSES:
                return response
            failure = _describe(response)
            time.sleep(_retry_after(response))
        raise _error("LC672", f"the server does not answer after {MAX_ATTEMPTS} attempts: {failure}", self.base)

    def _pauses(self) -> Iterator[float]:
        return (min(self.endpoint.pause * 2**k, MAX_WAIT) for k in range(MAX_ATTEMPTS - 1))


def normalize_url(url: str) -> str:
    """Return the base URL of the API for a URL as users write it. Raises `DataError` for an invalid one (LC676)."""
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _error("LC676", f'"{url}" is not the URL of a server.', "--endpoint")
    path = parsed.path.rstrip("/").removesuffix("/chat/completions")
    return str(parsed.copy_with(path=path or "/v1", query=None, fragment=None))


def parse_completion(answer: Any, base: str) -> Completion:
    """Parse an answer of the API. Raises `DataError` where it has another form (LC675)."""
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        pieces = (choice.get("logprobs") or {}).get("content") or []
        tokens = tuple(TokenProbability(str(one["token"]), math.exp(min(one["logprob"], 0.0))) for one in pieces)
        return Completion(str(text), choice.get("finish_reason") != "length", tokens)
    except (LookupError, TypeError, AttributeError) as error:
        raise _error("LC675", "the answer of /chat/completions is not that of OpenAI's API.", base) from error


def encode_png(image: np.ndarray) -> bytes:
    """Encode an RGB image as PNG."""
    is_encoded, data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not is_encoded:
        raise ValueError("the image cannot be encoded as PNG")
    return data.tobytes()


def _retry_after(response: httpx2.Response) -> float:
    seconds = response.headers.get("retry-after", "")
    return min(float(seconds), MAX_WAIT) if seconds.isdecimal() else 0.0


def _describe(response: httpx2.Response) -> str:
    """Describe a response on one line: the status, and the beginning of its text."""
    text = " ".join(response.text.split())[:300]
    try:
        name = HTTPStatus(response.status_code).phrase
    except ValueError:
        name = ""
    return f"{response.status_code} {name}: {text}".rstrip(": ")


def _list_names(names: list[str]) -> str:
    return f"Available: {', '.join(sorted(names))}." if names else ""


_ADVICE = {
    "LC672": "Start it, or check its log; then run the same command again: finished verdicts are kept.",
    "LC673": "Set the environment variable LOGICLS_API_KEY to the key.",
    "LC675": "Pass the URL of a server that implements OpenAI's API, such as http://localhost:8000/v1.",
    "LC676": "A URL begins with http:// or https://.",
}


def _error(code: str, message: str, place: str, advice: str = "") -> DataError:
    return DataError(Problem(code, f"{message.rstrip('.')}.", place, advice=advice or _ADVICE.get(code, "")))
