"""Judging of stored answers by another spec: new verdicts without the model and without the photos.

The result is that of predicting again with the bundle and the new spec. Verdicts that older versions wrote lack the
boxes of candidate detections and the probabilities of the stated verdict: rules that have not changed keep their
probability, and others can be judged only where these facts do not matter.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from logicls.constraints.checker.spec_changes import (
    RuleChange,
    SpecChanges,
    compare_specs,
    find_new_questions,
    find_trained_spec,
)
from logicls.constraints.spec.loader import SpecFile, load_spec, load_spec_file
from logicls.constraints.spec.models import Spec
from logicls.errors import DataError, Problem, SpecError, relative_path
from logicls.io.atomic import open_atomic, write_text
from logicls.io.run_manifest import read_manifest
from logicls.predict.amendments import ANOMALY_RULE, add_review_reason, apply_anomaly, read_anomaly, read_mismatch
from logicls.predict.decision import (
    UNREADABLE_VERDICT,
    DecisionModel,
    decide,
    read_decision_model,
    restore_prediction,
    unreadable_reasons,
)
from logicls.predict.folder.rules import RULES_FOLDER, write_rules
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.serialization import read_verdicts, verdict_to_json, write_verdicts_csv
from logicls.predict.uncertainty.calibration import hash_calibration
from logicls.records import Answer, Outcome, Verdict

PREDICT_AGAIN = "Predict the photos again; `logicls predict --spec` judges them by the new spec at once."


@dataclass(frozen=True, slots=True)
class JudgingResult:
    """Counts of a folder that was judged again."""

    changes: SpecChanges
    """Changes from the spec that the model was trained with."""
    model: DecisionModel
    """Rules, calibration and thresholds that the verdicts were judged with."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """New outcome → number of verdicts."""
    changed: Counter[tuple[Outcome, Outcome]] = field(default_factory=Counter)
    """Outcome before and after → number of verdicts with another outcome than before."""
    second_looks: Counter[bool] = field(default_factory=Counter)
    """Whether a reasoner inspected the photo again → number of verdicts that need a review, if there was a reasoner."""


def judge_folder(verdicts: Path, spec_file: Path, out: Path, *, bundle: Path | None = None) -> JudgingResult:
    """Judge the verdicts of a folder by another spec, and write them to `out`: `verdicts.jsonl`, `verdicts.csv`.

    One verdict is in memory at a time, and an interrupted run leaves the old files.

    Args:
        verdicts: Folder of verdicts.
        spec_file: New spec.
        out: Output folder; verdicts in it that were judged from the same folder are replaced.
        bundle: Bundle with calibration and thresholds. Default: what the folder of verdicts has in `rules/`, or else
            the bundle of its run.

    Raises:
        SpecError: The spec is invalid, or needs questions that the model was not trained to answer (LC630).
        DataError: `out` has other verdicts (LC631), there is no bundle (LC632) or another one (LC633), or a verdict of
            an older version lacks what a rule needs (LC634).
    """
    manifest = read_manifest(verdicts / "run.json")
    _check_out(verdicts, out)
    source = _find_source(verdicts, manifest, bundle)
    trained, judged = load_spec(find_trained_spec(source)), load_spec_file(spec_file)
    _check_source(verdicts, manifest, source, trained)
    problems = find_new_questions(trained, judged)
    if problems:
        raise SpecError(problems)
    model = read_decision_model(source, trained, judged.spec)
    result = JudgingResult(model.changes or compare_specs(trained, judged.spec), model)
    with open_atomic(out / "verdicts.jsonl") as lines, _freeze_objects():

        def write_lines() -> Iterator[Verdict]:
            for before in read_verdicts(verdicts / "verdicts.jsonl"):
                after = judge_verdict(before, model, result.changes)
                _count(result, before, after)
                record = verdict_to_json(after)
                lines.write(json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
                yield after

        write_verdicts_csv(write_lines(), out / "verdicts.csv", violations=judged.spec.violations)
    write_rules(out, spec_file, find_trained_spec(source), source)
    _write_manifest(verdicts, out, manifest, judged, trained, source)
    return result


@contextmanager
def _freeze_objects() -> Iterator[None]:
    """Keep the garbage collector from walking over modules and models again and again, an eighth of the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def judge_verdict(verdict: Verdict, model: DecisionModel, changes: SpecChanges) -> Verdict:
    """Return the verdict by the rules of a decision model, from the answers of a verdict by any rules.

    Answers after a second look stay; a reasoner would look again at other photos if other photos needed a review.
    Raises `DataError` (LC634).
    """
    spec, version = model.spec, model.spec.product.version
    if not verdict.answers:  # the photo could not be read
        return replace(verdict, spec=spec.hash, version=version, trained_spec=changes.trained_spec.hash)
    prediction, recorded = restore_prediction(verdict), dict[str, Mapping[str, float]]()
    calibration = model.fitted_calibration or model.calibration
    is_trained = verdict.spec == changes.trained_spec.hash
    if is_trained and verdict.calibration == hash_calibration(calibration):
        recorded = _read_recorded(verdict, changes)
    elif not verdict.stated_probabilities:
        prediction, recorded = _restore_old_prediction(verdict, prediction, spec, changes)
    judged = decide(
        spec,
        prediction,
        verdict.photo,
        (verdict.width, verdict.height),
        calibration=model.calibration,
        thresholds=model.thresholds,
        changes=model.changes,
        unconditional_reasons=_photo_reasons(verdict),
        recorded=recorded,
    )
    judged = replace(
        judged,
        sha256=verdict.sha256,
        bundle=verdict.bundle,
        version=version,
        seconds=verdict.seconds,
        plugins=verdict.plugins,
        plugin_results=verdict.plugin_results,
    )
    anomaly = read_anomaly(verdict)
    if anomaly is not None:
        judged = apply_anomaly(judged, anomaly)
    return add_review_reason(judged, read_mismatch(verdict))


