"""Remote inspection: the model of an OpenAI-compatible server, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logicls.answer_format import PromptMode
from logicls.cli.environment import require_extra
from logicls.cli.options import REMOTE, print_line
from logicls.errors import LogiClsError, Problem
from logicls.models.box_formats import BoxFamily

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.plugins.selection import PluginSelection
    from logicls.predict.folder.runner import InspectPhotos

API_KEY_VARIABLE = "LOGICLS_API_KEY"
"""Environment variable with the API key of an endpoint; on the command line, other users could read it."""
ENDPOINT = Annotated[
    str,
    typer.Option(
        rich_help_panel=REMOTE,
        help="URL of an OpenAI-compatible server whose model answers the questions; API key in LOGICLS_API_KEY.",
    ),
]
MODEL = Annotated[
    str, typer.Option(rich_help_panel=REMOTE, help="With --endpoint: name of the model. Default: the only model.")
]
ANSWER_FORMAT = Annotated[
    PromptMode | None,
    typer.Option(
        rich_help_panel=REMOTE,
        help="With --endpoint: format of questions and answers. Default: lines for a model trained by LogiCls, "
        "else json.",
    ),
]
BOX_FORMAT = Annotated[
    BoxFamily | None,
    typer.Option(
        rich_help_panel=REMOTE,
        help="With --endpoint: box notation of the model family. Default: by the model's name.",
    ),
]
RAY = Annotated[
    str,
    typer.Option(
        rich_help_panel=REMOTE, help="Address of a Ray cluster; `auto`: the running cluster; `local`: start one here."
    ),
]


@dataclass(frozen=True, slots=True)
class RemoteExecution:
    """Options about inspection outside this process; empty or None where an option was not given."""

    endpoint: str = ""
    model: str = ""
    answer_format: PromptMode | None = None
    box_format: BoxFamily | None = None
    ray: str = ""

    def check(self, *, watch: bool, has_plugins: bool = False, has_spec: bool = False) -> None:
        """Check that the options are compatible. Raises `LogiClsError` (LC680)."""
        backends = [name for name in ("endpoint", "ray") if getattr(self, name)]
        if len(backends) > 1 or (backends and watch):
            pair = f"--{backends[0]} and {'--watch' if watch else '--ray'}"
            raise _options_error(f"{pair} exclude each other.", "Remove one of them.")
        if backends and has_spec:
            advice = "Change the bundle's rules with `logicls bundle update`, or pass the spec as BUNDLE to --endpoint."
            raise _options_error(f"--{backends[0]} and --spec exclude each other.", advice)
        if self.endpoint and has_plugins:
            advice = "Remove --endpoint, or --expert, --reasoner and --knowledge."
            raise _options_error("--endpoint does not support plug-ins.", advice)
        for name in ("model", "answer_format", "box_format"):
            if getattr(self, name) and not self.endpoint:
                message = f"--{name.replace('_', '-')} requires --endpoint."
                raise _options_error(message, "Add --endpoint, or remove the option.")

    def drop_plugins(self, selection: PluginSelection) -> PluginSelection:
        """Return the selection without plug-ins for an endpoint, and print that they are ignored."""
        from logicls.plugins.selection import PluginSelection

        if not self.endpoint or not selection:
            return selection
        print_line("--endpoint does not support plug-ins: the bundle's default plug-ins are ignored")
        return PluginSelection()

    @contextmanager
    def open_bundle(
        self,
        bundle: Path,
        images: Path,
        batch: int,
        workers: int,
        *,
        spec: Path | None = None,
        selection: PluginSelection | None = None,
    ) -> Iterator[tuple[Bundle, InspectPhotos | None]]:
        """Open the bundle; yield it with the function that inspects photos, None for its own model in this process.

        `spec`: file of other rules than those of the bundle, for its own model in this process.
        """
        if self.endpoint:
            with self._open_endpoint(bundle, images, batch, workers) as opened:
                yield opened
        elif self.ray:
            with self._open_cluster(bundle, images, batch, selection) as opened:
                yield opened
        else:
            from logicls.predict.self_test import open_bundle

            yield open_bundle(bundle, spec), None

    @contextmanager
    def _open_endpoint(
        self, bundle: Path, images: Path, batch: int, workers: int
    ) -> Iterator[tuple[Bundle, InspectPhotos]]:
        require_extra("httpx2", extra="endpoint")
        from logicls.predict.endpoint.client import Endpoint
        from logicls.predict.endpoint.prompts import PromptOptions
        from logicls.predict.endpoint.reader import open_endpoint_reader
        from logicls.predict.folder.runner import inspect_with_reader

        endpoint = Endpoint(self.endpoint, self.model, os.environ.get(API_KEY_VARIABLE, ""))
        options = PromptOptions(self.answer_format, self.box_format)
        with open_endpoint_reader(bundle, endpoint, options, print_line) as reader:
            yield reader.bundle, inspect_with_reader(reader, images, batch, workers)

    @contextmanager
    def _open_cluster(
        self, bundle: Path, images: Path, batch: int, selection: PluginSelection | None
    ) -> Iterator[tuple[Bundle, InspectPhotos]]:
        require_extra("ray", extra="ray")
        from logicls.models.bundle import load_bundle_without_model
        from logicls.predict.folder.ray_cluster import connect_cluster, inspect_on_cluster
        from logicls.predict.plugin_protocols import PluginManifest

        outline = load_bundle_without_model(bundle)
        make_plugins = selection.build if selection else None
        manifest = selection.describe(bundle) if selection else PluginManifest()
        with connect_cluster(self.ray) as cluster:
            inspect = inspect_on_cluster(cluster, outline, images, batch, make_plugins=make_plugins, manifest=manifest)
            yield outline, inspect


def _options_error(message: str, advice: str) -> LogiClsError:
    return LogiClsError(Problem("LC680", message, advice=advice))
