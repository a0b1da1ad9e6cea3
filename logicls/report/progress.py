"""Progress that people can read: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY = 20.0
"""Seconds between two plain lines."""


class Counter:
    """Counts up to a total and tells how far it is; `note` is shown beside the count."""

    def __init__(self, name: str, total: int, console: Console, bar: Progress | None) -> None:
        self.name, self.total, self.console, self.bar = name, total, console, bar
        self.task = bar.add_task(name, total=total, note="") if bar else None
        self.count, self.first = 0, 0
        self.began = self.said = time.monotonic()

    def add(self, more: int, note: str = "") -> None:
        """So many more are done; the first call may tell what an earlier run had done."""
        self.to(self.count + more, note)

    def to(self, count: int, note: str = "") -> None:
        """So many are done in all."""
        self.count = min(count, self.total)
        self.first = self.first or self.count
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=self.count, note=note)
        elif time.monotonic() - self.said > EVERY:
            self.said = time.monotonic()
            self.console.print(f"{self.name}: {self.count} of {self.total}{self._left()} {note}".rstrip())

    def _left(self) -> str:
        done = self.count - self.first
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self.began) / done * (self.total - self.count)
        return f", {int(seconds // 60)}:{int(seconds % 60):02d} left"


@contextmanager
def counting(name: str, total: int, console: Console) -> Iterator[Counter]:
    """A counter for one stage; says how long it took at the end."""
    began = time.monotonic()
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=console, transient=True) as bar:
            yield Counter(name, total, console, bar)
    else:
        console.print(f"{name}: {total} to do")
        yield Counter(name, total, console, None)
    console.print(f"{name}: {total} done in {time.monotonic() - began:.0f} s")


@contextmanager
def stages(console: Console) -> Iterator[Callable[[str, int], Counter]]:
    """Counters for stages that follow one another: beginning one, by its name and total, ends the one before."""
    with ExitStack() as shown:

        def begin(name: str, total: int) -> Counter:
            shown.close()
            return shown.enter_context(counting(name, total, console))

        yield begin