def _read_recorded(verdict: Verdict, changes: SpecChanges) -> dict[str, Mapping[str, float]]:
    """Return the probabilities of the rules that did not change, where a verdict by the trained spec tells them."""
    pairs = ((rule.constraint, _read_probabilities(verdict, rule, changes)) for rule in changes.rules)
    return {constraint: probabilities for constraint, probabilities in pairs if probabilities is not None}


def _photo_reasons(verdict: Verdict) -> tuple[str, ...]:
    """Return the reasons for review that the photo itself gave, not its answers and not a plug-in."""
    others = {*unreadable_reasons(verdict.findings), UNREADABLE_VERDICT, read_mismatch(verdict)}
    reasons = verdict.unconditional_reasons
    return tuple(one for one in reasons if one not in others and not one.startswith(f"{ANOMALY_RULE}: "))


def _restore_old_prediction(
    verdict: Verdict, prediction: Prediction, spec: Spec, changes: SpecChanges
) -> tuple[Prediction, dict[str, Mapping[str, float]]]:
    """Restore the prediction of a verdict of an older version, and the probabilities of rules that did not change.

    Raises:
        DataError: A rule needs what the verdict does not hold (LC634), one problem for each.
    """
    reasons = []
    if verdict.spec != changes.trained_spec.hash:
        reasons.append("was judged from a verdict of an older version: judge that one instead")
    if any(finding.constraint == ANOMALY_RULE for finding in verdict.findings) and read_anomaly(verdict) is None:
        reasons.append("does not hold what its expert detected")
    recorded: dict[str, Mapping[str, float]] = {}
    for rule in changes.rules:
        probabilities = _read_probabilities(verdict, rule, changes)
        if probabilities is not None:
            recorded[rule.constraint] = probabilities
        elif not all(_has_all_detections(answer) for answer in _answers_of(verdict, spec, rule.constraint)):
            reasons.append(f"does not hold the boxes of candidate detections, which '{rule.constraint}' needs")
    if reasons:
        raise DataError(
            [Problem("LC634", f'verdict of "{verdict.photo}" {reason}.', advice=PREDICT_AGAIN) for reason in reasons]
        )
    single = [answer for answer in prediction.answers if answer.boxes and _has_all_detections(answer)]
    detections = [(a.query, (Detection(a.probabilities[0], (), a.boxes[0]),)) for a in single if a.probabilities]
    return replace(prediction, detections=tuple(detections)), recorded


