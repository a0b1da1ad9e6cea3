"""A small strict server of OpenAI's API: what the API's own schema does not know is refused, as are wrong types.

It has no model: what it answers is given to it. An answer that was asked for within a JSON Schema or a regular
expression must be one, or the request fails: so it is with servers that have them.
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import jsonschema
import numpy as np
from openai.types.chat import ChatCompletion, ChatCompletionContentPartParam
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from PIL import Image
from pydantic import TypeAdapter, ValidationError

BODY, PART = TypeAdapter(CompletionCreateParamsNonStreaming), TypeAdapter(ChatCompletionContentPartParam)
EXTRAS = frozenset({"structured_outputs", "regex"})
"""What vLLM and SGLang know beyond the API."""


@dataclass
class Strict:
    """The server's mind: `answer` gets the text of a request and its picture, and gives the text of the answer."""

    answer: Callable[[str, np.ndarray], str]
    models: Sequence[str] = ("tiny",)
    key: str = ""
    refuses: frozenset[str] = frozenset()
    """Fields that it does not take."""
    fails: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    tokens: Callable[[str], list[tuple[str, float]]] | None = None
    """Pieces of an answer with the logarithms of their probabilities."""
    seen: list[Mapping[str, Any]] = field(default_factory=list)
    """Bodies of requests, but for those that failed."""
    pictures: list[np.ndarray] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer, where no network is."""
        status, told = self.told(request.method, request.url.path, dict(request.headers), request.read())
        return httpx2.Response(status, json=told, headers={"retry-after": "0"} if status == 429 else {})

    def told(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """Status and JSON."""
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"error": {"message": "no such key"}}
        if self.fails:
            return self.fails.pop(0), {"error": {"message": "busy"}}
        if (method, path) == ("GET", "/v1/models"):
            return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        if (method, path) != ("POST", "/v1/chat/completions"):
            return 404, {"detail": "Not Found"}
        try:
            return self._completed(json.loads(body))
        except (ValidationError, ValueError, KeyError) as error:
            return 400, {"error": {"message": str(error)}}

    def _completed(self, asked: dict[str, Any]) -> tuple[int, object]:
        strange = set(asked) - set(CompletionCreateParamsNonStreaming.__mutable_keys__) - EXTRAS
        if strange | set(asked) & self.refuses:
            return 422, {"detail": f"unexpected: {sorted(strange | set(asked) & self.refuses)}"}
        BODY.validate_python(asked)
        if asked["model"] not in self.models:
            return 404, {"error": {"message": f"The model `{asked['model']}` does not exist."}}
        (message,) = asked["messages"]
        image, text = (PART.validate_python(part) for part in message["content"])
        head, data = image["image_url"]["url"].split(",", 1)
        assert head == "data:image/png;base64"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
        said = self.answer(text["text"], picture)
        self._hold(asked, said)
        self.seen.append(asked)
        self.pictures.append(picture)
        return 200, self._completion(asked, said)

    def _hold(self, asked: Mapping[str, Any], said: str) -> None:
        if "response_format" in asked:
            form = asked["response_format"]["json_schema"]
            assert form["strict"] is True
            jsonschema.Draft202012Validator.check_schema(form["schema"])
            jsonschema.validate(json.loads(said), form["schema"])
        if "regex" in asked:
            assert asked["structured_outputs"] == {"regex": asked["regex"]}
            assert re.fullmatch(asked["regex"], said), f"{said!r} is not {asked['regex']!r}"

    def _completion(self, asked: Mapping[str, Any], said: str) -> object:
        message = {"role": "assistant", "content": said}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
        if len(said) > asked["max_completion_tokens"]:
            choice["finish_reason"] = "length"
        if asked.get("logprobs") and self.tokens is not None:
            pieces = [
                {"token": text, "logprob": chance, "bytes": [*text.encode()], "top_logprobs": []}
                for text, chance in self.tokens(said)
            ]
            choice["logprobs"] = {"content": pieces, "refusal": None}
        made = {"id": "1", "created": 0, "object": "chat.completion", "model": asked["model"], "choices": [choice]}
        return ChatCompletion.model_validate(made).model_dump(exclude_none=True)


@contextmanager
def listening(mind: Strict) -> Iterator[str]:
    """The address of a server with that mind."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET", b"")

        def do_POST(self) -> None:
            self._answer("POST", self.rfile.read(int(self.headers["content-length"])))

        def _answer(self, method: str, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, told = mind.told(method, self.path, headers, body)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
