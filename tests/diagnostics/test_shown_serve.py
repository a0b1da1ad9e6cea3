"""What people see when photos cannot be inspected elsewhere: by a server, a model of a server, a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pytest

from logicls.cli.environment import require_extra
from logicls.cli.serve import RemoteExecution
from logicls.constraints.spec.loader import load_spec
from logicls.models.box_formats import BOX_FORMATS
from logicls.predict.endpoint.client import ChatClient, Endpoint, normalize_url
from logicls.predict.endpoint.prompts import RequestBuilder, PromptMode
from logicls.predict.endpoint.reader import strip_special_tokens, make_spec_bundle
from logicls.predict.folder.ray_cluster import RayCluster, WorkerSetup, _map_batches, connect_cluster
from logicls.serve.server import Address, serve
from logicls.serve.uploads import Limits

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: four-pins, quantity: {of: pin, exactly: 4}}
"""


def asked(answer: Callable[[httpx2.Request], httpx2.Response], model: str = "") -> object:
    """What comes of asking a server that answers like this."""
    endpoint = Endpoint("http://gpu:8000", model, pause=0.0)
    with ChatClient(endpoint, transport=httpx2.MockTransport(answer)) as chat:
        return chat.complete(np.zeros((2, 2, 3), np.uint8), "where is every pin?", 9, {})


def models(request: httpx2.Request) -> httpx2.Response:
    """A server with two models, and no other than those."""
    if request.url.path != "/v1/models":
        return httpx2.Response(404, json={"error": "no such model"})
    return httpx2.Response(200, json={"data": [{"id": "qwen3-vl"}, {"id": "smolvlm"}]})


def left_out() -> object:
    """Boxes that are special tokens."""
    Path("box.yaml").write_text(SPEC)
    return strip_special_tokens(
        RequestBuilder(load_spec(Path("box.yaml")), PromptMode.lines, BOX_FORMATS["paligemma"], 9)
    )


def nobody(request: httpx2.Request) -> httpx2.Response:
    """A server that is not there."""
    raise httpx2.ConnectError("Connection refused")


class OtherMachine:
    """A library whose only machine does not see the photos."""

    def __getattr__(self, name: str) -> object:
        return self

    def __call__(self, *_: object, **__: object) -> OtherMachine:
        """Whatever is called gives the same."""
        return self

    def iter_rows(self) -> list[dict[str, str]]:
        """What it has to say."""
        return [{"verdicts": "[]", "trouble": "node7 cannot do its share: /data/photos: there is no such folder"}]


def share() -> object:
    """Verdicts of a cluster that has no photos."""
    Path("box.yaml").write_text(SPEC)
    bundle = make_spec_bundle(Path("box.yaml"))
    return list(
        _map_batches(RayCluster(OtherMachine(), 2, 0), bundle, WorkerSetup("box.yaml", "photos", ""), [{"names": "[]"}])
    )


def reach() -> None:
    """A cluster at an address where nobody listens."""
    with connect_cluster("127.0.0.1:9"):
        pass


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC670": lambda: require_extra("no_such_library", extra="serve"),
    "LC671": lambda: serve(Path("bundle"), Address("192.0.2.1", 8000), Limits(), report=lambda line: None),
    "LC672": lambda: asked(nobody, "qwen"),
    "LC673": lambda: asked(lambda request: httpx2.Response(401, json={"error": "who are you?"}), "qwen"),
    "LC674": lambda: asked(models, "qwen3_vl"),
    "LC675": lambda: asked(lambda request: httpx2.Response(200, text="<html>"), "qwen"),
    "LC676": lambda: normalize_url("localhost:8000"),
    "LC677": left_out,
    "LC678": reach,
    "LC679": share,
    "LC680": lambda: RemoteExecution(model="qwen").check(watch=False),
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("desk")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])
