"""The expert with prior tokens."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.errors import BundleError
from logicls.models.bundle import load_bundle
from logicls.plugins.anomaly.features import build_extractor
from logicls.plugins.anomaly.fit import fit_expert
from logicls.plugins.anomaly.prior_expert import (
    LocalizedFlaws,
    PriorExpert,
    PrototypeLocalization,
    answer_loss,
    fit_tokens,
    generate_examples,
    initialize_model,
    load_expert,
    stack_pixels,
    write_priors,
)
from logicls.plugins.anomaly.prior_query import build_prior_query, freeze_weights
from logicls.plugins.anomaly.prototype_expert import FlawedPhotos, PrototypeNetwork
from logicls.plugins.anomaly.regions import FlawLocalizer, fit_threshold, fit_zones
from logicls.plugins.anomaly.storage import expert_file
from logicls.plugins.selection import DefaultPlugins, read_default_plugins
from logicls.plugins.settings import ExpertSettings
from logicls.predict.self_test import write_probe
from logicls.records import Box

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]
training_data = runpy.run_path(str(Path(__file__).parents[2] / "predict" / "conftest.py"))["dataset"]


@pytest.fixture
def lively(bundle):
    """The same bundle; what one position says is heard by others, as in a model that was trained."""
    with torch.no_grad():
        for weight in bundle.model.decoder.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.15, generator=torch.Generator().manual_seed(0))
    return bundle


@pytest.fixture
def view(bundle, good):
    """Before anything is learned."""
    torch.manual_seed(0)
    tower = build_extractor(bundle, (96, 96))
    judge = PrototypeNetwork(tower.extract_stem(good[:1]).shape[1]).eval()
    return initialize_model(
        build_prior_query(bundle), PrototypeLocalization(tower, judge), build_extractor(bundle, (48, 48)), good, 0
    )


def test_loss_by_hand():
    """A flaw at odds 0 costs ln 2, a clean photo at odds ln 3 costs ln 4."""
    found = answer_loss(torch.tensor([0.0, np.log(3)]), (2, -1))

    assert float(found) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_what_learns(bundle, good, view):
    """A step moves Vis, both ways to tokens, their places and the question; no weight of the model, nor the judge."""
    before = {name: value.clone() for name, value in view.tokens.state_dict().items()}
    model = {name: value.clone() for name, value in bundle.model.state_dict().items()}
    judge = {name: value.clone() for name, value in view.loc.judge.state_dict().items()}
    pool, heard = generate_examples(good, 12, view, np.random.default_rng(0)), []

    with freeze_weights(bundle.model):
        settings = ExpertSettings(kind="priors", steps=3)
        fit_tokens(pool, pool, view, settings, lambda number, _: heard.append(number))

    same = {name for name, value in view.tokens.state_dict().items() if torch.equal(value, before[name])}
    assert same == {"usual"}
    assert all(torch.equal(value, model[name]) for name, value in bundle.model.state_dict().items())
    assert all(torch.equal(value, judge[name]) for name, value in view.loc.judge.state_dict().items())
    assert all(weight.grad is None for weight in bundle.model.parameters())
    assert heard == [3]


def test_a_pool_has_loc_of_each_photo(good, view):
    """Half of the photos have a flaw; all have the size in which flaws are made, and Loc of just that photo."""
    pool = generate_examples(good, 20, view, np.random.default_rng(0))

    assert {photo.shape for photo in pool.examples.photos} == {(96, 96, 3)}
    assert 0 < sum(kind >= 0 for kind in pool.examples.types) < 20
    assert torch.equal(pool.loc_maps[13], view.charts([pool.examples.photos[13]])[0])


def test_left_out_tokens_leave_the_answer(bundle, good, view):
    """With no part of them given the model answers the question as it does without an expert."""
    asking, charts = build_prior_query(bundle), view.charts(good[:3])
    with torch.no_grad():
        bare = asking.log_odds(asking.encode(good[:3]), torch.zeros(3, 0, asking.width), view.tokens.question)

    assert torch.equal(view.told(good[:3], charts, "none"), bare)
    assert not torch.allclose(view.told(good[:3], charts), bare, atol=1e-4)


def test_written_and_read(bundle, dataset, good, view):
    """What is read says of photos exactly what was written."""
    judgement = FlawLocalizer(fit_threshold([0.0, 1.0, 2.0], is_held_out=True), view.loc.frame, fit_zones(()))
    write_priors(bundle, view, judgement, "")
    photos = [*good[:2], flawed_photo(7)]

    assert load_expert(bundle).detect_anomalies(photos) == PriorExpert(view, judgement).detect_anomalies(photos)
    assert load_expert(bundle).detect_anomalies([]) == []


def test_the_model_is_made_to_tell(lively, good):
    """Through the model as it is tokens and question learn to have flawed photos called wrong; tokens have a part."""
    tower = build_extractor(lively, (96, 96))
    loc = PrototypeLocalization(tower, PrototypeNetwork(tower.extract_stem(good[:1]).shape[1]).eval())
    photos = [*good[:16], *(flawed_photo(seed) for seed in range(16))]
    view = initialize_model(build_prior_query(lively), loc, build_extractor(lively, (48, 48)), good, 0)
    cover = torch.zeros(32, 12, 12)
    cover[16:, 8, 8] = 1.0
    pool = LocalizedFlaws(FlawedPhotos(photos, cover, (-1,) * 16 + (0,) * 16), view.localize(photos).clone())

    before = view.predict_log_odds(photos, pool.loc_maps)
    with freeze_weights(lively.model):
        fit_tokens(pool, pool, view, ExpertSettings(kind="priors", steps=50))
    after, bare = (view.predict_log_odds(photos, pool.loc_maps, parts) for parts in ("both", "none"))

    assert float(before[16:].min()) < float(before[:16].max())
    assert float(after[16:].min()) > float(after[:16].max())
    assert float(answer_loss(after, pool.examples.types)) < 0.5 * float(answer_loss(bare, pool.examples.types))


def test_from_the_command_line(bundle, dataset, good, tmp_path):
    """It is fitted, stands, examines photos, and the model's file is what it was."""
    write_probe(bundle, training_data(tmp_path, good[:2]))
    before = (bundle.path / "model.safetensors").read_bytes()
    asked = ["expert", "fit", str(bundle.path), "--data", str(dataset), "--kind", "priors"]

    shown = CliRunner().invoke(app, [*asked, "--cells", "144", "--steps", "4"])
    assert shown.exit_code == 0, shown.output
    flaws = load_expert(load_bundle(bundle.path)).detect_anomalies([good_photo(100), flawed_photo(200)])

    assert "expert priors, on average 12.5% of good photos" in " ".join(shown.output.split())
    assert read_default_plugins(bundle.path) == DefaultPlugins(expert="priors")
    assert all(np.isfinite(flaw.score) for flaw in flaws)
    assert (bundle.path / "model.safetensors").read_bytes() == before


