"""The command that serves, and the parts of `predict` that are done elsewhere: by a server, by many machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from logicls.cli import options as cli_extras
from logicls.errors import LogiClsError, Problem
from logicls.models.box_formats import BoxFamily
from logicls.plugins.selection import PluginOptions, PluginSelection
from logicls.predict.endpoint.prompts import PromptMode, PromptOptions
from logicls.predict.plugin_protocols import PluginManifest

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.predict.folder.runner import InspectPhotos

console = Console()
API_KEY_VARIABLE = "LOGICLS_API_KEY"
"""Environment variable with the key that an endpoint asks for: on the command line others would see it."""
ENDPOINT = Annotated[str, typer.Option(help="Address of a server that speaks OpenAI's API, whose model is asked.")]
MODEL = Annotated[str, typer.Option(help="Name of the server's model; its only one if left out.")]
ANSWER_FORMAT = Annotated[
    PromptMode | None,
    typer.Option(help="How the server is asked; lines for the bundle of a hub model, json otherwise."),
]
BOX_FORMAT = Annotated[
    BoxFamily | None, typer.Option(help="How the server's model writes boxes; by its name if left out.")
]
RAY = Annotated[
    str, typer.Option(help="Address of a Ray cluster that does the work; auto: the one that is here; local: its own.")
]


@dataclass(frozen=True, slots=True)
class RemoteExecution:
    """Who does the work, where that is not this process; as options say it."""

    endpoint: str = ""
    model: str = ""
    answer_format: PromptMode | None = None
    box_format: BoxFamily | None = None
    ray: str = ""

    def check(self, *, watch: bool, has_plugins: bool = False) -> None:
        """Options that make no sense together are an error (LC680), and none of them is passed over."""
        places = [name for name in ("endpoint", "ray") if getattr(self, name)]
        if len(places) > 1 or (places and watch):
            pair = f"--{places[0]} and {'--watch' if watch else '--ray'}"
            raise _options_error(f"{pair} exclude each other.", "Leave one out.")
        if self.endpoint and has_plugins:
            advice = "Leave out --endpoint, or --expert, --reasoner and --knowledge."
            raise _options_error("--endpoint has no room for plug-ins.", advice)
        for name in ("model", "ask", "boxes"):
            if getattr(self, name) and not self.endpoint:
                raise _options_error(f"--{name} is about a server.", "Add --endpoint, or leave it out.")

    def drop_plugins(self, selection: PluginSelection) -> PluginSelection:
        """What is plugged in where the work is done; says so where the bundle's own plug-ins are left out."""
        if not self.endpoint or not selection:
            return selection
        _print_line("--endpoint has no room for what the bundle has plugged in: it is left out")
        return PluginSelection()

    @contextmanager
    def open_bundle(
        self,
        bundle: Path,
        images: Path,
        batch: int,
        workers: int,
        *,
        selection: PluginSelection = PluginSelection(),  # noqa: B008  frozen
    ) -> Iterator[tuple[Bundle, InspectPhotos | None]]:
        """The bundle, and what inspects photos; None where its own model does, here."""
        if self.endpoint:
            with self._open_endpoint(bundle, images, batch, workers) as opened:
                yield opened
        elif self.ray:
            with self._open_cluster(bundle, images, batch, selection) as opened:
                yield opened
        else:
            from logicls.predict.self_test import open_bundle

            yield open_bundle(bundle), None

    @contextmanager
    def _open_endpoint(
        self, bundle: Path, images: Path, batch: int, workers: int
    ) -> Iterator[tuple[Bundle, InspectPhotos]]:
        from logicls.cli.environment import require_extra

        require_extra("httpx2", extra="endpoint")
        from logicls.predict.endpoint.client import Endpoint
        from logicls.predict.endpoint.reader import open_endpoint_reader
        from logicls.predict.folder.runner import inspect_with_reader

        endpoint, wish = (
            Endpoint(self.endpoint, self.model, os.environ.get(API_KEY_VARIABLE, "")),
            PromptOptions(self.answer_format, self.box_format),
        )
        with open_endpoint_reader(bundle, endpoint, wish, _print_line) as reader:
            yield reader.bundle, inspect_with_reader(reader, images, batch, workers)

    @contextmanager
    def _open_cluster(
        self, bundle: Path, images: Path, batch: int, selection: PluginSelection
    ) -> Iterator[tuple[Bundle, InspectPhotos]]:
        from logicls.cli.environment import require_extra

        require_extra("ray", extra="ray")
        from logicls.models.bundle import load_bundle_without_model
        from logicls.predict.folder.ray_cluster import inspect_on_cluster, connect_cluster

        outline = load_bundle_without_model(bundle)
        made, plugged = (selection.build, selection.describe(bundle)) if selection else (None, PluginManifest())
        with connect_cluster(self.ray) as workers:
            yield outline, inspect_on_cluster(workers, outline, images, batch, make_plugins=made, manifest=plugged)


def _options_error(message: str, advice: str) -> LogiClsError:
    return LogiClsError(Problem("LC680", message, advice=advice))


def _print_line(line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def serve(
    bundle: Annotated[Path, typer.Argument(help="What `logicls train` wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token: Annotated[
        str, typer.Option(envvar="LOGICLS_TOKEN", help="What clients must send as a bearer token.", show_default=False)
    ] = "",
    batch: Annotated[int, typer.Option(min=1, help="Photos that are looked at together, at most.")] = 16,
    wait: Annotated[float, typer.Option(min=0, help="Milliseconds that a photo waits for others.")] = 5.0,
    queue: Annotated[int, typer.Option(min=1, help="Photos taken and not answered yet, at most.")] = 128,
    rate: Annotated[float, typer.Option(min=0.001, help="Photos a second from one address.")] = 100.0,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Size of a request.")] = 20.0,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Size of a photo.")] = 100.0,
    expert: cli_extras.EXPERT = "",
    reasoner: cli_extras.REASONER = "",
    tokens: cli_extras.THINK_TOKENS = None,
    steps: cli_extras.THINK_STEPS = None,
    min_entropy: cli_extras.MIN_ENTROPY = None,
    knowledge: cli_extras.KNOWLEDGE = "",
) -> None:
    """Serve verdicts over HTTP: POST /predict, GET /healthz, GET /metrics."""
    from logicls.cli.environment import require_extra
    from logicls.cli.train import silence_progress_bars
    from logicls.serve.uploads import Limits

    require_extra("fastapi", "uvicorn", "prometheus_client", "python_multipart", extra="serve")
    from logicls.serve.server import Address
    from logicls.serve.server import serve as run

    selection = PluginOptions(expert, reasoner, knowledge, tokens, steps, min_entropy).resolve(bundle)
    silence_progress_bars()
    limits = Limits(
        batch, wait / 1000, queue, rate, max_bytes=int(max_megabytes * 1e6), max_pixels=int(max_megapixels * 1e6)
    )  # fmt: skip
    run(bundle, Address(host, port), limits, token, plugin_factory=selection.build, report=_print_line)
