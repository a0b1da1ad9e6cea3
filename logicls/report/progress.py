"""Progress of long tasks: a bar with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PRINT_INTERVAL = 20.0
"""Time between two plain lines, seconds."""


class ProgressCounter:
    """Counts completed items up to a total and displays the progress; `note` is displayed next to the count."""

    def __init__(self, name: str, total: int, console: Console, bar: Progress | None) -> None:
        self.name, self.total, self.console, self.bar = name, total, console, bar
        self.task = bar.add_task(name, total=total, note="") if bar else None
        self.count, self.resumed_count = 0, 0
        self.start_time = self.last_print = time.monotonic()

    def add(self, increment: int, note: str = "") -> None:
        """Add completed items; the first call may include those of an earlier run."""
        self.update(self.count + increment, note)

    def update(self, count: int, note: str = "") -> None:
        """Set the number of completed items."""
        self.count = min(count, self.total)
        self.resumed_count = self.resumed_count or self.count
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=self.count, note=note)
        elif time.monotonic() - self.last_print > PRINT_INTERVAL:
            self.last_print = time.monotonic()
            self.console.print(
                f"{self.name}: {self.count:,} of {self.total:,}{self._format_time_left()} {note}".rstrip()
            )

    def _format_time_left(self) -> str:
        completed = self.count - self.resumed_count
        if completed <= 0:
            return ""
        seconds = (time.monotonic() - self.start_time) / completed * (self.total - self.count)
        return f", {int(seconds // 60)}:{int(seconds % 60):02d} remaining"


@contextmanager
def show_progress(name: str, total: int, console: Console) -> Iterator[ProgressCounter]:
    """Yield a counter for one stage; print its duration at the end."""
    start = time.monotonic()
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("remaining"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=console, transient=True) as bar:
            yield ProgressCounter(name, total, console, bar)
    else:
        console.print(f"{name}: {total:,} to do")
        yield ProgressCounter(name, total, console, None)
    console.print(f"{name}: {total:,} done in {time.monotonic() - start:.0f} s")


@contextmanager
def show_stages(console: Console) -> Iterator[Callable[[str, int], ProgressCounter]]:
    """Yield a function that starts a stage, by name and total, and ends the previous stage."""
    with ExitStack() as stack:

        def begin_stage(name: str, total: int) -> ProgressCounter:
            stack.close()
            return stack.enter_context(show_progress(name, total, console))

        yield begin_stage
