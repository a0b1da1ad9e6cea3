"""Prior-token expert."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from logicls.anomaly.features import build_extractor
from logicls.anomaly.scores import fit_threshold
from logicls.cli.app import app
from logicls.errors import BundleError
from logicls.models.bundle import load_bundle
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
from logicls.plugins.anomaly.regions import FlawLocalizer, fit_zones
from logicls.plugins.anomaly.storage import expert_file
from logicls.plugins.selection import DefaultPlugins, read_default_plugins
from logicls.plugins.settings import ExpertSettings
from logicls.predict.self_test import write_probe
from logicls.records import Box

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]
training_data = runpy.run_path(str(Path(__file__).parents[2] / "predict" / "conftest.py"))["dataset"]


@pytest.fixture
def trained_like_bundle(bundle):
    """Return the bundle with larger weights, so that positions influence one another as in a trained model."""
    with torch.no_grad():
        for weight in bundle.model.decoder.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.15, generator=torch.Generator().manual_seed(0))
    return bundle


@pytest.fixture
def prior_model(bundle, good):
    """Return an untrained prior model."""
    torch.manual_seed(0)
    extractor = build_extractor(bundle, (96, 96))
    network = PrototypeNetwork(extractor.extract_stem(good[:1]).shape[1]).eval()
    return initialize_model(
        build_prior_query(bundle), PrototypeLocalization(extractor, network), build_extractor(bundle, (48, 48)), good, 0
    )


def test_answer_loss_value():
    """A flaw at log-odds 0 costs ln 2, a clean photo at log-odds ln 3 costs ln 4."""
    result = answer_loss(torch.tensor([0.0, np.log(3)]), (2, -1))

    assert float(result) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_trainable_parts(bundle, good, prior_model):
    """A step changes Vis, projections, positions and prompt, but no weight of the model or of the prototypes."""
    before = {name: value.clone() for name, value in prior_model.tokens.state_dict().items()}
    model = {name: value.clone() for name, value in bundle.model.state_dict().items()}
    network = {name: value.clone() for name, value in prior_model.loc.network.state_dict().items()}
    examples, steps = generate_examples(good, 12, prior_model, np.random.default_rng(0)), []

    with freeze_weights(bundle.model):
        settings = ExpertSettings(kind="priors", steps=3)
        fit_tokens(examples, examples, prior_model, settings, lambda number, _: steps.append(number))

    same = {name for name, value in prior_model.tokens.state_dict().items() if torch.equal(value, before[name])}
    assert same == {"loc_statistics"}
    assert all(torch.equal(value, model[name]) for name, value in bundle.model.state_dict().items())
    assert all(torch.equal(value, network[name]) for name, value in prior_model.loc.network.state_dict().items())
    assert all(weight.grad is None for weight in bundle.model.parameters())
    assert steps == [3]


def test_examples_have_localization_maps(good, prior_model):
    """Half of the examples have a flaw; all have the input size and their own map."""
    examples = generate_examples(good, 20, prior_model, np.random.default_rng(0))

    assert {photo.shape for photo in examples.examples.photos} == {(96, 96, 3)}
    assert 0 < sum(kind >= 0 for kind in examples.examples.types) < 20
    assert torch.equal(examples.loc_maps[13], prior_model.localize([examples.examples.photos[13]])[0])


def test_without_tokens_the_answer_is_unchanged(bundle, good, prior_model):
    """Without tokens the model answers as it does without an expert."""
    query, loc_maps = build_prior_query(bundle), prior_model.localize(good[:3])
    with torch.no_grad():
        without_tokens = query.log_odds(
            query.encode(good[:3]), torch.zeros(3, 0, query.width), prior_model.tokens.question
        )

    assert torch.equal(prior_model.predict_log_odds(good[:3], loc_maps, "none"), without_tokens)
    assert not torch.allclose(prior_model.predict_log_odds(good[:3], loc_maps), without_tokens, atol=1e-4)


def test_write_and_load(bundle, dataset, good, prior_model):
    """A loaded expert returns exactly the same detections."""
    localizer = FlawLocalizer(fit_threshold([0.0, 1.0, 2.0], is_held_out=True), prior_model.loc.frame, fit_zones(()))
    write_priors(bundle, prior_model, localizer, "")
    photos = [*good[:2], flawed_photo(7)]

    assert load_expert(bundle).detect_anomalies(photos) == PriorExpert(prior_model, localizer).detect_anomalies(photos)
    assert load_expert(bundle).detect_anomalies([]) == []


def test_training_separates_flaws(trained_like_bundle, good):
    """Through the frozen model, tokens and prompt learn to separate flawed photos."""
    extractor = build_extractor(trained_like_bundle, (96, 96))
    loc = PrototypeLocalization(extractor, PrototypeNetwork(extractor.extract_stem(good[:1]).shape[1]).eval())
    photos = [*good[:16], *(flawed_photo(seed) for seed in range(16))]
    view = initialize_model(
        build_prior_query(trained_like_bundle), loc, build_extractor(trained_like_bundle, (48, 48)), good, 0
    )
    cover = torch.zeros(32, 12, 12)
    cover[16:, 8, 8] = 1.0
    examples = LocalizedFlaws(FlawedPhotos(photos, cover, (-1,) * 16 + (0,) * 16), view.localize(photos).clone())

    before = view.predict_log_odds(photos, examples.loc_maps)
    with freeze_weights(trained_like_bundle.model):
        fit_tokens(examples, examples, view, ExpertSettings(kind="priors", steps=50))
    after, without_tokens = (view.predict_log_odds(photos, examples.loc_maps, parts) for parts in ("both", "none"))

    assert float(before[16:].min()) < float(before[:16].max())
    assert float(after[16:].min()) > float(after[:16].max())
    assert float(answer_loss(after, examples.examples.types)) < 0.5 * float(
        answer_loss(without_tokens, examples.examples.types)
    )


def test_command_line(bundle, dataset, good, tmp_path):
    """The expert is fitted, becomes the default, detects, and leaves the model's file unchanged."""
    write_probe(bundle, training_data(tmp_path, good[:2]))
    before = (bundle.path / "model.safetensors").read_bytes()
    arguments = ["expert", "fit", str(bundle.path), "--data", str(dataset), "--kind", "priors"]

    output = CliRunner().invoke(app, [*arguments, "--patches", "144", "--steps", "4"])
    assert output.exit_code == 0, output.output
    flaws = load_expert(load_bundle(bundle.path)).detect_anomalies([good_photo(100), flawed_photo(200)])

    assert "expert priors, expected overkill 12.5%" in " ".join(output.output.split())
    assert read_default_plugins(bundle.path) == DefaultPlugins(expert="priors")
    assert all(np.isfinite(flaw.score) for flaw in flaws)
    assert (bundle.path / "model.safetensors").read_bytes() == before


