"""Verdicts that are there already get other thresholds: nothing is read again, and the files change as a whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from logicls import jsonl
from logicls.predict.folder.batch import read_verdicts
from logicls.predict.record import verdict_to_json
from logicls.predict.sure.thresholds import Thresholds, settle
from logicls.predict.table import write_table

LINES = "verdicts.jsonl"


def settle_folder(folder: Path, thresholds: Thresholds, *, violations: tuple[str, ...]) -> Mapping[str, int]:
    """Settle every verdict of a folder anew; returns how many there are of each outcome.

    One verdict is in memory at a time. A run that is broken off leaves the old file. Raises `DataError`.
    """
    lines, outcomes = folder / LINES, Counter[str]()
    with jsonl.replacing(lines) as file:
        for verdict in read_verdicts(lines):
            settled = settle(verdict, thresholds)
            outcomes[settled.outcome] += 1
            plain = json.dumps(verdict_to_json(settled), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            file.write(plain + "\n")
    write_table(read_verdicts(lines), folder / "verdicts.csv", violations=violations)
    return outcomes
