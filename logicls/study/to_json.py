"""study.json: the figures of a study for scripts."""

from __future__ import annotations

from logicls.score.rate import Rate
from logicls.study.figures import EFFECTIVENESS, FALSE_ALARM, MISS, Appraisal, Repeated, Study, grade
from logicls.study.kappa import Kappa


def study_to_json(found: Study) -> dict[str, object]:
    """Shares 0 to 1, null where undefined."""
    board: dict[str, object] = {"n": found.photos, "bad": found.bad}
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
        "effectiveness": grade(one.effectiveness.value, EFFECTIVENESS),
        "miss_rate": grade(one.miss.value, MISS),
        "false_alarm_rate": grade(one.false_alarm.value, FALSE_ALARM),
    }
    return {
        "trials": one.trials,
        **_share("within", one.within),
        **_kappa("within_kappa", one.within_kappa),
        **_share("effectiveness", one.effectiveness),
        **_share("effectiveness_without_review", one.decided),
        **_kappa("kappa", one.kappa),
        **_share("miss_rate", one.miss),
        **_share("false_alarm_rate", one.false_alarm),
        **_share("review_rate", one.review),
        "grades": grades,
    }


def _share(name: str, rate: Rate | Repeated | None) -> dict[str, object]:
    ci95 = rate.ci95 if rate else None
    return {name: rate.value if rate else None, f"{name}_ci95": list(ci95) if ci95 else None}


def _kappa(name: str, kappa: Kappa | None) -> dict[str, object]:
    ci95 = kappa.ci95 if kappa else None
    return {name: kappa.value if kappa else None, f"{name}_ci95": list(ci95) if ci95 else None}