def test_worst_place_has_the_answers_score(good, view, monkeypatch):
    """What the model says is about the worst place of Loc, whose box is told."""
    chart = torch.full((1, 12, 12), 0.2)
    chart[0, 3, 4], chart[0, 9, 9] = 0.8, 0.5
    judgement = FlawLocalizer(fit_threshold([0.0, 1.0, 1.5], is_held_out=True), view.loc.frame, fit_zones(()))
    monkeypatch.setattr(type(view), "localize", lambda self, photos: chart)
    monkeypatch.setattr(type(view), "predict_log_odds", lambda self, photos, charts: torch.tensor([9.0]))

    (flaw,) = PriorExpert(view, judgement).detect_anomalies(good[:1])

    assert flaw.score == 9.0
    assert flaw.box == Box(32, 24, 40, 32)


def test_built_on_texts(bundle, dataset, tmp_path):
    """With an encoder Loc is that of its words; the file holds them in the judge's place."""
    clip = runpy.run_path(str(Path(__file__).with_name("test_text_expert.py")))["clip"]
    settings = ExpertSettings(kind="priors", cells=144, steps=2, encoder=str(clip(tmp_path / "clip")))

    bar = fit_expert(bundle, dataset, settings)
    expert = load_expert(bundle)

    assert (bar.photo_count, bar.is_held_out) == (7, True)
    assert expert.model.loc.frame.size == (32, 32)
    assert np.isfinite([flaw.score for flaw in expert.detect_anomalies([good_photo(0), flawed_photo(1)])]).all()
    clip(tmp_path / "clip", 24)
    with pytest.raises(BundleError, match="embeds in 24 dimensions") as caught:
        load_expert(bundle)
    assert [problem.code for problem in caught.value.problems] == ["LC726"]


def test_tensors_of_another_kind(bundle, view):
    """A file that holds no tokens is told, with what to do: LC722."""
    write_priors(
        bundle, view, FlawLocalizer(fit_threshold([0.0, 1.0, 2.0], is_held_out=True), view.loc.frame, fit_zones(())), ""
    )
    file = expert_file(bundle.path, "priors")

    with safe_open(file, framework="pt") as opened:
        told = opened.metadata()
    save_file({"tokens.question": torch.zeros(2, 8)}, file, metadata=told)

    with pytest.raises(BundleError) as caught:
        load_expert(bundle)
    assert [problem.code for problem in caught.value.problems] == ["LC722"]


def test_photos_in_one_size():
    """Whatever their sizes."""
    assert stack_pixels([good_photo(0), good_photo(1)[:64]], (48, 32)).shape == (2, 3, 48, 32)
