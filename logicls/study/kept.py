"""What a bundle has decided in a study, a line a decision: the same command goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from logicls import jsonl
from logicls.records import Outcome
from logicls.study.decisions import OUTCOMES


class Kept:
    """Decisions by photo and trial, and the file that more are added to."""

    def __init__(self, file: jsonl.Appender, study: str, known: Mapping[tuple[str, int], Outcome]) -> None:
        self._file, self._study, self._known = file, study, known

    def on(self, photos: Sequence[str], trial: int) -> Mapping[str, Outcome] | None:
        """What was decided on these photos in a trial; None where one of them is missing."""
        found = {name: self._known[name, trial] for name in photos if (name, trial) in self._known}
        return found if len(found) == len(photos) else None

    def add(self, outcomes: Mapping[str, Outcome], trial: int) -> None:
        """Write down those that are new. Raises `DataError` (LC253)."""
        for name, outcome in outcomes.items():
            if (name, trial) not in self._known:
                self._file.append({"study": self._study, "photo": name, "trial": trial, "decision": outcome})


@contextmanager
def kept(path: Path, made_of: Mapping[str, object]) -> Iterator[Kept]:
    """The decisions in a file that were made of the same things; those made of others stay, and count for nothing.

    Raises:
        DataError: Another run writes to it (LC606), it cannot be written (LC253), or a line is broken (LC250).
    """
    study = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
    with jsonl.Appender(path) as file:
        known: dict[tuple[str, int], Outcome] = {}
        for line in jsonl.read(path):
            photo, trial, decision = (line.get(key) for key in ("photo", "trial", "decision"))
            if line.get("study") == study and isinstance(photo, str) and isinstance(trial, int):
                known.update(((photo, trial), outcome) for outcome in OUTCOMES if outcome == decision)
        yield Kept(file, study, known)
        file.force()
