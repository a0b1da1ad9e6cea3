"""Several processes train one model: each learns its share of every batch, and they share what they found out.

They are started here, on this machine, or by `torchrun`, on one or many. The one that was started by hand, or that
`torchrun` numbers 0, writes the files; all others are silent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, but not named in its module

from logicls.errors import DataError, LogiClsError, Problem
from logicls.io.processes import exit_with_parent

LOCALHOST = "127.0.0.1"
ItemT = TypeVar("Found")
Work = Callable[..., object]
"""What each process does, and then waits for the others; it is given its `rank`. It travels to processes: made of
functions of modules, and settings."""


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """Which of how many processes this one is."""

    index: int = 0
    world_size: int = 1
    local_world_size: int = 1
    """How many of them are on this machine."""

    @property
    def is_first(self) -> bool:
        """True for the one that writes and talks."""
        return self.index == 0

    def shard(self, items: Sequence[ItemT]) -> Sequence[ItemT]:
        """The share of this process of what all of them do together."""
        return items[self.index :: self.world_size]

    def all_gather(self, item: ItemT) -> list[ItemT]:
        """What each process has found, in their order."""
        if self.world_size == 1:
            return [item]
        items: list[Any] = [None] * self.world_size
        distributed.all_gather_object(items, item)
        return items

    def broadcast(self, item: ItemT) -> ItemT:
        """What the first process says."""
        return self.all_gather(item)[0]

    def barrier(self) -> None:
        """Until all are here."""
        if self.world_size > 1:
            distributed.barrier()


SINGLE_PROCESS = ProcessRank()


class ExternalProcesses(ClusterEnvironment):
    """Tells Lightning of processes that are there already, and talk to one another."""

    def __init__(self, rank: ProcessRank) -> None:
        self.rank = rank

    creates_processes_externally = True
    main_address = LOCALHOST
    main_port = 0

    @staticmethod
    def detect() -> bool:
        """Never by itself."""
        return False

    def world_size(self) -> int:
        """How many processes."""
        return self.rank.world_size

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """Number of this one."""
        return self.rank.index

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """Its number on this machine."""
        return self.rank.index % self.rank.local_world_size

    def node_rank(self) -> int:
        """Number of this machine."""
        return self.rank.index // self.rank.local_world_size


def read_torchrun_rank() -> ProcessRank | None:
    """Which process of `torchrun` this one is; None where it was started otherwise."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    index, world_size, local_world_size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return ProcessRank(index, world_size, local_world_size)


@contextmanager
def launch_processes(processes: int, work: Work) -> Iterator[ProcessRank]:
    """Processes that do `work` beside this one, so that there are so many; those of `torchrun` where it started this.

    Each has its share of the cores. They end with the block, and with this process however it ends.

    Raises:
        DataError: One of them died (LC415).
    """
    rank = read_torchrun_rank()
    if rank is not None and rank.world_size > 1:
        distributed.init_process_group("gloo")
        with _destroy_group():
            yield rank
        return
    if processes == 1:
        yield SINGLE_PROCESS
        return
    threads = torch.get_num_threads()
    share = max(threads // processes, 1)
    store = TCPStore(LOCALHOST, 0, processes, is_master=True, wait_for_workers=False)
    others = [
        _start_process(ProcessRank(index, processes, processes), store.port, share, work)
        for index in range(1, processes)
    ]
    torch.set_num_threads(share)
    try:
        distributed.init_process_group("gloo", store=store, rank=0, world_size=processes)
        with _destroy_group():
            yield ProcessRank(0, processes, processes)
    except RuntimeError as error:
        failure = _find_failure(others)
        if failure is None:
            raise
        raise failure from error
    finally:
        torch.set_num_threads(threads)
        for other in others:
            other.terminate()
            other.join()


@contextmanager
def _destroy_group() -> Iterator[None]:
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _start_process(rank: ProcessRank, port: int, threads: int, work: Work) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=_run_process, args=(rank, port, threads, work))
    process.start()
    return process


def _run_process(rank: ProcessRank, port: int, threads: int, work: Work) -> None:
    """In a process that was started: do the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends this one
    exit_with_parent()
    torch.set_num_threads(threads)
    store = TCPStore(LOCALHOST, port, rank.world_size, is_master=False, timeout=timedelta(minutes=5))
    distributed.init_process_group("gloo", store=store, rank=rank.index, world_size=rank.world_size)
    with _destroy_group():
        work(rank=rank)
        rank.barrier()


def _find_failure(others: Sequence[Any]) -> LogiClsError | None:
    """The error of a process that ended before its time; None where all are still at work."""
    for other in others:
        other.join(1)
    codes = [other.exitcode for other in others if other.exitcode]
    if not codes:
        return None
    message = f"a process that trains died (exit code {codes[0]}); most likely the memory was used up."
    advice = "Use fewer processes; then go on with --resume."
    return DataError(Problem("LC415", message, advice=advice))
