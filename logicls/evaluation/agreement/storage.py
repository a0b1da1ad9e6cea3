"""What a bundle has decided in a study, a line a decision: the same command goes on from there.

study.json: the figures of a study for scripts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from logicls.evaluation.agreement.decisions import OUTCOMES
from logicls.evaluation.agreement.statistics import (
    EFFECTIVENESS,
    FALSE_ALARM,
    MISS,
    Appraisal,
    Kappa,
    DecisionRate,
    AgreementStudy,
    grade_value,
)
from logicls.evaluation.intervals import Rate
from logicls.io import jsonl
from logicls.records import Outcome


class DecisionLog:
    """Decisions by photo and trial, and the file that more are added to."""

    def __init__(self, file: jsonl.Appender, study: str, known: Mapping[tuple[str, int], Outcome]) -> None:
        self._file, self._study, self._known = file, study, known

    def find(self, photos: Sequence[str], trial: int) -> Mapping[str, Outcome] | None:
        """What was decided on these photos in a trial; None where one of them is missing."""
        found = {name: self._known[name, trial] for name in photos if (name, trial) in self._known}
        return found if len(found) == len(photos) else None

    def add(self, outcomes: Mapping[str, Outcome], trial: int) -> None:
        """Write down those that are new. Raises `DataError` (LC253)."""
        for name, outcome in outcomes.items():
            if (name, trial) not in self._known:
                self._file.append({"study": self._study, "photo": name, "trial": trial, "decision": outcome})


@contextmanager
def open_decision_log(path: Path, settings: Mapping[str, object]) -> Iterator[DecisionLog]:
    """The decisions in a file that were made of the same things; those made of others stay, and count for nothing.

    Raises:
        DataError: Another run writes to it (LC606), it cannot be written (LC253), or a line is broken (LC250).
    """
    study = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    with jsonl.Appender(path) as file:
        known: dict[tuple[str, int], Outcome] = {}
        for line in jsonl.read_records(path):
            photo, trial, decision = (line.get(key) for key in ("photo", "trial", "decision"))
            if line.get("study") == study and isinstance(photo, str) and isinstance(trial, int):
                known.update(((photo, trial), outcome) for outcome in OUTCOMES if outcome == decision)
        yield DecisionLog(file, study, known)
        file.sync()


def study_to_json(found: AgreementStudy) -> dict[str, object]:
    """Shares 0 to 1, null where undefined."""
    board: dict[str, object] = {"n": found.photos, "bad": found.defective}
    board["inspectors"] = {one.name: _appraisal(one) for one in found.appraisals}
    board["between"] = {
        **_share("agreement", found.between),
        **_share("effectiveness", found.between_standard),
        **_kappa("kappa", found.between_kappa),
        "pairs": [{"inspectors": [one, other], **_kappa("kappa", kappa)} for one, other, kappa in found.pairs],
    }
    limits = {"effectiveness": EFFECTIVENESS, "miss_rate": MISS, "false_alarm_rate": FALSE_ALARM}
    board["guidance"] = {name: {"acceptable": a, "marginal": b} for name, (a, b) in limits.items()}
    return board


def _appraisal(one: Appraisal) -> dict[str, object]:
    grades = {
        "effectiveness": grade_value(one.effectiveness.value, EFFECTIVENESS),
        "miss_rate": grade_value(one.miss_rate.value, MISS),
        "false_alarm_rate": grade_value(one.false_alarm_rate.value, FALSE_ALARM),
    }
    return {
        "trials": one.trials,
        **_share("within", one.within),
        **_kappa("within_kappa", one.within_kappa),
        **_share("effectiveness", one.effectiveness),
        **_share("effectiveness_without_review", one.effectiveness_without_review),
        **_kappa("kappa", one.kappa),
        **_share("miss_rate", one.miss_rate),
        **_share("false_alarm_rate", one.false_alarm_rate),
        **_share("review_rate", one.review_rate),
        "grades": grades,
    }


def _share(name: str, rate: Rate | DecisionRate | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _kappa(name: str, kappa: Kappa | None) -> dict[str, object]:
    ci95 = kappa.ci95 if kappa else None
    return {name: kappa.value if kappa else None, f"{name}_ci95": list(ci95) if ci95 else None}
