from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from logicls.errors import BundleError
from logicls.serve.server import Address, security_warnings, serve
from logicls.serve.uploads import Limits


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_addresses_cause_no_warning(host):
    """The default address is local and needs no warning."""
    assert security_warnings(Address(host, 8000), "") == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "line3.example"])
def test_other_addresses_cause_a_warning(host):
    """The warning mentions the missing authentication without a token, and always the missing encryption."""
    (open_,), (guarded,) = security_warnings(Address(host, 8000), ""), security_warnings(Address(host, 8000), "sesame")

    assert f"listening on {host}" in open_
    assert "without authentication" in open_
    assert "without authentication" not in guarded
    assert "not encrypted" in guarded
    assert "sesame" not in guarded


def test_an_unusable_bundle_stops_the_server(tmp_path):
    """The error is raised, instead of a server that never becomes ready."""
    messages: list[str] = []

    with pytest.raises(BundleError, match="LC501"):
        serve(tmp_path, Address("127.0.0.1", 0), Limits(), report=messages.append)

    assert messages == []


@pytest.mark.slow
def test_a_terminated_server_answers_accepted_photos(bundle, folder):
    """After SIGTERM, every accepted photo gets its verdict, and the exit code is 0."""
    code = "from logicls.cli.app import main; main()"
    words = [sys.executable, "-c", code, "serve", str(bundle.path), "--port", "0", "--batch", "1", "--rate", "10000"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env) as process:
        url = process.stdout.readline().removesuffix(": ready\n")
        photos = [path.read_bytes() for path in sorted(folder.glob("*.png"))[:40]]

        def ask(data: bytes) -> int:
            return httpx2.post(f"{url}/predict", content=data, timeout=60, trust_env=False).status_code

        with ThreadPoolExecutor(len(photos)) as pool:
            requests = [pool.submit(ask, data) for data in photos]
            while f"logicls_taken_photos {len(photos)}" not in _rounded(url) and not all(
                one.done() for one in requests
            ):
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            statuses = [one.result() for one in requests]

        assert process.wait(60) == 0
    assert statuses == [200] * len(photos)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/healthz", trust_env=False)


def _rounded(url: str) -> str:
    return httpx2.get(f"{url}/metrics", trust_env=False).text.replace(".0\n", "\n")
