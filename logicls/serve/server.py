"""Runs the server until it is told to stop."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from logicls.errors import LogiClsError, Problem
from logicls.serve.app import StartupState, create_app
from logicls.serve.service import InferenceService, Metrics, PluginFactory, no_plugins
from logicls.serve.uploads import Limits

SHUTDOWN_SECONDS = 120
"""Seconds in which what was taken is answered before the server ends."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True where only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def security_warnings(address: Address, token: str) -> tuple[str, ...]:
    """What whoever starts the server should know; empty where only this machine can reach it."""
    if address.is_loopback:
        return ()
    authentication = "" if token else "nobody is asked who they are (--token), "
    return (
        f"listening on {address.host}: other machines can send photos; {authentication}nothing is encrypted: put a server that "
        "does TLS before it.",
    )


def serve(
    bundle: Path,
    address: Address,
    limits: Limits,
    token: str = "",
    *,
    report: Callable[[str], None],
    plugin_factory: PluginFactory = no_plugins,
) -> None:
    """Serve until SIGINT or SIGTERM; what was taken is answered first.

    `say` is told what a person should know; `make` makes what is plugged into the predictor.

    Raises:
        LogiClsError: The address cannot be had (LC671), or the bundle cannot be used.
    """
    listener = _listen(address)
    startup, service = StartupState(), InferenceService(bundle, limits, Metrics(), plugin_factory)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service, startup, token), log_level="warning", access_log=False,
            proxy_headers=False,  # whoever sends such a header could pose as any address
            server_header=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )  # fmt: skip

    def stop() -> None:
        server.should_exit = True

    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"http://{host}:{listener.getsockname()[1]}"

    def on_ready() -> None:
        for plugin in service.plugins:
            say(f"plugged in: {one.to_text()}")
        report(f"{url}: ready")

    startup.on_failure, startup.on_ready = stop, on_ready
    for warning in security_warnings(address, token):
        report(warning)
    _run(server, listener)
    if startup.errors:
        raise startup.errors[0]


def _listen(address: Address) -> socket.socket:
    """Taken before anything is loaded, so that whoever chose a port that is in use does not wait to hear so."""
    try:
        family, *_, socket_address = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(socket_address, family=family)
    except OSError as error:
        message = f"cannot listen on {address.host}, port {address.port}: {_reason(error)}."
        raise LogiClsError(Problem("LC671", message, advice="Choose another --host or --port.")) from error


def _reason(error: OSError) -> str:
    """What the system says, without what Python adds."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    # Afterwards uvicorn raises once more the signal that stopped it. It has done its work by then.
    previous_handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
        listener.close()
