"""Files of an agreement study: the log of the bundle's decisions, which a rerun continues, and study.json."""

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
    AgreementStudy,
    Appraisal,
    DecisionRate,
    Kappa,
    grade_value,
)
from logicls.evaluation.intervals import Rate
from logicls.io import jsonl
from logicls.records import Outcome


class DecisionLog:
    """Decisions of a bundle by photo and trial, in a file that further decisions are appended to."""

    def __init__(self, file: jsonl.Appender, study_id: str, outcomes: Mapping[tuple[str, int], Outcome]) -> None:
        self._file, self._study_id, self._outcomes = file, study_id, outcomes

    def find(self, photos: Sequence[str], trial: int) -> Mapping[str, Outcome] | None:
        """Return the outcomes of these photos in a trial; None if one of them is missing."""
        outcomes = {name: self._outcomes[name, trial] for name in photos if (name, trial) in self._outcomes}
        return outcomes if len(outcomes) == len(photos) else None

    def add(self, outcomes: Mapping[str, Outcome], trial: int) -> None:
        """Append the new ones. Raises `DataError` (LC253)."""
        for name, outcome in outcomes.items():
            if (name, trial) not in self._outcomes:
                self._file.append({"study": self._study_id, "photo": name, "trial": trial, "decision": outcome})


@contextmanager
def open_decision_log(path: Path, settings: Mapping[str, object]) -> Iterator[DecisionLog]:
    """Open the log of decisions with these `settings`; decisions with other settings stay in the file, unused.

    Raises:
        DataError: Another run writes to the file (LC606), it cannot be written (LC253), or a line is invalid (LC250).
    """
    study_id = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    with jsonl.Appender(path) as file:
        outcomes: dict[tuple[str, int], Outcome] = {}
        for line in jsonl.read_records(path):
            photo, trial, decision = (line.get(key) for key in ("photo", "trial", "decision"))
            if line.get("study") == study_id and isinstance(photo, str) and isinstance(trial, int):
                outcomes.update(((photo, trial), outcome) for outcome in OUTCOMES if outcome == decision)
        yield DecisionLog(file, study_id, outcomes)
        file.sync()


def study_to_json(study: AgreementStudy) -> dict[str, object]:
    """Return the content of study.json: shares 0 to 1, null where undefined."""
    board: dict[str, object] = {"n": study.photos, "bad": study.defective}
    board["inspectors"] = {one.name: _appraisal_json(one) for one in study.appraisals}
    board["between"] = {
        **_rate_json("agreement", study.between),
        **_rate_json("effectiveness", study.between_standard),
        **_kappa_json("kappa", study.between_kappa),
        "pairs": [{"inspectors": [one, other], **_kappa_json("kappa", kappa)} for one, other, kappa in study.pairs],
    }
    limits = {"effectiveness": EFFECTIVENESS, "miss_rate": MISS, "false_alarm_rate": FALSE_ALARM}
    board["guidance"] = {name: {"acceptable": a, "marginal": b} for name, (a, b) in limits.items()}
    return board


def _appraisal_json(one: Appraisal) -> dict[str, object]:
    grades = {
        "effectiveness": grade_value(one.effectiveness.value, EFFECTIVENESS),
        "miss_rate": grade_value(one.miss_rate.value, MISS),
        "false_alarm_rate": grade_value(one.false_alarm_rate.value, FALSE_ALARM),
    }
    return {
        "trials": one.trials,
        **_rate_json("within", one.within),
        **_kappa_json("within_kappa", one.within_kappa),
        **_rate_json("effectiveness", one.effectiveness),
        **_rate_json("effectiveness_without_review", one.effectiveness_without_review),
        **_kappa_json("kappa", one.kappa),
        **_rate_json("miss_rate", one.miss_rate),
        **_rate_json("false_alarm_rate", one.false_alarm_rate),
        **_rate_json("review_rate", one.review_rate),
        "grades": grades,
    }


def _rate_json(name: str, rate: Rate | DecisionRate | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _kappa_json(name: str, kappa: Kappa | None) -> dict[str, object]:
    ci95 = kappa.ci95 if kappa else None
    return {name: kappa.value if kappa else None, f"{name}_ci95": list(ci95) if ci95 else None}
