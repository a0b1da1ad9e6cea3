"""Run the HTTP server until SIGINT or SIGTERM."""

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
"""Longest time for answering accepted photos at shutdown, seconds."""


@dataclass(frozen=True, slots=True)
class Address:
    """Address that the server listens on."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def security_warnings(address: Address, token: str) -> tuple[str, ...]:
    """Return security warnings about an address; empty if only this machine can connect."""
    if address.is_loopback:
        return ()
    authentication = "" if token else " without authentication (set --token)"
    return (
        f"warning: listening on {address.host}: other machines can send photos{authentication}. "
        "Connections are not encrypted: put a TLS proxy in front of the server.",
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
    """Serve verdicts until SIGINT or SIGTERM; answer the accepted photos before returning.

    Args:
        bundle: Folder of the bundle.
        address: Address to listen on.
        limits: Limits on requests and batches.
        token: Bearer token that clients must send; empty: none.
        report: Called with each message for the operator.
        plugin_factory: Creates the plug-ins of the predictor.

    Raises:
        LogiClsError: The address is not available (LC671), or the bundle cannot be used.
    """
    server_socket = _listen(address)
    startup, service = StartupState(), InferenceService(bundle, limits, Metrics(), plugin_factory)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service, startup, token), log_level="warning", access_log=False,
            proxy_headers=False,  # clients could forge such a header and evade the rate limit
            server_header=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )  # fmt: skip

    def stop() -> None:
        server.should_exit = True

    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"http://{host}:{server_socket.getsockname()[1]}"

    def on_ready() -> None:
        for plugin in service.plugins:
            report(f"plug-in: {plugin.to_text()}")
        report(f"{url}: ready")

    startup.on_failure, startup.on_ready = stop, on_ready
    for warning in security_warnings(address, token):
        report(warning)
    _run(server, server_socket)
    if startup.errors:
        raise startup.errors[0]


def _listen(address: Address) -> socket.socket:
    """Bind the address. This is done before the bundle is loaded, so that a port in use is reported at once."""
    try:
        family, *_, socket_address = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(socket_address, family=family)
    except OSError as error:
        message = f"cannot listen on {address.host}, port {address.port}: {_reason(error)}."
        raise LogiClsError(Problem("LC671", message, advice="Choose another --host or --port.")) from error


def _reason(error: OSError) -> str:
    """Return the system's error message without Python's additions."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)


def _run(server: uvicorn.Server, server_socket: socket.socket) -> None:
    # uvicorn raises the signal that stopped it once more after the shutdown; it must not end the process.
    previous_handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[server_socket])
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
        server_socket.close()
