"""Photos of a folder, inspected by Ray on many machines or many GPUs: the same verdicts in the same order.

Every machine sees folder and bundle under the same path, and has LogiCls installed. A share is as many photos as are
looked at together, the same ones as in one process, so that not even rounding differs. Only the process that was
started writes verdicts, which is why a run that was ended goes on like any other.

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
from logicls.predict.readers.factory import make_reader
from logicls.predict.self_test import open_bundle
from logicls.predict.serialization import verdict_from_json, verdict_to_json
from logicls.records import Verdict

LOCAL_ADDRESS = "local"
"""The address that begins a Ray of this machine's own, which ends with the run."""
OBJECT_STORE_BYTES = 200_000_000
"""Bytes of memory that such a Ray shares between its processes: names and verdicts, never photos."""
MAX_BLOCKS = 5000
"""Tasks that a folder is divided into, at most."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """What Ray has to work with."""

    ray: Any
    """The library."""
    cpus: int
    gpus: int


@contextmanager
def connect_cluster(address: str, cpus: int | None = None) -> Iterator[RayCluster]:
    """Ray at that address: `local`, `auto`, or the address of a head node. `cpus` is for `local` alone.

    Nothing is reported to Ray's makers, and no dashboard is begun.

    Raises:
        DataError: There is no Ray at the address (LC678).
    """
    _check_reachable(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    own = (
        {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
        if address == LOCAL_ADDRESS
        else {}
    )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _error("LC678", f"there is no Ray cluster: {reason}", address) from error
    try:
        there = ray.cluster_resources()
        yield RayCluster(ray, int(there.get("CPU", 1)), int(there.get("GPU", 0)))
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself would wait for minutes for somebody to open."""
    found = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _error("LC678", f"there is no Ray cluster: {reason}.", address) from error


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What every machine is told: it opens the bundle and makes the plug-ins itself."""

    bundle: str
    photos: str
    bundle_id: str
    """The bundle's id."""
    make_plugins: Callable[[Bundle], Plugins] | None = None
    """Makes the plug-ins; it travels to the machines. None for none."""
    manifest: PluginManifest = PluginManifest()  # noqa: RUF009  frozen
    """What they must be."""


def inspect_on_cluster(
    cluster: RayCluster, bundle: Bundle, photos: Path, batch: int, *, make_plugins: Callable[[Bundle], Plugins] | None = None,
    manifest: PluginManifest = PluginManifest(),  # noqa: B008  frozen
) -> InspectPhotos:  # fmt: skip
    """Inspects photos by the machines of a cluster: one that has GPUs is given one each, others a core each.

    GPUs are for models of the hub: nano is as fast without. `made` makes the plug-ins on each of them, and `plugged`
    says which these are.
    """
    work = WorkerSetup(str(bundle.path.resolve()), str(photos.resolve()), bundle.id, make_plugins, manifest)

    def inspect(names: Iterable[str]) -> Generator[list[Verdict], None, None]:
        shares = [
            {"names": json.dumps(some)} for some in iterate_batches(names, batch)
        ]  # JSON has names that are no UTF-8
        if shares:
            yield from _map_batches(cluster, bundle, work, shares)

    return inspect


def _map_batches(
    cluster: RayCluster, bundle: Bundle, work: WorkerSetup, shares: list[dict[str, str]]
) -> Generator[list[Verdict], None, None]:
    data = cluster.ray.data
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    gpus = cluster.gpus if bundle.hub is not None else 0
    actors = min(gpus or cluster.cpus, len(shares))
    done = data.from_items(shares, override_num_blocks=min(len(shares), MAX_BLOCKS)).map(
        BatchWorker, fn_constructor_args=(work,),
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=0 if gpus else 1, num_gpus=1 if gpus else None,
    )  # fmt: skip
    for row in done.iter_rows():
        if row["trouble"]:
            raise _error("LC679", row["trouble"], "--ray")
        yield [verdict_from_json(record) for record in json.loads(row["verdicts"])]


class BatchWorker:
    """What one process of the cluster does: it opens the bundle once, and inspects what it is given."""

    def __init__(self, work: WorkerSetup) -> None:
        self._trouble, self._inspector = "", None
        try:
            self._inspector = _make_inspector(work)
        except LogiClsError as error:
            told = "; ".join(f"{problem.file}: {problem.message}" for problem in error.problems)
            self._trouble = f"{socket.gethostname()} cannot do its share: {told}"

    def __call__(self, share: Mapping[str, str]) -> dict[str, str]:
        """The verdicts of a share's photos, or what is wrong with this machine."""
        if self._inspector is None:
            return {"verdicts": "[]", "trouble": self._trouble}
        try:
            verdicts = self._inspector.inspect([*self._inspector.load(json.loads(share["names"]))])
        except LogiClsError as error:
            reason = "; ".join(problem.message for problem in error.problems)
            return {"verdicts": "[]", "trouble": f"{socket.gethostname()} cannot inspect photos: {reason}"}
        return {"verdicts": json.dumps([verdict_to_json(verdict) for verdict in verdicts]), "trouble": ""}


def _make_inspector(work: WorkerSetup) -> BatchInspector:
    """Here. Raises `LogiClsError` where this machine does not have what the others have."""
    opened = open_bundle(Path(work.bundle))
    if opened.id != work.bundle_id:
        raise DataError(Problem("LC679", f"its bundle is {opened.id}, not {work.bundle_id}", work.bundle))
    if not Path(work.photos).is_dir():
        raise DataError(Problem("LC679", "there is no such folder", work.photos))
    plugins = work.make_plugins(opened) if work.make_plugins else Plugins()
    for here, wanted in zip(plugins.manifest.plugins, work.manifest.plugins, strict=True):
        if here != wanted:
            raise DataError(Problem("LC679", f"it has {here.to_text()}, not {wanted.to_text()}", work.bundle))
    return BatchInspector(make_reader(opened, plugins.retriever), Path(work.photos), 0, plugins)


_ADVICE = {
    "LC678": "Begin one with `ray start --head`, or say --ray local.",
    "LC679": "Install LogiCls there, and let every machine see photos and bundle under the same path.",
}


def _error(code: str, message: str, place: str) -> DataError:
    return DataError(Problem(code, f"{message.rstrip('.')}.", place, advice=_ADVICE[code]))
