"""The expert that holds patches against words."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from logicls.errors import BundleError, DataError
from logicls.plugins.anomaly.features import localization_ratio
from logicls.plugins.anomaly.fit import fit_expert
from logicls.plugins.anomaly.text_expert import (
    ANOMALY_PROMPTS,
    NORMAL_PROMPTS,
    load_clip,
    load_expert,
    localization_map,
)
from logicls.plugins.settings import ExpertSettings

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo = _HERE["good_photo"]


def clip(folder: Path, width: int = 16) -> Path:
    """A tiny CLIP with random weights: photos of 32 x 32 in patches of 8."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    tokens = runpy.run_path(str(Path(__file__).parents[2] / "checkpoints.py"))["tokenizer"](("<pad>", "<end>"), "<end>")
    part = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**part, "vocab_size": len(tokens), "eos_token_id": tokens.eos_token_id, "max_position_embeddings": 64}
    look = {**part, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=look, projection_dim=width)
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessorPil(), tokens).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """One, made once."""
    return clip(tmp_path_factory.mktemp("clip"))


def test_patches_and_words_share_a_space(encoder):
    """Both are embedded in the projection's dimension; a patch's place on the photo is its place in the grid."""
    made = load_clip(str(encoder))
    patches, words = made.embed_patches(good_photo(0)), made.embed_texts(ANOMALY_PROMPTS)

    assert patches.shape == (4, 4, 16)
    assert words.shape == (len(ANOMALY_PROMPTS), 16)
    assert made.width == 16


def test_words_are_the_models_own(encoder):
    """What is embedded of a text is what the model gives for it."""
    from transformers import CLIPModel

    made = load_clip(str(encoder))
    tokens = made.processor.tokenizer(list(NORMAL_PROMPTS[:1]), return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        found = CLIPModel.from_pretrained(encoder).get_text_features(**tokens)

    assert torch.allclose(made.embed_texts(NORMAL_PROMPTS[:1]), getattr(found, "pooler_output", found), atol=1e-5)


def test_loc_has_the_inputs_size(encoder):
    """In the middle of a patch's place it is near what the ratio gives for the patch."""
    made = load_clip(str(encoder))
    patches, right, wrong = (
        made.embed_patches(good_photo(0)),
        made.embed_texts(NORMAL_PROMPTS),
        made.embed_texts(ANOMALY_PROMPTS),
    )

    found, expected = localization_map(patches, right, wrong, (32, 32)), localization_ratio(patches, right, wrong)

    assert found.shape == (32, 32)
    assert torch.allclose(torch.nn.functional.avg_pool2d(found[None], 8)[0], expected, atol=0.15)


def test_fit_and_examine(bundle, dataset, encoder):
    """All good photos set the bar; those photos stay below it, and a finding tells its type."""
    bar = fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder=str(encoder)))
    expert = load_expert(bundle)
    expert.localizer = replace(expert.localizer, bar=replace(bar, at=0.0, usual=-1.0))

    (flaw,) = expert.detect_anomalies([good_photo(3)])

    assert (bar.photo_count, bar.is_held_out) == (30, True)
    assert all(
        one.probability < 0.5 for one in load_expert(bundle).detect_anomalies([good_photo(seed) for seed in range(30)])
    )
    assert "most like: " in flaw.description


def test_no_such_encoder(bundle, dataset):
    """What is not on this machine is not fetched."""
    with pytest.raises(DataError, match="cannot embed photos and texts") as caught:
        fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder="no/such-clip"))
    assert [problem.code for problem in caught.value.problems] == ["LC725"]


def test_an_encoder_of_another_kind(bundle, dataset, tmp_path):
    """A model that embeds no texts beside photos is refused."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)).save_pretrained(
        tmp_path
    )
    ViTImageProcessorPil().save_pretrained(tmp_path)

    with pytest.raises(DataError, match="cannot embed photos and texts"):
        fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder=str(tmp_path)))


def test_another_dimension(bundle, dataset, tmp_path):
    """The encoder's folder was exchanged for one of another dimension."""
    fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder=str(clip(tmp_path / "clip"))))
    clip(tmp_path / "clip", 24)

    with pytest.raises(BundleError, match="embeds in 24 dimensions, and the words of this expert have 16"):
        load_expert(bundle)


def test_settings_go_together():
    """An encoder is for texts, and texts need one."""
    for wrong in ({"kind": "texts"}, {"encoder": "x"}):
        with pytest.raises(ValueError, match="kind texts needs an encoder"):
            ExpertSettings.model_validate(wrong)
    assert json.loads(ExpertSettings().model_dump_json())["encoder"] == ""
    assert np.isfinite(ExpertSettings().share)
