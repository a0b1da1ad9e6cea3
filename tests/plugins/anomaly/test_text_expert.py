"""Text expert with a randomly initialised CLIP."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from logicls.anomaly.features import localization_ratio
from logicls.errors import BundleError, DataError
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


def write_clip(folder: Path, width: int = 16) -> Path:
    """Write a tiny CLIP with random weights: photos of 32 x 32 in patches of 8."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    tokens = runpy.run_path(str(Path(__file__).parents[2] / "checkpoints.py"))["tokenizer"](("<pad>", "<end>"), "<end>")
    part = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**part, "vocab_size": len(tokens), "eos_token_id": tokens.eos_token_id, "max_position_embeddings": 64}
    vision = {**part, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessorPil(), tokens).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """Return its folder."""
    return write_clip(tmp_path_factory.mktemp("clip"))


def test_patches_and_texts_share_space(encoder):
    """Patches, as a grid, and texts are embedded in the projection's width."""
    clip_encoder = load_clip(str(encoder))
    patches, words = clip_encoder.embed_patches(good_photo(0)), clip_encoder.embed_texts(ANOMALY_PROMPTS)

    assert patches.shape == (4, 4, 16)
    assert words.shape == (len(ANOMALY_PROMPTS), 16)
    assert clip_encoder.width == 16


def test_text_embeddings_equal_model(encoder):
    """Text embeddings equal those of the model."""
    from transformers import CLIPModel

    clip_encoder = load_clip(str(encoder))
    tokens = clip_encoder.processor.tokenizer(
        list(NORMAL_PROMPTS[:1]), return_tensors="pt", return_token_type_ids=False
    )
    with torch.inference_mode():
        result = CLIPModel.from_pretrained(encoder).get_text_features(**tokens)

    assert torch.allclose(
        clip_encoder.embed_texts(NORMAL_PROMPTS[:1]), getattr(result, "pooler_output", result), atol=1e-5
    )


def test_localization_map_size(encoder):
    """The map has the input's size and agrees with the ratio of each patch."""
    clip_encoder = load_clip(str(encoder))
    patches, normal, anomalous = (
        clip_encoder.embed_patches(good_photo(0)),
        clip_encoder.embed_texts(NORMAL_PROMPTS),
        clip_encoder.embed_texts(ANOMALY_PROMPTS),
    )

    result, expected = (
        localization_map(patches, normal, anomalous, (32, 32)),
        localization_ratio(patches, normal, anomalous),
    )

    assert result.shape == (32, 32)
    assert torch.allclose(torch.nn.functional.avg_pool2d(result[None], 8)[0], expected, atol=0.15)


def test_fit_and_detect(bundle, dataset, encoder):
    """The threshold is fitted to all good photos, which stay below it; a finding names the type."""
    threshold = fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder=str(encoder)))
    expert = load_expert(bundle)
    expert.localizer = replace(expert.localizer, threshold=replace(threshold, score=0.0, median=-1.0))

    (flaw,) = expert.detect_anomalies([good_photo(3)])

    assert (threshold.photo_count, threshold.is_held_out) == (30, True)
    assert all(
        one.probability < 0.5 for one in load_expert(bundle).detect_anomalies([good_photo(seed) for seed in range(30)])
    )
    assert "most similar to: " in flaw.description


def test_missing_encoder(bundle, dataset):
    """A model that is not on this machine is not downloaded."""
    with pytest.raises(DataError, match="cannot embed photos and texts") as caught:
        fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder="no/such-clip"))
    assert [problem.code for problem in caught.value.problems] == ["LC725"]


def test_encoder_without_texts(bundle, dataset, tmp_path):
    """A model without a text encoder is rejected."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)).save_pretrained(
        tmp_path
    )
    ViTImageProcessorPil().save_pretrained(tmp_path)

    with pytest.raises(DataError, match="cannot embed photos and texts"):
        fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder=str(tmp_path)))


def test_other_embedding_width(bundle, dataset, tmp_path):
    """A replaced encoder of another width is rejected."""
    fit_expert(bundle, dataset, ExpertSettings(kind="texts", encoder=str(write_clip(tmp_path / "clip"))))
    write_clip(tmp_path / "clip", 24)

    with pytest.raises(
        BundleError, match="has 24 embedding dimensions, but the text embeddings of this expert have 16"
    ):
        load_expert(bundle)


def test_encoder_setting():
    """An encoder is needed for texts, and rejected for other kinds."""
    for wrong in ({"kind": "texts"}, {"encoder": "x"}):
        with pytest.raises(ValueError, match="kind texts needs an encoder"):
            ExpertSettings.model_validate(wrong)
    assert json.loads(ExpertSettings().model_dump_json())["encoder"] == ""
    assert np.isfinite(ExpertSettings().coreset_ratio)


def test_code_of_an_encoder_is_never_run(tmp_path):
    """A folder that names code of its own is refused, and the code is not run."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    auto_map = {"AutoConfig": "foreign.Config", "AutoModel": "foreign.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "foreign", "auto_map": auto_map}))
    (folder / "foreign.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")

    with pytest.raises(DataError, match="LC725"):
        load_clip(str(folder))

    assert not (tmp_path / "was_run").exists()