def test_flaw_has_score_of_the_answer(good, prior_model, monkeypatch):
    """The flaw has the answer's log-odds as score, and the box of Loc's maximum."""
    loc_map = torch.full((1, 12, 12), 0.2)
    loc_map[0, 3, 4], loc_map[0, 9, 9] = 0.8, 0.5
    localizer = FlawLocalizer(fit_threshold([0.0, 1.0, 1.5], is_held_out=True), prior_model.loc.frame, fit_zones(()))
    monkeypatch.setattr(type(prior_model), "localize", lambda self, photos: loc_map)
    monkeypatch.setattr(type(prior_model), "predict_log_odds", lambda self, photos, loc_maps: torch.tensor([9.0]))

    (flaw,) = PriorExpert(prior_model, localizer).detect_anomalies(good[:1])

    assert flaw.score == 9.0
    assert flaw.box == Box(32, 24, 40, 32)


def test_localization_by_texts(bundle, dataset, tmp_path):
    """With an encoder Loc is by texts, whose embeddings are in the file."""
    write_clip = runpy.run_path(str(Path(__file__).with_name("test_text_expert.py")))["write_clip"]
    settings = ExpertSettings(kind="priors", patches=144, steps=2, encoder=str(write_clip(tmp_path / "clip")))

    threshold = fit_expert(bundle, dataset, settings)
    expert = load_expert(bundle)

    assert (threshold.photo_count, threshold.is_held_out) == (7, True)
    assert expert.model.loc.frame.size == (32, 32)
    assert np.isfinite([flaw.score for flaw in expert.detect_anomalies([good_photo(0), flawed_photo(1)])]).all()
    write_clip(tmp_path / "clip", 24)
    with pytest.raises(BundleError, match="has 24 embedding dimensions") as caught:
        load_expert(bundle)
    assert [problem.code for problem in caught.value.problems] == ["LC726"]


def test_invalid_tensors(bundle, prior_model):
    """A file without prior tokens is rejected: LC722."""
    write_priors(
        bundle,
        prior_model,
        FlawLocalizer(fit_threshold([0.0, 1.0, 2.0], is_held_out=True), prior_model.loc.frame, fit_zones(())),
        "",
    )
    file = expert_file(bundle.path, "priors")

    with safe_open(file, framework="pt") as archive:
        metadata = archive.metadata()
    save_file({"tokens.question": torch.zeros(2, 8)}, file, metadata=metadata)

    with pytest.raises(BundleError) as caught:
        load_expert(bundle)
    assert [problem.code for problem in caught.value.problems] == ["LC722"]


def test_photos_in_one_size():
    """Whatever their sizes."""
    assert stack_pixels([good_photo(0), good_photo(1)[:64]], (48, 32)).shape == (2, 3, 48, 32)
