"""Fixtures: the bundle of the small test product, and a server for it on a free port."""

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
    """64 photos of different sizes and content, and a truncated one."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(64):
        patches = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        size = 60 + number, 90 - number // 2
        Image.fromarray(patches).resize(size, Image.Resampling.NEAREST).save(folder / f"{number:02d}.png")
    data = (folder / "00.png").read_bytes()
    (folder / "truncated.png").write_bytes(data[: len(data) // 2])
    return folder


@pytest.fixture
def png() -> bytes:
    """Bytes of a PNG photo."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return file.getvalue()


@contextmanager
def run_server(service: InferenceService, token: str = "") -> Iterator[str]:
    """Run a server in a thread; yield its URL."""
    server = uvicorn.Server(uvicorn.Config(create_app(service, StartupState(), token), log_level="warning", ws="none"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while service.bundle is None:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(bundle) -> Iterator[str]:
    """URL of a server with a high rate limit."""
    with run_server(InferenceService(bundle.path, Limits(rate=1e6), Metrics())) as url:
        yield url


@pytest.fixture(scope="session")
def serve_in_thread():
    """Context manager that runs a server for an inference service."""
    return run_server
