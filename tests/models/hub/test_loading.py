"""Loading of hub models from this machine: without videos, network access and foreign code."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from logicls.errors import BundleError
from logicls.models.hub.chat_template import make_inputs
from logicls.models.hub.loading import (
    box_format_for,
    choose_precision,
    conventions_for,
    count_overview_tokens,
    find_checkpoint,
    hash_checkpoint,
    load_model,
    load_processor,
)

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)


def refusal(action, *args, **kwargs) -> str:
    """Return the message of the error."""
    with pytest.raises(BundleError) as caught:
        action(*args, **kwargs)
    return str(caught.value)


def test_every_family_processes_a_photo(each):
    """It needs no torchvision; placeholders match visual tokens, or the model would raise."""
    inputs = make_inputs(each.processor, each.codec.chat_format, [PHOTO])

    with torch.inference_mode():
        logits = each.model(**inputs).logits

    visual = int((inputs["input_ids"] == each.model.config.image_token_id).sum())
    assert visual > 0
    assert logits.shape[1] == inputs["input_ids"].shape[1]


def test_a_saved_processor_gives_the_same_inputs(each, tmp_path):
    """The processor in a bundle processes a photo equally."""
    each.processor.save_pretrained(tmp_path)

    again = load_processor(tmp_path)

    before, after = (make_inputs(p, each.codec.chat_format, [PHOTO]) for p in (each.processor, again))
    assert type(again).__name__ == type(each.processor).__name__
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("shape", [(20, 20, 3), (90, 150, 3), (150, 40, 3)])
def test_the_substitute_processor_of_smolvlm_writes_the_same_text(opened, shape):
    """Idefics3's processor writes the text of SmolVLM's own, which needs libraries for videos."""
    processor = opened("smolvlm").processor
    photo = np.zeros(shape, np.uint8)

    ids = processor(text=["<image>"], images=[[photo]])["input_ids"][0]

    found = processor.image_processor([[photo]], return_row_col_info=True)
    rows, columns = found["rows"][0][0], found["cols"][0][0]
    text = get_image_prompt_string(rows, columns, 4, "<fake_token_around_image>", "<image>", "<global-img>")
    assert processor.tokenizer.decode(ids) == text


@pytest.mark.parametrize("shape", [(90, 150, 3), (400, 300, 3), (30, 200, 3)])
def test_boxes_of_qwen_are_pixels_of_the_resized_photo(opened, shape):
    """The size is that of this processor, with its own limits."""
    made = opened("qwen2_5_vl")

    grid = make_inputs(made.processor, made.codec.chat_format, [np.zeros(shape, np.uint8)])["image_grid_thw"][
        0
    ].tolist()

    resizing = box_format_for(conventions_for("qwen2_5_vl").boxes, made.processor).resize
    assert resizing is not None
    assert resizing((shape[1], shape[0])) == (grid[2] * 14, grid[1] * 14)


def test_the_overview_tokens_are_counted(opened):
    """They show the photo a second time."""
    tokens = {
        f: count_overview_tokens(conventions_for(f), opened(f).processor)
        for f in ("idefics3", "llava_onevision", "qwen3_vl")
    }

    assert tokens == {"idefics3": 4, "llava_onevision": 16, "qwen3_vl": 0}
    assert conventions_for("of tomorrow") == conventions_for("qwen3_vl")


def test_settings_override_those_of_the_processor(checkpoint):
    """A lower limit makes fewer patches; an unknown setting is an error that lists the available ones."""
    folder = checkpoint("qwen3_vl")

    smaller = load_processor(folder, {"size": {"shortest_edge": 32 * 32, "longest_edge": 32 * 32 * 4}})
    said = refusal(load_processor, folder, {"longest": 3})

    assert smaller.image_processor(PHOTO)["image_grid_thw"].prod() <= 16
    assert said.startswith(f"{folder} LC511 its image processor has no setting longest. Available: ")
    assert " patch_size," in said


def test_a_model_is_not_downloaded_without_permission():
    """It holds for a name that was never cached and for an invalid one."""
    assert refusal(find_checkpoint, "nobody/nothing") == (
        "nobody/nothing LC510 this model is not on this machine. "
        "Pass a folder that contains it, or add --download to fetch it."
    )
    assert "LC510" in refusal(find_checkpoint, "no such folder/at all/here")


def test_a_folder_is_recorded_by_its_absolute_path(checkpoint, monkeypatch):
    """It is found from another working directory."""
    folder = checkpoint("llava")
    monkeypatch.chdir(folder.parent)

    base = find_checkpoint(folder.name)

    assert (base.name, base.revision, base.path) == (str(folder.resolve()), "", folder.resolve())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_the_hash_covers_weights_and_configuration(checkpoint, tmp_path, name):
    """One byte changes it; other files do not count."""
    copy = shutil.copytree(checkpoint("llava"), tmp_path / "copy")
    before = hash_checkpoint(copy)
    (copy / "README.md").write_text("new")
    same = hash_checkpoint(copy)

    data = bytearray((copy / name).read_bytes())
    data[-2] ^= 1
    (copy / name).write_bytes(data)

    assert same == before == hash_checkpoint(checkpoint("llava"))
    assert hash_checkpoint(copy) != before


def test_an_unusable_folder_is_an_error(checkpoint, tmp_path):
    """An empty folder, damaged weights, pickled weights."""
    copy = shutil.copytree(checkpoint("llava"), tmp_path / "copy")
    empty = refusal(load_processor, tmp_path)
    (copy / "model.safetensors").write_bytes(b"no weights")
    damaged = refusal(load_model, copy, precision="float32")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    pickled = refusal(load_model, copy, precision="float32")

    assert empty.startswith(f"{tmp_path} LC511 its processor cannot be loaded: ")
    assert damaged.startswith(f"{copy} LC511 it cannot be loaded: ")
    assert pickled.startswith(f"{copy} LC511 it cannot be loaded: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_four_bits_need_a_gpu(checkpoint):
    """It is an error before anything is loaded; the precision depends on the machine."""
    said = refusal(load_model, checkpoint("llava"), precision="float32", four_bit=True)

    assert said.startswith("LC512 the model cannot be loaded in four bits: ")
    assert said.endswith("Install logicls[four-bit] on a machine with a GPU, or leave out `four_bit`.")
    assert [choose_precision(wanted) for wanted in ("auto", "float32", "bfloat16")] == [
        "float32",
        "float32",
        "bfloat16",
    ]
