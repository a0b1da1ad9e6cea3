"""Data-parallel training: several processes train one model, each on its share of every batch.

Processes are started here, on this machine, or by `torchrun`, on one or more machines. The process with index 0 writes
files and messages; the others are silent.
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
ItemT = TypeVar("ItemT")
Work = Callable[..., object]
"""Function that each process calls with its `rank`. It is pickled: a function of a module, with settings bound to it.
"""


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """Position of this process among those that train together (torch.distributed: rank, world size)."""

    index: int = 0
    """Rank of this process, from 0."""
    world_size: int = 1
    """Number of processes."""
    local_world_size: int = 1
    """Number of processes on this machine."""

    @property
    def is_first(self) -> bool:
        """True for the process that writes files and messages."""
        return self.index == 0

    def shard(self, items: Sequence[ItemT]) -> Sequence[ItemT]:
        """Return this process's share of the items: every `world_size`-th, from `index` on."""
        return items[self.index :: self.world_size]

    def all_gather(self, item: ItemT) -> list[ItemT]:
        """Return the item of every process, in the order of their ranks."""
        if self.world_size == 1:
            return [item]
        items: list[Any] = [None] * self.world_size
        distributed.all_gather_object(items, item)
        return items

    def broadcast(self, item: ItemT) -> ItemT:
        """Return the item of the first process."""
        return self.all_gather(item)[0]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            distributed.barrier()


SINGLE_PROCESS = ProcessRank()
"""Rank of a process that trains alone."""


class ExternalProcesses(ClusterEnvironment):
    """Lightning cluster environment for processes that exist already and have joined a process group."""

    def __init__(self, rank: ProcessRank) -> None:
        self.rank = rank

    creates_processes_externally = True
    main_address = LOCALHOST
    main_port = 0

    @staticmethod
    def detect() -> bool:
        """Return False: the environment is always passed explicitly."""
        return False

    def world_size(self) -> int:
        """Return the number of processes."""
        return self.rank.world_size

    def set_world_size(self, size: int) -> None:
        """Do nothing: the number of processes is fixed."""

    def global_rank(self) -> int:
        """Return the rank of this process."""
        return self.rank.index

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: the rank is fixed."""

    def local_rank(self) -> int:
        """Return the rank of this process on its machine."""
        return self.rank.index % self.rank.local_world_size

    def node_rank(self) -> int:
        """Return the number of this machine."""
        return self.rank.index // self.rank.local_world_size


def read_torchrun_rank() -> ProcessRank | None:
    """Read the rank that `torchrun` set in the environment; None where it did not start this process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    index, world_size, local_world_size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return ProcessRank(index, world_size, local_world_size)


@contextmanager
def launch_processes(processes: int, work: Work) -> Iterator[ProcessRank]:
    """Start processes that call `work`, `processes` with this one, and yield this one's rank.

    Under `torchrun` its processes are used. CPU cores are split evenly. The processes end with the block, and with this
    process, however it ends.

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
    """Destroy the process group at the end of the block."""
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _start_process(rank: ProcessRank, port: int, threads: int, work: Work) -> Any:
    """Start a process that calls `work` with `rank`."""
    process = multiprocessing.get_context("spawn").Process(target=_run_process, args=(rank, port, threads, work))
    process.start()
    return process


def _run_process(rank: ProcessRank, port: int, threads: int, work: Work) -> None:
    """Join the process group and call `work`; runs in the started process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends this one
    exit_with_parent()
    torch.set_num_threads(threads)
    store = TCPStore(LOCALHOST, port, rank.world_size, is_master=False, timeout=timedelta(minutes=5))
    distributed.init_process_group("gloo", store=store, rank=rank.index, world_size=rank.world_size)
    with _destroy_group():
        work(rank=rank)
        rank.barrier()


def _find_failure(others: Sequence[Any]) -> LogiClsError | None:
    """Return the error of a process that died; None where all still run."""
    for other in others:
        other.join(1)
    codes = [other.exitcode for other in others if other.exitcode]
    if not codes:
        return None
    message = f"a training process died (exit code {codes[0]}); most likely it ran out of memory."
    advice = "Use fewer processes, and continue with --resume."
    return DataError(Problem("LC415", message, advice=advice))
