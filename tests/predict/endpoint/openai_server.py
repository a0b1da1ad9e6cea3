"""A small strict server of OpenAI's API: it rejects unknown parameters and wrong types by the API's own schema.

It has no model: a function gives the answers. An answer that violates the requested JSON Schema or regular expression
fails the request, as constrained servers never return one.
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
"""Parameters of vLLM and SGLang beyond the API."""


@dataclass
class StrictServer:
    """Behaviour of the server: `answer` maps the text and the image of a request to the text of the answer."""

    answer: Callable[[str, np.ndarray], str]
    models: Sequence[str] = ("tiny",)
    key: str = ""
    refuses: frozenset[str] = frozenset()
    """Parameters that it rejects."""
    fails: list[int] = field(default_factory=list)
    """Statuses of the next responses."""
    tokens: Callable[[str], list[tuple[str, float]]] | None = None
    """Splits an answer into tokens with the logarithms of their probabilities."""
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    """Bodies of successful requests."""
    images: list[np.ndarray] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Respond without a network."""
        status, content = self.respond(request.method, request.url.path, dict(request.headers), request.read())
        return httpx2.Response(status, json=content, headers={"retry-after": "0"} if status == 429 else {})

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """Return status and JSON of a response."""
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"error": {"message": "no such key"}}
        if self.fails:
            return self.fails.pop(0), {"error": {"message": "busy"}}
        if (method, path) == ("GET", "/v1/models"):
            return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        if (method, path) != ("POST", "/v1/chat/completions"):
            return 404, {"detail": "Not Found"}
        try:
            return self._complete(json.loads(body))
        except (ValidationError, ValueError, KeyError) as error:
            return 400, {"error": {"message": str(error)}}

    def _complete(self, body: dict[str, Any]) -> tuple[int, object]:
        unknown = set(body) - set(CompletionCreateParamsNonStreaming.__mutable_keys__) - EXTRAS
        if unknown | set(body) & self.refuses:
            return 422, {"detail": f"unexpected: {sorted(unknown | set(body) & self.refuses)}"}
        BODY.validate_python(body)
        if body["model"] not in self.models:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        (message,) = body["messages"]
        image, text = (PART.validate_python(part) for part in message["content"])
        head, data = image["image_url"]["url"].split(",", 1)
        assert head == "data:image/png;base64"
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
        text = self.answer(text["text"], image)
        self._check_form(body, text)
        self.requests.append(body)
        self.images.append(image)
        return 200, self._completion(body, text)

    def _check_form(self, body: Mapping[str, Any], text: str) -> None:
        if "response_format" in body:
            form = body["response_format"]["json_schema"]
            assert form["strict"] is True
            jsonschema.Draft202012Validator.check_schema(form["schema"])
            jsonschema.validate(json.loads(text), form["schema"])
        if "regex" in body:
            assert body["structured_outputs"] == {"regex": body["regex"]}
            assert re.fullmatch(body["regex"], text), f"{text!r} is not {body['regex']!r}"

    def _completion(self, body: Mapping[str, Any], text: str) -> object:
        message = {"role": "assistant", "content": text}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
        if len(text) > body["max_completion_tokens"]:
            choice["finish_reason"] = "length"
        if body.get("logprobs") and self.tokens is not None:
            pieces = [
                {"token": text, "logprob": chance, "bytes": [*text.encode()], "top_logprobs": []}
                for text, chance in self.tokens(text)
            ]
            choice["logprobs"] = {"content": pieces, "refusal": None}
        completion = {"id": "1", "created": 0, "object": "chat.completion", "model": body["model"], "choices": [choice]}
        return ChatCompletion.model_validate(completion).model_dump(exclude_none=True)


@contextmanager
def run_server(server: StrictServer) -> Iterator[str]:
    """Run the server in a thread; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET", b"")

        def do_POST(self) -> None:
            self._answer("POST", self.rfile.read(int(self.headers["content-length"])))

        def _answer(self, method: str, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content = server.respond(method, self.path, headers, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http_server.server_port}"
    finally:
        http_server.shutdown()
        thread.join()
        http_server.server_close()
