"""Judging of stored answers by other rules: the same verdicts as predicting anew."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.checker.spec_changes import compare_specs, find_new_questions
from logicls.constraints.spec.loader import load_spec, load_spec_file
from logicls.constraints.spec.models import Spec
from logicls.data.image_io import load_photo
from logicls.errors import DataError, SpecError
from logicls.io.resources import resource_path
from logicls.models.bundle import load_bundle, replace_spec
from logicls.predict.amendments import apply_plugins
from logicls.predict.decision import decide, read_decision_model, restore_prediction
from logicls.predict.folder.judge import judge_folder, judge_verdict
from logicls.predict.folder.runner import predict_folder
from logicls.predict.plugin_protocols import AnomalyDetection, PluginManifest, Plugins, ProductMatch
from logicls.predict.readers import make_reader
from logicls.predict.readers.protocol import Detection, Prediction, predict_arrays
from logicls.predict.serialization import read_verdicts, result_id, verdict_from_json, verdict_to_json
from logicls.records import Answer, Box, PluginInfo

CHANGES = {
    "number": [("exactly: 4", "exactly: 3")],
    "limits": [("between: [0.6, 0.72]", "between: [0.64, 0.66]")],
    "tolerances": [("[0.35, 0.13]", "[0.05, 0.02]"), ("tolerance: 0.1", "tolerance: 0.03")],
    "names": [("violation: wrong_mark", "violation: mark_mixup"), ("missing_tablet, above", "few_tablets, above")],
    "severity": [("violation: wrong_mark\n    severity: critical", "violation: wrong_mark\n    severity: minor")],
    "id": [("id: mark-centred", "id: mark-in-the-middle")],
    "region": [("[0.75, 0.2, 0.95, 0.8]", "[0.7, 0.3, 0.9, 0.7]")],
    "condition": [("violation: wrong_mark", "violation: wrong_mark\n    when: {quantity: {of: label, exactly: 1}}")],
    "exception": [("    violation: misplaced_mark", "    violation: misplaced_mark\n    unless_broken: [level]")],
    "removed": [
        (
            "  - id: one-spoon\n    quantity: {of: spoon, at_least: 1}\n"
            "    violation: missing_spoon\n    severity: major\n",
            "",
        )
    ],
    "added": [
        (
            "  # What belongs together.",
            "  - {id: tablets-in-line, layout: {subject: tablet, relation: aligned, axis: y, tolerance: 0.2}}\n"
            "  - {id: blue-only, attribute: {of: liquid.colour, is: blue}, severity: minor}\n"
            "  - {id: either, any: [{quantity: {of: spoon, at_least: 1}}, {quantity: {of: label, exactly: 1}}]}\n",
        )
    ],
}  # fmt: skip
"""Name → replacements in the spec of the bundle, without its examples."""


def change_spec(old_bundle: Path, folder: Path, replacements) -> Path:
    """Write the bundle's spec with replacements, and without its examples, which hold for its own rules."""
    text = (old_bundle / "spec.yaml").read_text().partition("\nexamples:")[0] + "\n"
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = folder / "new.yaml"
    path.write_text(text)
    return path


def without_times(verdicts):
    """Return the verdicts without the time that they took."""
    return [replace(verdict, seconds=0.0) for verdict in verdicts]


@pytest.fixture(scope="module")
def opened(old_bundle):
    """Load the bundle."""
    return load_bundle(old_bundle)


