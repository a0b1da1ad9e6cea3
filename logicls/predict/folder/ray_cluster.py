"""Inspection of a folder by Ray on several machines or GPUs: the same verdicts in the same order as in one process.

Every machine has LogiCls installed, and folder and bundle under the same path. A task is a batch of photos, the same
photos as in one process, so that not even rounding differs. Only the starting process writes verdicts, so that an
interrupted run continues like any other.

Source: Ray 2.60, "Ray Data: transforming data", "stateful transforms".
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logicls.errors import DataError, LogiClsError, Problem
from logicls.models.bundle import Bundle
from logicls.predict.folder.runner import InspectPhotos, iterate_batches
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import PluginManifest, Plugins
from logicls.predict.readers import make_reader
from logicls.predict.self_test import open_bundle
from logicls.predict.serialization import verdict_from_json, verdict_to_json
from logicls.records import Verdict

LOCAL_ADDRESS = "local"
"""Address that starts a local Ray instance, which ends with the run."""
OBJECT_STORE_BYTES = 200_000_000
"""Size of the object store of a local instance: it holds names and verdicts, no photos."""
MAX_BLOCKS = 5000
"""Maximum number of blocks of a folder."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Connection to a Ray cluster, and its resources."""

    ray: Any
    """Module `ray`."""
    cpus: int
    gpus: int


@contextmanager
def connect_cluster(address: str, cpus: int | None = None) -> Iterator[RayCluster]:
    """Connect to Ray at an address: `local`, `auto`, or that of a head node. `cpus` applies to `local` only.

    Usage statistics and the dashboard are off.

    Raises:
        DataError: There is no Ray cluster at the address (LC678).
    """
    _check_reachable(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    settings = (
        {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
        if address == LOCAL_ADDRESS
        else {}
    )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **settings)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _error("LC678", f"there is no Ray cluster: {reason}", address) from error
    try:
        resources = ray.cluster_resources()
        yield RayCluster(ray, int(resources.get("CPU", 1)), int(resources.get("GPU", 0)))
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check that the port is open, because Ray itself waits for minutes. Raises `DataError` (LC678)."""
    match = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _error("LC678", f"there is no Ray cluster: {reason}.", address) from error


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Setup of a worker: paths of bundle and photos, which it opens itself, and its plug-ins."""

    bundle: str
    photos: str
    bundle_id: str
    """Expected id of the bundle."""
    make_plugins: Callable[[Bundle], Plugins] | None = None
    """Factory of the plug-ins, which is pickled and sent to the workers; None without plug-ins."""
    manifest: PluginManifest = PluginManifest()  # noqa: RUF009  frozen
    """Expected plug-ins."""


def inspect_on_cluster(
    cluster: RayCluster,
    bundle: Bundle,
    photos: Path,
    batch: int,
    *,
    make_plugins: Callable[[Bundle], Plugins] | None = None,
    manifest: PluginManifest = PluginManifest(),  # noqa: B008  frozen
) -> InspectPhotos:
    """Return a function that inspects photos on a cluster, with one worker per GPU, or per core without GPUs.

    GPUs are used for hub models only: nano is as fast without. `make_plugins` makes the plug-ins of each worker, which
    must be those of the `manifest`.
    """
    setup = WorkerSetup(str(bundle.path.resolve()), str(photos.resolve()), bundle.id, make_plugins, manifest)

    def inspect(names: Iterable[str]) -> Generator[list[Verdict], None, None]:
        # JSON, because Arrow has no strings for names that are not UTF-8.
        tasks = [{"names": json.dumps(chunk)} for chunk in iterate_batches(names, batch)]
        if tasks:
            yield from _map_batches(cluster, bundle, setup, tasks)

    return inspect


def _map_batches(
    cluster: RayCluster, bundle: Bundle, setup: WorkerSetup, tasks: list[dict[str, str]]
) -> Generator[list[Verdict], None, None]:
    data = cluster.ray.data
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    gpus = cluster.gpus if bundle.hub is not None else 0
    actors = min(gpus or cluster.cpus, len(tasks))
    done = data.from_items(tasks, override_num_blocks=min(len(tasks), MAX_BLOCKS)).map(
        BatchWorker, fn_constructor_args=(setup,),
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=0 if gpus else 1, num_gpus=1 if gpus else None,
    )  # fmt: skip
    for row in done.iter_rows():
        if row["error"]:
            raise _error("LC679", row["error"], "--ray")
        yield [verdict_from_json(record) for record in json.loads(row["verdicts"])]


class BatchWorker:
    """Worker process of the cluster: it opens the bundle once, and inspects batches."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._error, self._inspector = "", None
        try:
            self._inspector = _make_inspector(setup)
        except LogiClsError as error:
            reason = "; ".join(f"{problem.file}: {problem.message}" for problem in error.problems)
            self._error = f"{socket.gethostname()} cannot start its worker: {reason}"

    def __call__(self, task: Mapping[str, str]) -> dict[str, str]:
        """Return the verdicts of a batch, or the error of this machine."""
        if self._inspector is None:
            return {"verdicts": "[]", "error": self._error}
        try:
            verdicts = self._inspector.inspect([*self._inspector.load(json.loads(task["names"]))])
        except LogiClsError as error:
            reason = "; ".join(problem.message for problem in error.problems)
            return {"verdicts": "[]", "error": f"{socket.gethostname()} cannot inspect photos: {reason}"}
        return {"verdicts": json.dumps([verdict_to_json(verdict) for verdict in verdicts]), "error": ""}


def _make_inspector(setup: WorkerSetup) -> BatchInspector:
    """Make the inspector of this machine. Raises `LogiClsError` if bundle, photos or plug-ins are not as expected."""
    opened = open_bundle(Path(setup.bundle))
    if opened.id != setup.bundle_id:
        raise DataError(Problem("LC679", f"its bundle is {opened.id}, not {setup.bundle_id}", setup.bundle))
    if not Path(setup.photos).is_dir():
        raise DataError(Problem("LC679", "there is no such folder", setup.photos))
    plugins = setup.make_plugins(opened) if setup.make_plugins else Plugins()
    for plugin, expected in zip(plugins.manifest.plugins, setup.manifest.plugins, strict=True):
        if plugin != expected:
            raise DataError(Problem("LC679", f"it has {plugin.to_text()}, not {expected.to_text()}", setup.bundle))
    return BatchInspector(make_reader(opened, plugins.retriever), Path(setup.photos), 0, plugins)


_ADVICE = {
    "LC678": "Start one with `ray start --head`, or use --ray local.",
    "LC679": "Install LogiCls there, with photos and bundle under the same path on every machine.",
}


def _error(code: str, message: str, location: str) -> DataError:
    return DataError(Problem(code, f"{message.rstrip('.')}.", location, advice=_ADVICE[code]))