def _read_probabilities(verdict: Verdict, rule: RuleChange, changes: SpecChanges) -> Mapping[str, float] | None:
    """Return violation → probability of a rule that did not change; None if a verdict by the trained spec hides it.

    A score is the highest probability of a violation by any rule, so it is that of the rule that alone names it.
    """
    stated = {name: olds[0] for name, olds in rule.stated if len(olds) == 1}
    if not rule.is_same_rule or len(stated) < len(rule.stated):  # merged violations are pooled together
        return None
    names = changes.trained_names.get(rule.trained)
    if names is not None:
        scores = dict(verdict.scores)
        is_complete = set(names) == set(stated.values()) and set(names) <= set(scores)
        return {name: scores[old] for name, old in stated.items()} if is_complete else None
    finding = next((one for one in verdict.findings if one.constraint == rule.trained), None)
    if finding is None or finding.probability is None or len(stated) != 1:
        return None
    return dict.fromkeys(stated, finding.probability)


def _answers_of(verdict: Verdict, spec: Spec, constraint: str) -> Iterable[Answer]:
    """Return the answers that the probability of a constraint depends on, through its exceptions too."""
    by_id, pending, rules = {c.id: c for c in spec.constraints}, [constraint], set[str]()
    while pending:
        rule = pending.pop()
        if rule not in rules:
            rules.add(rule)
            pending += by_id[rule].unless_broken
    components = {query.component for rule in rules for query in spec.queries_by_constraint[rule]}
    queries = {f"locate:{component}" for component in components}
    return [answer for answer in verdict.answers if answer.query in queries]


def _has_all_detections(answer: Answer) -> bool:
    """Return True if an answer of an older version has no candidate, or a single one, which is its box."""
    return len(answer.boxes) == len(answer.probabilities) <= 1


def _find_source(verdicts: Path, manifest: Mapping[str, object], bundle: Path | None) -> Path:
    """Return the folder with trained spec, calibration and thresholds. Raises `DataError` (LC632)."""
    recorded = manifest.get("folder")
    candidates = [bundle] if bundle else [verdicts / RULES_FOLDER, *([Path(str(recorded))] if recorded else [])]
    for folder in candidates:
        if find_trained_spec(folder).is_file():
            return folder
    message = "has no rules, and the bundle of its run is not here." if bundle is None else "is not a bundle."
    advice = "Pass the bundle that made the verdicts with --bundle."
    raise DataError(Problem("LC632", message, relative_path(bundle or verdicts), advice=advice))


def _check_source(verdicts: Path, manifest: Mapping[str, object], source: Path, trained: Spec) -> None:
    """Check that the verdicts answer the questions of the trained spec. Raises `DataError` (LC633)."""
    recorded = manifest.get("trained_spec") or manifest.get("spec") or trained.hash
    if recorded != trained.hash:
        message = f"the verdicts are of a model trained with spec {recorded}, not with {trained.hash}."
        advice = "Pass the bundle that made the verdicts with --bundle."
        raise DataError(Problem("LC633", message, relative_path(source), advice=advice))


def _check_out(verdicts: Path, out: Path) -> None:
    """Check that nothing but verdicts judged from the same folder is replaced. Raises `DataError` (LC631)."""
    origin = read_manifest(out / "run.json").get("judged_from")
    is_own = origin == str(verdicts.resolve())
    if out.resolve() == verdicts.resolve() or ((out / "verdicts.jsonl").exists() and not is_own):
        message = "has verdicts that were not judged from this folder."
        raise DataError(Problem("LC631", message, relative_path(out), advice="Choose another --out."))


def _write_manifest(
    verdicts: Path, out: Path, manifest: Mapping[str, object], judged: SpecFile, trained: Spec, source: Path
) -> None:
    notes = {"folder": str(source.resolve())} if "folder" not in manifest else {}
    content = {
        **manifest,
        **notes,
        "spec": judged.spec.hash,
        "product": judged.spec.product.name,
        "trained_spec": trained.hash,
        "judged_from": str(verdicts.resolve()),
    }
    write_text(out / "run.json", json.dumps(content, indent=1))


def _count(result: JudgingResult, before: Verdict, after: Verdict) -> None:
    result.outcomes[after.outcome] += 1
    if before.outcome != after.outcome:
        result.changed[before.outcome, after.outcome] += 1
    if after.outcome == "review" and any(plugin.kind == "reasoner" for plugin in after.plugins):
        result.second_looks[after.plugin_result("reasoner") is not None] += 1
