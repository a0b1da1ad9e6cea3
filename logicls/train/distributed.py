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
from logicls.io.processes import end_with_parent

HERE = "127.0.0.1"
Found = TypeVar("Found")
Work = Callable[..., object]
"""What each process does, and then waits for the others; it is given its `rank`. It travels to processes: made of
functions of modules, and settings."""


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of how many processes this one is."""

    number: int = 0
    of: int = 1
    near: int = 1
    """How many of them are on this machine."""

    @property
    def is_first(self) -> bool:
        """True for the one that writes and talks."""
        return self.number == 0

    def mine(self, things: Sequence[Found]) -> Sequence[Found]:
        """The share of this process of what all of them do together."""
        return things[self.number :: self.of]

    def all_of(self, part: Found) -> list[Found]:
        """What each process has found, in their order."""
        if self.of == 1:
            return [part]
        parts: list[Any] = [None] * self.of
        distributed.all_gather_object(parts, part)
        return parts

    def agreed(self, thing: Found) -> Found:
        """What the first process says."""
        return self.all_of(thing)[0]

    def wait(self) -> None:
        """Until all are here."""
        if self.of > 1:
            distributed.barrier()


ALONE = Rank()


class Known(ClusterEnvironment):
    """Tells Lightning of processes that are there already, and talk to one another."""

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    creates_processes_externally = True
    main_address = HERE
    main_port = 0

    @staticmethod
    def detect() -> bool:
        """Never by itself."""
        return False

    def world_size(self) -> int:
        """How many processes."""
        return self.rank.of

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """Number of this one."""
        return self.rank.number

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """Its number on this machine."""
        return self.rank.number % self.rank.near

    def node_rank(self) -> int:
        """Number of this machine."""
        return self.rank.number // self.rank.near


def launched() -> Rank | None:
    """Which process of `torchrun` this one is; None where it was started otherwise."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    number, of, near = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Rank(number, of, near)


@contextmanager
def together(processes: int, work: Work) -> Iterator[Rank]:
    """Processes that do `work` beside this one, so that there are so many; those of `torchrun` where it started this.

    Each has its share of the cores. They end with the block, and with this process however it ends.

    Raises:
        DataError: One of them died (LC415).
    """
    rank = launched()
    if rank is not None and rank.of > 1:
        distributed.init_process_group("gloo")
        with _ended():
            yield rank
        return
    if processes == 1:
        yield ALONE
        return
    threads = torch.get_num_threads()
    share = max(threads // processes, 1)
    store = TCPStore(HERE, 0, processes, is_master=True, wait_for_workers=False)
    others = [_started(Rank(number, processes, processes), store.port, share, work) for number in range(1, processes)]
    torch.set_num_threads(share)
    try:
        distributed.init_process_group("gloo", store=store, rank=0, world_size=processes)
        with _ended():
            yield Rank(0, processes, processes)
    except RuntimeError as error:
        died = _died(others)
        if died is None:
            raise
        raise died from error
    finally:
        torch.set_num_threads(threads)
        for other in others:
            other.terminate()
            other.join()


@contextmanager
def _ended() -> Iterator[None]:
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _started(rank: Rank, port: int, threads: int, work: Work) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=_follow, args=(rank, port, threads, work))
    process.start()
    return process


def _follow(rank: Rank, port: int, threads: int, work: Work) -> None:
    """In a process that was started: do the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends this one
    end_with_parent()
    torch.set_num_threads(threads)
    store = TCPStore(HERE, port, rank.of, is_master=False, timeout=timedelta(minutes=5))
    distributed.init_process_group("gloo", store=store, rank=rank.number, world_size=rank.of)
    with _ended():
        work(rank=rank)
        rank.wait()


def _died(others: Sequence[Any]) -> LogiClsError | None:
    """The error of a process that ended before its time; None where all are still at work."""
    for other in others:
        other.join(1)
    codes = [other.exitcode for other in others if other.exitcode]
    if not codes:
        return None
    message = f"a process that trains died (exit code {codes[0]}); most likely the memory was used up."
    advice = "Use fewer processes; then go on with --resume."
    return DataError(Problem("LC415", message, advice=advice))
