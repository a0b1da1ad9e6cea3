"""Messages about servers, endpoints and clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pytest

from logicls.cli.environment import require_extra
from logicls.cli.remote import RemoteExecution
from logicls.constraints.spec.loader import load_spec
from logicls.models.box_formats import BOX_FORMATS
from logicls.predict.endpoint.client import ChatClient, Endpoint, normalize_url
from logicls.predict.endpoint.prompts import PromptMode, RequestBuilder
from logicls.predict.endpoint.reader import make_spec_bundle, strip_special_tokens
from logicls.predict.folder.ray_cluster import RayCluster, WorkerSetup, _map_batches, connect_cluster
from logicls.serve.server import Address, serve
from logicls.serve.uploads import Limits

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: four-pins, quantity: {of: pin, exactly: 4}}
"""


def complete_chat(answer: Callable[[httpx2.Request], httpx2.Response], model: str = "") -> object:
    """Ask a question of a server with these responses."""
    endpoint = Endpoint("http://gpu:8000", model, pause=0.0)
    with ChatClient(endpoint, transport=httpx2.MockTransport(answer)) as chat:
        return chat.complete(np.zeros((2, 2, 3), np.uint8), "where is every pin?", 9, {})


def list_two_models(request: httpx2.Request) -> httpx2.Response:
    """Respond as a server with two models."""
    if request.url.path != "/v1/models":
        return httpx2.Response(404, json={"error": "no such model"})
    return httpx2.Response(200, json={"data": [{"id": "qwen3-vl"}, {"id": "smolvlm"}]})


def strip_box_tokens() -> object:
    """Strip special tokens from boxes that consist of them."""
    Path("box.yaml").write_text(SPEC)
    return strip_special_tokens(
        RequestBuilder(load_spec(Path("box.yaml")), PromptMode.lines, BOX_FORMATS["paligemma"], 9)
    )


def refuse_connection(request: httpx2.Request) -> httpx2.Response:
    """Refuse the connection."""
    raise httpx2.ConnectError("Connection refused")


class NodeWithoutPhotos:
    """Ray with one node that cannot access the photos."""

    def __getattr__(self, name: str) -> object:
        return self

    def __call__(self, *_: object, **__: object) -> NodeWithoutPhotos:
        """Return the same object for every call."""
        return self

    def iter_rows(self) -> list[dict[str, str]]:
        """Return the error of the node."""
        return [{"verdicts": "[]", "error": "node7 cannot start its worker: /data/photos: there is no such folder"}]


def inspect_without_photos() -> object:
    """Inspect on a cluster that cannot access the photos."""
    Path("box.yaml").write_text(SPEC)
    bundle = make_spec_bundle(Path("box.yaml"))
    return list(
        _map_batches(
            RayCluster(NodeWithoutPhotos(), 2, 0), bundle, WorkerSetup("box.yaml", "photos", ""), [{"names": "[]"}]
        )
    )


def connect_to_nothing() -> None:
    """Connect to an address without a cluster."""
    with connect_cluster("127.0.0.1:9"):
        pass


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC670": lambda: require_extra("no_such_library", extra="serve"),
    "LC671": lambda: serve(Path("bundle"), Address("192.0.2.1", 8000), Limits(), report=lambda line: None),
    "LC672": lambda: complete_chat(refuse_connection, "qwen"),
    "LC673": lambda: complete_chat(lambda request: httpx2.Response(401, json={"error": "who are you?"}), "qwen"),
    "LC674": lambda: complete_chat(list_two_models, "qwen3_vl"),
    "LC675": lambda: complete_chat(lambda request: httpx2.Response(200, text="<html>"), "qwen"),
    "LC676": lambda: normalize_url("localhost:8000"),
    "LC677": strip_box_tokens,
    "LC678": connect_to_nothing,
    "LC679": inspect_without_photos,
    "LC680": lambda: RemoteExecution(model="qwen").check(watch=False),
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("workdir")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])
