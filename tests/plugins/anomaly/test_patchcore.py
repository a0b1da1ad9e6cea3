"""PatchCore expert, from fit to verdict."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from logicls.errors import BundleError, DataError
from logicls.evaluation import compute_metrics
from logicls.models.bundle import load_bundle
from logicls.plugins.anomaly.fit import fit_expert
from logicls.plugins.anomaly.patchcore import load_expert
from logicls.plugins.anomaly.storage import expert_file, read_expert_state, write_expert_state
from logicls.plugins.selection import PluginOptions, PluginSelection, read_default_plugins
from logicls.plugins.settings import ExpertSettings
from logicls.predict.amendments import ANOMALY_QUERY, ANOMALY_RULE, ANOMALY_VIOLATION
from logicls.predict.inspector import BatchInspector
from logicls.predict.readers import make_reader
from logicls.records import Box

SMALL = ExpertSettings(patches=144, coreset_ratio=0.5, neighbourhood=1)
_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]


def test_detects_and_localizes_flaw(bundle, dataset):
    """Unseen good photos stay below the threshold; a dark spot is a flaw with a box around it."""
    threshold = fit_expert(bundle, dataset, SMALL)
    expert = load_expert(bundle)

    good = expert.detect_anomalies([good_photo(seed) for seed in range(100, 110)])
    (bad,) = expert.detect_anomalies([flawed_photo(200)])

    assert threshold.photo_count == 30
    assert sum(flaw.probability >= 0.5 for flaw in good) <= 1
    assert bad.probability > 0.8
    assert bad.box is not None
    assert bad.box.iou(Box(60, 66, 72, 76)) > 0.1
    assert bad.box.intersection(Box(60, 66, 72, 76)) > 60


def test_overkill_setting(bundle, dataset):
    """A larger `overkill` lowers the threshold, and is stored."""
    one = fit_expert(bundle, dataset, SMALL)
    two = fit_expert(bundle, dataset, SMALL.model_copy(update={"overkill": 0.1}))

    assert (one.rank, two.rank) == (1, 3)
    assert two.score < one.score
    assert load_expert(bundle).localizer.threshold == two


def test_batch_equals_single_photos(bundle, dataset):
    """Scores do not depend on the batch; an empty batch is allowed."""
    fit_expert(bundle, dataset, SMALL)
    expert = load_expert(bundle)
    photos = [good_photo(50), flawed_photo(51), good_photo(52)]

    together, alone = expert.detect_anomalies(photos), [expert.detect_anomalies([photo])[0] for photo in photos]

    assert [flaw.score for flaw in together] == pytest.approx([flaw.score for flaw in alone], rel=1e-4)
    assert expert.detect_anomalies([]) == []


def test_seed_determines_coreset(bundle, dataset):
    """The seed determines coreset and scores."""
    scores = []
    for seed in (0, 0, 1):
        fit_expert(bundle, dataset, SMALL.model_copy(update={"seed": seed, "share": 0.2}))
        scores.append(load_expert(bundle).detect_anomalies([good_photo(70)])[0].score)

    assert scores[0] == scores[1] != scores[2]


def test_flaw_in_verdict(bundle, dataset, tmp_path):
    """A flaw is a violation with a finding, an answer with a box, and a score."""
    from PIL import Image

    fit_expert(bundle, dataset, SMALL)
    (tmp_path / "photos").mkdir()
    Image.fromarray(good_photo(80)).save(tmp_path / "photos" / "a.png")
    Image.fromarray(flawed_photo(81)).save(tmp_path / "photos" / "b.png")

    def inspect(selection: PluginSelection) -> list:
        with BatchInspector(make_reader(bundle), tmp_path / "photos", 0, selection.build(bundle)) as inspector:
            return inspector.inspect(list(inspector.load(["a.png", "b.png"])))

    plain, (good, bad) = inspect(PluginSelection()), inspect(PluginOptions().resolve(bundle.path))

    assert [v.findings[-1].constraint for v in (good, bad)] == [ANOMALY_RULE, ANOMALY_RULE]
    assert [v.answers[-1].query for v in (good, bad)] == [ANOMALY_QUERY, ANOMALY_QUERY]
    assert [dict(v.scores)[ANOMALY_VIOLATION] for v in (good, bad)] == [v.findings[-1].probability for v in (good, bad)]
    assert [v.findings for v in plain] == [v.findings[:-1] for v in (good, bad)]
    assert compute_metrics([good, bad], {"a.png": (), "b.png": (ANOMALY_VIOLATION,)}).unknown_violations == ()


def test_default_expert_can_be_switched_off(bundle, dataset):
    """A fitted expert is the default; `none` switches it off, another name replaces it."""
    assert PluginOptions().resolve(bundle.path) == PluginSelection()
    fit_expert(bundle, dataset, SMALL)

    assert read_default_plugins(bundle.path).expert == "patches"
    assert PluginOptions().resolve(bundle.path) == PluginSelection(expert="patches")
    assert not PluginOptions(expert="none").resolve(bundle.path)
    assert PluginOptions(expert="prototypes").resolve(bundle.path) == PluginSelection(expert="prototypes")


def test_bundle_id_is_unchanged(bundle, dataset):
    """The bundle's id is that of its model's weights."""
    fit_expert(bundle, dataset, SMALL)

    assert load_bundle(bundle.path).id == bundle.id


@pytest.mark.parametrize(("photos", "defects"), [(9, 0), (10, 1)])
def test_too_few_photos(bundle, dataset, tmp_path, photos, defects):
    """Nine photos are too few, LC720, and photos that truth.csv declares to be defective are not good ones."""
    coco = json.loads((dataset / "annotations.json").read_text())
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "images").symlink_to(dataset / "images")
    single = {**coco, "images": coco["images"][:photos], "annotations": coco["annotations"][:photos]}
    (tmp_path / "few" / "annotations.json").write_text(json.dumps(single))
    declared = [f"{image['file_name']},missing" for image in single["images"][:defects]]
    if declared:
        (tmp_path / "few" / "truth.csv").write_text("\n".join(["image,violations", *declared]) + "\n")

    with pytest.raises(DataError, match="has 9 good photos") as caught:
        fit_expert(bundle, tmp_path / "few", SMALL)
    assert [problem.code for problem in caught.value.problems] == ["LC720"]


def test_expert_of_another_bundle(bundle, dataset):
    """An expert of another bundle or kind is rejected."""
    fit_expert(bundle, dataset, SMALL)

    with pytest.raises(BundleError, match="was fitted to bundle"):
        load_expert(replace(bundle, id="0123456789ab"))
    expert_file(bundle.path, "prototypes").write_bytes(expert_file(bundle.path, "patches").read_bytes())
    from logicls.plugins.anomaly.prototype_expert import load_expert as load_prototypes

    with pytest.raises(BundleError, match="is not the state of an expert"):
        load_prototypes(bundle)


def test_expert_with_other_features(bundle, dataset):
    """An expert with another number of feature channels is rejected: LC722."""
    fit_expert(bundle, dataset, SMALL)
    state = read_expert_state(bundle.path, "patches", bundle.id)
    fewer = {**state.tensors, "centre": state.tensors["centre"][:-1], "axes": state.tensors["axes"][:-1]}
    write_expert_state(bundle.path, "patches", replace(state, tensors=fewer))

    with pytest.raises(BundleError, match="but the extractor has") as caught:
        load_expert(bundle)
    assert [problem.code for problem in caught.value.problems] == ["LC722"]