@pytest.fixture(scope="module")
def predicted(opened, tmp_path_factory):
    """Predict photos with every defect, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("judge")
    names = sorted((resource_path("data/dosing_kit") / "heldout" / "images").glob("*.jpg"))[::5]
    (folder / "photos").mkdir()
    for path in names:
        shutil.copy(path, folder / "photos")
    (folder / "photos" / "torn.png").write_bytes(b"torn")
    predict_folder(opened, folder / "photos", folder / "verdicts")
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_judging_equals_predicting_anew(opened, old_bundle, predicted, tmp_path, name):
    """Findings, probabilities, outcomes, reasons and ids, for every kind of change."""
    spec = change_spec(old_bundle, tmp_path, CHANGES[name])

    result = judge_folder(predicted / "verdicts", spec, tmp_path / "judged")
    predict_folder(replace_spec(opened, spec), predicted / "photos", tmp_path / "anew")

    before = list(read_verdicts(predicted / "verdicts" / "verdicts.jsonl"))
    judged, anew = (list(read_verdicts(tmp_path / n / "verdicts.jsonl")) for n in ("judged", "anew"))
    assert len(judged) > 10
    assert without_times(judged) == without_times(anew)
    assert sum(result.outcomes.values()) == len(judged)
    assert sum(result.changed.values()) == sum(a.outcome != b.outcome for a, b in zip(before, judged, strict=True))
    assert ([v.findings for v in judged] != [v.findings for v in before]) == (name != "severity")
    assert {(v.spec, v.trained_spec) for v in judged} == {(load_spec(spec).hash, opened.spec.hash)}
    assert not {result_id(v) for v in judged} & {result_id(v) for v in before}
    for file in ("rules/spec.yaml", "rules/trained_spec.yaml", "rules/calibration.json", "rules/thresholds.json"):
        assert (tmp_path / "judged" / file).read_bytes() == (tmp_path / "anew" / file).read_bytes()
    manifests = [json.loads((tmp_path / n / "run.json").read_text()) for n in ("judged", "anew")]
    keys = ("bundle", "spec", "trained_spec", "product", "photos", "plugins")
    assert [manifests[0][key] for key in keys] == [manifests[1][key] for key in keys]


def test_judging_by_the_trained_spec_gives_the_verdicts_back(old_bundle, predicted, tmp_path):
    """Judging loses nothing: by other rules and back again."""
    spec = change_spec(old_bundle, tmp_path, CHANGES["removed"] + CHANGES["limits"])

    judge_folder(predicted / "verdicts", spec, tmp_path / "there")
    judge_folder(tmp_path / "there", old_bundle / "spec.yaml", tmp_path / "back")

    lines = [(folder / "verdicts.jsonl").read_text() for folder in (predicted / "verdicts", tmp_path / "back")]
    assert lines[0] == lines[1]
    assert not (tmp_path / "back" / "rules" / "trained_spec.yaml").exists()


def edit_spec(rng: random.Random, spec: Spec) -> Spec:
    """Change limits, names, severities and conditions of a spec at random, and add and remove rules."""
    content = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    content["examples"] = []
    rules = content["constraints"]
    for rule in rules:
        rule["unless_broken"] = []
    for rule in rules:
        if rng.random() < 0.3:
            rule["severity"] = rng.choice(["critical", "major", "minor"])
        if rng.random() < 0.3:
            rule["violation"] = f"renamed-{rule['id']}" if rng.random() < 0.5 else rng.choice(rules)["id"]
        if "measure" in rule:
            low = rng.uniform(0.4, 0.7)
            rule["measure"]["between"] = [low, low + rng.uniform(0.01, 0.3)]
        if "layout" in rule and rng.random() < 0.7:
            rule["layout"]["tolerance"] = rng.choice(
                [rng.uniform(0.001, 0.5), [rng.uniform(0.01, 0.5), rng.uniform(0, 0.2)]]
            )
        if "quantity" in rule and rng.random() < 0.5:
            bounds = rng.choice([{"exactly": rng.randint(0, 5)}, {"at_least": 1}, {"at_most": 3}, {"between": [1, 4]}])
            rule["quantity"] = {key: v for key, v in rule["quantity"].items() if key in ("of", "in")} | bounds
        if rng.random() < 0.15:
            rule["when"] = {"quantity": {"of": rng.choice(["tablet", "spoon", "label"]), "at_least": 1}}
        if rng.random() < 0.2:
            rule["unless_broken"] = [rng.choice(rules)["id"]]
    if rng.random() < 0.5:
        content["regions"]["spoon_place"]["box"] = [rng.uniform(0.5, 0.8), 0.2, 0.95, rng.uniform(0.6, 0.9)]
    gone = rng.choice(rules)
    if rng.random() < 0.5:
        rules.remove(gone)
    for rule in rules:
        rule["unless_broken"] = [name for name in rule["unless_broken"] if name not in (gone["id"], rule["id"])]
    if rng.random() < 0.5:
        place = rng.choice(["label", "vial", "spoon_place"])
        rules.append(
            {
                "id": "added",
                "quantity": {"of": rng.choice(["mark", "tablet"]), "at_most": rng.randint(0, 4), "in": place},
            }
        )
    return Spec.model_validate_json(json.dumps(content))


@pytest.fixture(scope="module")
def raw(opened, predicted):
    """Return the raw predictions of some photos, with name and size."""
    paths = sorted((predicted / "photos").glob("*.jpg"))[:12]
    photos = [load_photo(path)[0] for path in paths]
    predictions = predict_arrays(make_reader(opened), photos)
    return [
        (path.name, prediction, photo.shape[1::-1])
        for path, prediction, photo in zip(paths, predictions, photos, strict=True)
    ]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_change_equals_predicting_anew(opened, old_bundle, raw, seed):
    """Random changes of everything that changes without training: from the record, the same as from the prediction."""
    spec = edit_spec(random.Random(seed), opened.spec)
    model, trained = (read_decision_model(old_bundle, opened.spec, one) for one in (spec, opened.spec))
    changes = compare_specs(opened.spec, spec)

    for name, prediction, size in raw:
        before = decide(
            trained.spec, prediction, name, size, calibration=trained.calibration, thresholds=trained.thresholds
        )
        record = verdict_from_json(json.loads(json.dumps(verdict_to_json(before))))
        fits = {"calibration": model.calibration, "thresholds": model.thresholds}
        anew = decide(spec, prediction, name, size, changes=model.changes, **fits)

        assert record == before
        assert replace(judge_verdict(record, model, changes), version="") == anew


def test_a_prediction_survives_its_record(raw, opened):
    """Answers, candidates and stated probabilities; only cells of the feature map and the feature are gone."""
    for name, prediction, size in raw:
        restored = restore_prediction(decide(opened.spec, prediction, name, size))

        assert restored.violation_probabilities == prediction.violation_probabilities
        found = [(query, [(one.probability, one.box) for one in each]) for query, each in restored.detections]
        assert found == [(q, [(one.probability, one.box) for one in each]) for q, each in prediction.detections if each]


def test_detections_at_one_place_survive_their_record():
    """Rivals of other components, and which of them is suppressed."""
    a, b, c = Box(0, 0, 10, 10), Box(1, 0, 11, 10), Box(50, 50, 60, 60)
    detections = (
        ("locate:long", (Detection(0.9, (), c), Detection(0.6, (), a, 3, (0.8,), is_suppressed=True))),
        ("locate:short", (Detection(0.8, (), b, 3, (0.6,)), Detection(0.1, (), a))),
    )
    answers = (Answer("locate:long", boxes=(c,)), Answer("locate:short", boxes=(b,)))
    spec = Spec.model_validate(
        {"logicls": 1, "product": {"name": "p"}, "components": {"long": {}, "short": {}},
         "constraints": [{"id": "one", "quantity": {"of": "long", "exactly": 1}}]}
    )  # fmt: skip
    prediction = Prediction(answers, Answer("verdict"), (("one", 0.1),), None, detections)

    record = verdict_from_json(json.loads(json.dumps(verdict_to_json(decide(spec, prediction, "a.jpg", (99, 99))))))

    assert restore_prediction(record).detections == detections


class Matcher:
    """Retriever that takes every photo for another product."""

    def match_products(self, photos):
        """Match no photo."""
        return [ProductMatch("", documents=("page",), review_reason="shows another product") for _ in photos]


class Detector:
    """Expert that finds an anomaly on the label."""

    def detect_anomalies(self, photos):
        """Detect the same on every photo."""
        box = Box(30, 180, 100, 250)
        return [AnomalyDetection(0.8, 3.5, box, "stain", needs_review=True, components=("label",)) for _ in photos]


def test_plugins_are_applied_to_the_new_verdict(opened, old_bundle, raw):
    """An anomaly that a broken rule explains depends on the rules; a mismatch does not."""
    model = read_decision_model(old_bundle, opened.spec, edit_spec(random.Random(3), opened.spec))
    changes = compare_specs(opened.spec, model.spec)
    manifest = PluginManifest((PluginInfo("expert", "patches"), PluginInfo("retriever", "documents")))
    plugins, photo = Plugins(Matcher(), Detector(), None, manifest), np.zeros((9, 9, 3), np.uint8)
    explained = 0

    for name, prediction, size in raw:
        before = apply_plugins(plugins, [photo], [decide(opened.spec, prediction, name, size)])[0]
        anew = apply_plugins(
            plugins, [photo], [decide(model.spec, prediction, name, size, calibration=model.calibration,
                                      thresholds=model.thresholds, changes=model.changes)]
        )[0]  # fmt: skip
        record = verdict_from_json(json.loads(json.dumps(verdict_to_json(before))))

        assert replace(judge_verdict(record, model, changes), version="") == anew
        explained += before.score != anew.score
    assert explained


@pytest.mark.parametrize("name", ["names", "severity", "removed"])
def test_verdicts_of_an_older_version_keep_what_did_not_change(old_bundle, tmp_path, name):
    """Names, severities and removed rules need no facts that version 0.1 did not record."""
    recorded = Path(__file__).parents[2] / "fixtures" / "verdicts_0_1.jsonl"
    old = {v.photo: v for v in read_verdicts(recorded)}
    (tmp_path / "old").mkdir()
    shutil.copy(recorded, tmp_path / "old" / "verdicts.jsonl")
    spec = change_spec(old_bundle, tmp_path, CHANGES[name])

    judge_folder(tmp_path / "old", spec, tmp_path / "judged", bundle=old_bundle)

    for verdict in read_verdicts(tmp_path / "judged" / "verdicts.jsonl"):
        before = {f.constraint: f for f in old[verdict.photo].findings}
        assert all(f.probability == before[f.constraint].probability for f in verdict.findings)
        assert all(f.status == before[f.constraint].status for f in verdict.findings)


def test_a_fact_that_is_missing_is_named(old_bundle, predicted, tmp_path):
    """New limits of a count need candidates that version 0.1 did not record; nothing is written."""
    (tmp_path / "old").mkdir()
    shutil.copy(Path(__file__).parents[2] / "fixtures" / "verdicts_0_1.jsonl", tmp_path / "old" / "verdicts.jsonl")
    spec = change_spec(old_bundle, tmp_path, CHANGES["number"])

    with pytest.raises(
        DataError, match=r"LC634 .*does not hold the boxes of candidate detections, which 'four-tablets'"
    ):
        judge_folder(tmp_path / "old", spec, tmp_path / "judged", bundle=old_bundle)
    assert not (tmp_path / "judged" / "verdicts.jsonl").exists()
    assert not (tmp_path / "judged" / "run.json").exists()


def test_new_questions_are_refused(old_bundle, predicted, tmp_path):
    """Every rule that would need training is named; nothing is written."""
    spec = change_spec(old_bundle, tmp_path, [("  spoon: {}", "  spoon: {attributes: {side: [l, r]}}"), (
        "  # What belongs together.", "  - {id: side, attribute: {of: spoon.side, is: l}}\n"
        "  - {id: sides, attribute: {of: spoon.side, is: [l, r]}}\n")])  # fmt: skip

    with pytest.raises(SpecError) as refused:
        judge_folder(predicted / "verdicts", spec, tmp_path / "judged")
    assert [problem.code for problem in refused.value.problems] == ["LC630", "LC630"]
    assert not (tmp_path / "judged").exists()


def test_only_verdicts_judged_from_the_same_folder_are_replaced(old_bundle, predicted, tmp_path):
    """A second call with the same folders writes the same; others are refused."""
    spec = change_spec(old_bundle, tmp_path, CHANGES["names"])
    judge_folder(predicted / "verdicts", spec, tmp_path / "judged")
    first = (tmp_path / "judged" / "verdicts.jsonl").read_bytes()

    judge_folder(predicted / "verdicts", spec, tmp_path / "judged")

    assert (tmp_path / "judged" / "verdicts.jsonl").read_bytes() == first
    for source, out in ((predicted / "verdicts",) * 2, (tmp_path / "judged", predicted / "verdicts")):
        with pytest.raises(DataError, match="LC631"):
            judge_folder(source, spec, out)


def test_the_folder_has_everything_but_another_bundle_may_be_given(old_bundle, predicted, tmp_path):
    """Without `rules/` and without the bundle of the run nothing can be judged; a bundle of other rules is refused."""
    spec = change_spec(old_bundle, tmp_path, CHANGES["names"])
    moved = shutil.copytree(predicted / "verdicts", tmp_path / "moved")
    manifest = json.loads((moved / "run.json").read_text()) | {"folder": str(tmp_path / "gone")}
    (moved / "run.json").write_text(json.dumps(manifest))

    judge_folder(moved, spec, tmp_path / "judged")
    shutil.rmtree(moved / "rules")
    with pytest.raises(DataError, match="LC632"):
        judge_folder(moved, spec, tmp_path / "judged")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(spec, other / "spec.yaml")
    with pytest.raises(DataError, match="LC633"):
        judge_folder(moved, spec, tmp_path / "judged", bundle=other)
    judge_folder(moved, spec, tmp_path / "again", bundle=old_bundle)
    assert (tmp_path / "again" / "verdicts.jsonl").read_bytes() == (tmp_path / "judged" / "verdicts.jsonl").read_bytes()


def test_judging_loads_no_torch():
    """The command answers without the libraries of models."""
    code = "import sys, logicls.predict.folder.judge; print('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


LOOKS = """\
logicls: 1
product: {name: board}
components: {connector: {}, label: {}}
constraints:
  - {id: turned, orientation: {of: connector, tolerance: 20}, violation: {turned: reversed, tilted: crooked}}
  - {id: look, appearance: {of: connector, overkill: 0.01}, violation: damaged}
  - {id: shape, measure: {aspect: connector, between: [1.5, 2.5]}}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("tolerance: 20", "tolerance: 5"), ("tolerance: 20}", "tolerance: 20, symmetry: 180}"), ("0.01", "0.05"),
     ("0.01", "0.0001"), ("[1.5, 2.5]", "[1.9, 2.0]")],
)  # fmt: skip
def test_angles_looks_and_ratios_are_judged_again(tmp_path, old, new):
    """Tolerance and symmetry of an angle, overkill of a look, limits of a ratio."""
    (tmp_path / "old.yaml").write_text(LOOKS)
    (tmp_path / "new.yaml").write_text(LOOKS.replace(old, new))
    trained, spec = load_spec(tmp_path / "old.yaml"), load_spec(tmp_path / "new.yaml")
    changes = compare_specs(trained, spec)
    model = read_decision_model(tmp_path, trained, spec)
    boxes = Box(10, 10, 31, 20), Box(50, 10, 70, 20)
    answers = (
        Answer("locate:connector", boxes=boxes),
        Answer("orientation:connector", ("10", "177"), confidence=0.8, probabilities=(0.9, 0.9)),
        Answer(
            "appearance:connector", ("normal", "anomalous"), boxes[1:], 0.9, True, (0.9, 0.99), rarities=(0.4, 0.003)
        ),
    )
    detections = (
        ("locate:connector", tuple(Detection(p, (), box) for p, box in zip((0.95, 0.9), boxes, strict=True))),
    )
    stated = tuple((name, 0.2) for name in trained.violations)
    prediction = Prediction(answers, Answer("verdict"), stated, None, detections)

    before = decide(trained, prediction, "a.jpg", (100, 50))
    record = verdict_from_json(json.loads(json.dumps(verdict_to_json(before))))
    anew = decide(spec, prediction, "a.jpg", (100, 50), changes=model.changes)

    assert find_new_questions(trained, load_spec_file(tmp_path / "new.yaml")) == []
    assert record == before
    assert replace(judge_verdict(record, model, changes), version="") == anew
    assert anew.findings != before.findings
