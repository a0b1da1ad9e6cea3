"""Command `serve`: verdicts over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from logicls.cli.environment import require_extra, silence_progress_bars
from logicls.cli.options import (
    BUNDLE_ARGUMENT,
    EXPERT,
    KNOWLEDGE,
    MIN_ENTROPY,
    REASONER,
    THINK_STEPS,
    THINK_TOKENS,
    print_line,
)

LIMITS = "Limits"
"""Panel of the help."""


def serve(
    bundle: BUNDLE_ARGUMENT,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all network interfaces.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free port.")] = 8000,
    token: Annotated[
        str,
        typer.Option(
            envvar="LOGICLS_TOKEN", show_default=False, help="Bearer token that clients must send. Default: none."
        ),
    ] = "",
    batch: Annotated[int, typer.Option(min=1, rich_help_panel=LIMITS, help="Largest number of photos per batch.")] = 16,
    wait: Annotated[
        float,
        typer.Option(min=0, rich_help_panel=LIMITS, help="Time that a photo waits for others to form a batch, ms."),
    ] = 5.0,
    queue: Annotated[
        int,
        typer.Option(min=1, rich_help_panel=LIMITS, help="Largest number of pending photos; beyond it, answer 503."),
    ] = 128,
    rate: Annotated[
        float,
        typer.Option(min=0.001, rich_help_panel=LIMITS, help="Photos per second and client; beyond it, answer 429."),
    ] = 100.0,
    max_megabytes: Annotated[
        float, typer.Option(min=0.001, rich_help_panel=LIMITS, help="Largest request, MB; beyond it, answer 413.")
    ] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, rich_help_panel=LIMITS, help="Largest photo, megapixels; beyond it, review.")
    ] = 100.0,
    expert: EXPERT = "",
    reasoner: REASONER = "",
    tokens: THINK_TOKENS = None,
    steps: THINK_STEPS = None,
    min_entropy: MIN_ENTROPY = None,
    knowledge: KNOWLEDGE = "",
) -> None:
    """Serve verdicts over HTTP: POST /predict, GET /healthz, GET /metrics (Prometheus)."""
    require_extra("fastapi", "uvicorn", "prometheus_client", "python_multipart", extra="serve")
    from logicls.plugins.selection import PluginOptions
    from logicls.serve.server import Address
    from logicls.serve.server import serve as run_server
    from logicls.serve.uploads import Limits

    selection = PluginOptions(expert, reasoner, knowledge, tokens, steps, min_entropy).resolve(bundle)
    silence_progress_bars()
    limits = Limits(
        batch, wait / 1000, queue, rate, max_bytes=int(max_megabytes * 1e6), max_pixels=int(max_megapixels * 1e6)
    )
    run_server(bundle, Address(host, port), limits, token, plugin_factory=selection.build, report=print_line)
