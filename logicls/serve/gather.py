"""Requests that come at the same time are looked at together.

One thread has the model. While it works, photos gather; a photo that comes alone waits a few milliseconds for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


@dataclass(slots=True)
class _Waiting(Generic[Asked, Told]):
    asked: Asked
    told: asyncio.Future[Told]


@dataclass(slots=True)
class Gatherer(Generic[Asked, Told]):
    """Hands what was asked to `work` in batches, in the order in which it came, and each its own answer back."""

    work: Callable[[Sequence[Asked]], Sequence[Told]]
    """Runs in a thread of its own; gives as many answers as it is asked."""
    batch: int
    wait: float
    """Seconds."""
    _waiting: asyncio.Queue[_Waiting[Asked, Told] | None] = field(default_factory=asyncio.Queue)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"))

    async def ask(self, asked: Asked) -> Told:
        """The answer; raises what `work` raised for the batch that it was in."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Waiting(asked, told))
        return await told

    async def run(self) -> None:
        """Answer until `end` is called, then what is left."""
        try:
            while (first := await self._waiting.get()) is not None:
                gathered, ended = await self._gathered(first)
                await self._answer(gathered)
                if ended:
                    break
        finally:
            self._thread.shutdown()

    def end(self) -> None:
        """Nothing is asked any more; what was asked is answered."""
        self._waiting.put_nowait(None)

    async def _gathered(self, first: _Waiting[Asked, Told]) -> tuple[list[_Waiting[Asked, Told]], bool]:
        """A batch, and whether it is the last one."""
        gathered = [first]
        if self._drained(gathered):
            return gathered, True
        if len(gathered) < self.batch:
            await asyncio.sleep(self.wait)
        return gathered, self._drained(gathered)

    def _drained(self, gathered: list[_Waiting[Asked, Told]]) -> bool:
        """Add what is there until the batch is full; True where nothing follows any more."""
        while len(gathered) < self.batch and not self._waiting.empty():
            following = self._waiting.get_nowait()
            if following is None:
                return True
            gathered.append(following)
        return False

    async def _answer(self, gathered: Sequence[_Waiting[Asked, Told]]) -> None:
        wanted = [one for one in gathered if not one.told.done()]  # whoever went away waits no longer
        if not wanted:
            return
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self.work, [one.asked for one in wanted])
        except Exception as error:
            for one in wanted:
                if not one.told.done():
                    one.told.set_exception(error)
            return
        for one, answer in zip(wanted, answers, strict=True):
            if not one.told.done():
                one.told.set_result(answer)
