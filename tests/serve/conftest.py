"""The small product's bundle of the tests of prediction, and a server of it on a port of its own."""

from __future__ import annotations

import io
import runpy
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from logicls.serve.app import StartupState, create_app
from logicls.serve.service import InferenceService, Metrics
from logicls.serve.uploads import Limits

_predict = runpy.run_path(str(Path(__file__).parents[1] / "predict" / "conftest.py"))
_one_thread, photos, make_bundle, bundle = (
    _predict[name] for name in ("_one_thread", "photos", "make_bundle", "bundle")
)  # fmt: skip


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Sixty-four photos that differ in size and pixels, and one that is cut short."""
    made = tmp_path_factory.mktemp("many")
    for number in range(64):
        patches = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        size = 60 + number, 90 - number // 2
        Image.fromarray(patches).resize(size, Image.Resampling.NEAREST).save(made / f"{number:02d}.png")
    whole = (made / "00.png").read_bytes()
    (made / "torn.png").write_bytes(whole[: len(whole) // 2])
    return made


@pytest.fixture
def png() -> bytes:
    """A photo."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return file.getvalue()


@contextmanager
def running(desk: InferenceService, token: str = "") -> Iterator[str]:
    """The address of a server, real but for the thread that it runs in."""
    server = uvicorn.Server(uvicorn.Config(create_app(desk, StartupState(), token), log_level="warning", ws="none"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while desk.bundle is None:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(bundle) -> Iterator[str]:
    """A server without limits that matter."""
    with running(InferenceService(bundle.path, Limits(rate=1e6), Metrics())) as url:
        yield url


@pytest.fixture(scope="session")
def served():
    """Runs a server for a desk, in a `with` block."""
    return running
