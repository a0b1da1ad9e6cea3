"""Training an adapter for a model of the hub: from a dataset to a bundle, for each family."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaMLP

from logicls.errors import BundleError, RecipeError
from logicls.models.bundle import load_bundle
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.bundle_io import describe_base
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, conventions_for, find_checkpoint, load_model, load_processor
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.predict.decision import load_decision_model
from logicls.predict.folder.runner import predict_folder
from logicls.predict.readers import make_reader
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.self_test import open_bundle
from logicls.predict.serialization import read_verdicts
from logicls.train.fit import fit
from logicls.train.hub_dataset import HubBatches, HubExamples, open_rows, score_answers
from logicls.train.metrics_log import SILENT, TrainingObserver, read_rows
from logicls.train.recipe import HubSettings, Recipe
from logicls.train.sampler import UniformSampler

FAMILIES = ["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"]
QUIET = {"observer": SILENT}


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    """Every family in turn."""
    return request.param


def short_recipe(folder, steps: int = 2, **hub) -> Recipe:
    """Make the recipe of a short run."""
    return Recipe(model=str(folder), steps=steps, batch=4, lr=5e-3, checkpoint_every=1, hub=HubSettings(rank=2, **hub))


@pytest.fixture(scope="module")
def examples_of(checkpoint, synth, tmp_path_factory):
    """Function that encodes the dataset with a family's processor."""
    rows = open_rows(synth, tmp_path_factory.mktemp("cache"))

    def made(family: str) -> HubExamples:
        processor = load_processor(checkpoint(family))
        coordinates = box_format_for(conventions_for(family).boxes, processor)
        return HubExamples(
            rows, processor, HubAnswerCodec(coordinates, read_chat_format(processor, family), processor.tokenizer)
        )

    return made


@pytest.mark.slow
def test_a_run_writes_a_bundle_that_predicts(checkpoint, synth, tmp_path, family):
    """Preflight, two steps, adapter saved and loaded, self-test, calibration, a folder of photos predicted."""
    steps, lines, counts = [], [], []
    observer = TrainingObserver(
        on_message=lines.append, on_examples=counts.append, on_step=lambda *step: steps.append(step)
    )
    made = fit(
        synth, tmp_path / "bundle", short_recipe(checkpoint(family)).model_copy(update={"validation": 0.3}), 
        observer=observer,
    )  # fmt: skip
    (tmp_path / "photos").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")

    opened = open_bundle(tmp_path / "bundle")
    count = predict_folder(opened, tmp_path / "photos", tmp_path / "verdicts")

    facts = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    adapter = load_file(tmp_path / "bundle" / "adapter_model.safetensors")
    verdicts = list(read_verdicts(tmp_path / "verdicts" / "verdicts.jsonl"))
    assert (count, [verdict.bundle for verdict in verdicts]) == (2, [made.id, made.id])
    assert [step for step, _ in steps] == [1, 2]
    assert sum(counts) == 20
    assert lines[0].startswith("20 examples of at most ")
    assert any(value.abs().sum() > 0 for name, value in adapter.items() if "lora_B" in name)
    assert facts["versions"] == {name: version(name) for name in ("torch", "transformers", "peft")}
    assert facts["hub"]["base"] == str(checkpoint(family))
    assert not (tmp_path / "bundle" / "model.safetensors").exists()
    assert any(line.startswith("validation set: ") for line in lines)
    assert load_decision_model(opened).calibration.example_count > 0
    assert lines[-1].startswith(
        f"calibrated on {load_decision_model(opened).calibration.example_count} validation examples"
    )
    assert verdicts[0].thresholds == load_decision_model(opened).thresholds.id


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava", "qwen3_vl"])
def test_a_merged_bundle_needs_no_base_and_predicts_the_same(checkpoint, synth, tmp_path, family):
    """The same run, written as a full model: same answers in the self-test."""
    given = short_recipe(checkpoint(family), where="everywhere")
    fit(synth, tmp_path / "a", given, **QUIET)
    fit(synth, tmp_path / "b", given.model_copy(update={"hub": given.hub.model_copy(update={"merge": True})}), **QUIET)

    bundles = [open_bundle(tmp_path / name) for name in "ab"]

    photo = np.asarray(Image.open(tmp_path / "a" / "probe" / "0.jpg").convert("RGB"))
    one, other = (predict_arrays(make_reader(bundle), [photo])[0] for bundle in bundles)
    facts = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert (facts["hub"]["merged"], (tmp_path / "b" / "adapter_model.safetensors").exists()) == (True, False)
    assert [(a.query, a.values, a.boxes) for a in one.answers] == [(a.query, a.values, a.boxes) for a in other.answers]
    assert dict(one.violation_probabilities) == pytest.approx(dict(other.violation_probabilities), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"precision": "bfloat16"}, {"gradient_checkpointing": True}])
def test_precision_and_gradient_checkpointing_are_applied(checkpoint, synth, tmp_path, settings):
    """Frozen weights have the precision, also in the opened bundle; gradient checkpointing changes no loss."""
    losses_of = {}
    for name, hub in (("plain", {}), ("set", settings)):
        losses = losses_of[name] = []
        observer = TrainingObserver(on_step=lambda _, loss, losses=losses: losses.append(loss))
        fit(synth, tmp_path / name, short_recipe(checkpoint("qwen2_5_vl"), dropout=0.0, **hub), observer=observer)

    near = 1e-4 if "gradient_checkpointing" in settings else 0.05
    model = open_bundle(tmp_path / "set").model
    assert losses_of["set"] == pytest.approx(losses_of["plain"], abs=near)
    assert str(model.get_input_embeddings().weight.dtype) == f"torch.{settings.get('precision', 'float32')}"


@pytest.mark.slow
def test_gradient_checkpointing_recomputes_each_layer(checkpoint, synth, tmp_path, monkeypatch):
    """Each layer of the language model runs once more in the backward pass."""
    calls, plain = [], LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: calls.append(torch.is_grad_enabled()) or plain(self, x))
    counts = []
    for wanted in (False, True):
        calls.clear()
        given = short_recipe(checkpoint("idefics3"), steps=1, gradient_checkpointing=wanted)
        fit(synth, tmp_path / str(wanted), given, **QUIET)
        counts.append(sum(calls))

    assert counts[1] == 2 * counts[0] > 0


@pytest.mark.slow
def test_gradient_accumulation_takes_the_same_steps(checkpoint, synth, tmp_path):
    """Same examples, same losses, same weights but for rounding."""
    found = {}
    for parts in (1, 4):
        targets, given = [], short_recipe(checkpoint("llava"), dropout=0.0, accumulate=parts)
        fit(
            synth,
            tmp_path / str(parts),
            given,
            observer=TrainingObserver(on_step=lambda _, loss, targets=targets: targets.append(loss)),
        )
        found[parts] = targets, load_file(tmp_path / str(parts) / "adapter_model.safetensors")

    (losses_, weights), (others, parts) = found[1], found[4]
    assert others == pytest.approx(losses_, abs=1e-3)
    assert all(torch.allclose(parts[name], value, atol=1e-3) for name, value in weights.items())


def test_padding_does_not_change_an_example_s_loss(checkpoint, examples_of, family):
    """Whichever positions a family counts."""
    examples, model = examples_of(family), load_model(checkpoint(family), precision="float32")

    def loss(rows: list[int]) -> list[float]:
        drawn = [(row, np.random.default_rng(row)) for row in rows]
        with torch.inference_mode():
            return score_answers(model, examples.make_batch(drawn, jitter=0.0, verdict_weight=1.0))[0].tolist()

    together, alone = loss([0, 1, 2]), [loss([row])[0] for row in range(3)]

    assert together == pytest.approx(alone, abs=1e-4)
    assert len({round(one, 3) for one in alone}) == 3


def test_labels_are_the_answers_tokens(examples_of, family):
    """Labels are the answer and its end token, at the end of each row; the question is before them."""
    examples = examples_of(family)
    drawn = [(row, np.random.default_rng(row)) for row in range(4)]
    batch = examples.make_batch(drawn, jitter=0.0, verdict_weight=1.0)
    codec, width = examples.codec, batch["input_ids"].shape[1]

    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        first = int((labels != IGNORE_INDEX).nonzero()[0])
        targets = labels[first:].tolist()
        before = codec.detokenize(ids[:first].tolist())
        assert targets == ids[first:].tolist()
        assert targets[-1] == codec.chat_format.end_token
        assert codec.detokenize(targets[:-1]).strip().startswith("@ ")
        assert before.endswith(codec.chat_format.prompt_suffix)
        assert (labels[:first] == IGNORE_INDEX).all()
        assert len(labels) == width


def test_an_epoch_has_every_photo_once_with_a_drawn_question(examples_of):
    """Five steps of four are the twenty rows; the questions differ between epochs."""
    examples = examples_of("llava")
    even = UniformSampler(range(20), batch=4, seed=0)
    feed = HubBatches(examples, sampler=even, start=0, stop=10, parts=2, jitter=0.1, verdict_weight=3.0, seed=0)

    parts = list(feed)

    again = HubBatches(examples, sampler=even, start=6, stop=10, parts=2, jitter=0.1, verdict_weight=3.0, seed=0)
    lines = [[examples.codec.detokenize(row[row != IGNORE_INDEX].tolist()) for row in part["labels"]] for part in parts]
    assert [len(part["input_ids"]) for part in parts] == [2] * 20
    assert lines[:10] != lines[10:]
    assert all(torch.equal(one["input_ids"], other["input_ids"]) for one, other in zip(parts[12:], again, strict=True))


class Killed(Exception):
    """In the place of a signal."""


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_weights(checkpoint, synth, tmp_path):
    """To the last bit, dropout included; the checkpoint holds trained weights alone."""
    given = short_recipe(checkpoint("qwen2_5_vl"), steps=4, dropout=0.2, accumulate=2)
    fit(synth, tmp_path / "full", given, **QUIET)

    def stop(step: int, _: float) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        fit(synth, tmp_path / "parts", given, observer=TrainingObserver(on_step=stop))
    state = torch.load(tmp_path / "parts" / "work" / "last.ckpt", weights_only=True)["state_dict"]
    steps = []
    fit(
        synth,
        tmp_path / "parts",
        given,
        resume=True,
        observer=TrainingObserver(on_step=lambda step, _: steps.append(step)),
    )

    one, other = (tmp_path / name / "adapter_model.safetensors" for name in ("full", "parts"))
    assert steps == [3, 4]
    assert one.read_bytes() == other.read_bytes()
    assert state
    assert all("lora_" in name for name in state)


@pytest.mark.slow
def test_resampling_survives_an_interruption(checkpoint, synth, tmp_path):
    """Over two blocks: the log, a plot, and the weights of an uninterrupted run to the last bit."""
    given = short_recipe(checkpoint("llava"), steps=13, accumulate=2)
    fit(synth, tmp_path / "full", given, **QUIET)
    even = fit(synth, tmp_path / "even", given.model_copy(update={"hard_example_mining": False}), **QUIET)

    def stop(step: int, _: float) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        fit(synth, tmp_path / "parts", given, observer=TrainingObserver(on_step=stop))
    fit(synth, tmp_path / "parts", given, resume=True, **QUIET)

    rows = read_rows(tmp_path / "full" / "work" / "difficulty.csv")
    assert sorted({int(row["step"]) for row in rows}) == [10, 13]
    assert all(1 <= float(row["mean_weight"]) <= 8 for row in rows)
    assert (tmp_path / "full" / "difficulty.png").stat().st_size > 5000
    for name in ("adapter_model.safetensors", "work/difficulty.csv", "training.csv"):
        assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert not (even.path / "difficulty.png").exists()
    assert load_file(even.path / "adapter_model.safetensors").keys()
    assert (even.path / "training.csv").read_text() != (tmp_path / "full" / "training.csv").read_text()


def test_an_answer_is_correct_if_each_token_is_the_likeliest(checkpoint, examples_of):
    """The model's own greedy answer is correct; with another last token it is not."""
    examples, model = examples_of("llava"), load_model(checkpoint("llava"), precision="float32")
    batch = examples.make_batch(
        [(0, np.random.default_rng(0)), (1, np.random.default_rng(1))], jitter=0.0, verdict_weight=1.0
    )
    targets = batch["labels"] != IGNORE_INDEX
    first = int(targets.any(0).nonzero()[0])
    with torch.inference_mode():
        for place in range(first, targets.shape[1]):
            given = {name: value for name, value in batch.items() if name not in ("labels", "question")}
            likeliest = model(**given).logits[:, place - 1].argmax(-1)
            here = targets[:, place]
            batch["input_ids"][here, place] = batch["labels"][here, place] = likeliest[here]
        is_correct = score_answers(model, batch)[1].tolist()
        batch["labels"][0, -1] = (batch["labels"][0, -1] + 1) % 50
        changed = score_answers(model, batch)[1].tolist()

    assert (is_correct, changed) == ([True, True], [False, True])


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(checkpoint, synth, kill_training, tmp_path):
    """`kill -9` in a step, then resume: the same adapter to the last bit."""
    given = short_recipe(checkpoint("smolvlm"), steps=4, dropout=0.2)
    fit(synth, tmp_path / "full", given, **QUIET)

    kill_training(synth, tmp_path / "parts", given, "step 3, loss")
    fit(synth, tmp_path / "parts", given, resume=True, **QUIET)

    one, other = (tmp_path / name / "adapter_model.safetensors" for name in ("full", "parts"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_run_may_start_from_a_bundle_of_the_same_model(checkpoint, synth, tmp_path):
    """Its first loss is that of the bundle's last steps; a bundle of another model is refused."""
    before, after = [], []
    given = short_recipe(checkpoint("llava"), steps=6, dropout=0.0)
    fit(synth, tmp_path / "a", given, observer=TrainingObserver(on_step=lambda _, loss: before.append(loss)))
    fit(
        synth,
        tmp_path / "b",
        given,
        start=tmp_path / "a",
        observer=TrainingObserver(on_step=lambda _, loss: after.append(loss)),
    )

    with pytest.raises(RecipeError, match="LC412 holds no adapter of this model"):
        fit(synth, tmp_path / "c", short_recipe(checkpoint("idefics3")), start=tmp_path / "a", **QUIET)

    assert before[-1] < before[0]
    assert after[0] < before[0] - 0.5 * (before[0] - before[-1])


@pytest.mark.slow
def test_a_changed_or_missing_base_model_is_refused(checkpoint, synth, tmp_path):
    """The hash identifies a changed one; a missing one is named."""
    base = shutil.copytree(checkpoint("llava"), tmp_path / "base")
    fit(synth, tmp_path / "bundle", short_recipe(base, steps=1), **QUIET)
    (base / "config.json").write_text((base / "config.json").read_text() + " ")

    with pytest.raises(BundleError) as changed:
        load_bundle(tmp_path / "bundle")
    shutil.rmtree(base)
    with pytest.raises(BundleError) as missing:
        load_bundle(tmp_path / "bundle")

    assert str(changed.value) == (
        f"{tmp_path / 'bundle'} LC514 {base} is not the model that the adapter was trained on: configuration or "
        "weights differ. Restore that model, or train again."
    )
    assert str(missing.value).startswith(f"{base} LC510 this model is not on this machine.")


def test_bundle_facts_describe_the_base_model(checkpoint):
    """Name, hash, and box format."""
    found, boxes = find_checkpoint(str(checkpoint("qwen3_vl"))), conventions_for("qwen3_vl").boxes
    hub = describe_base(found, merged=False, precision="bfloat16", four_bit=False, boxes=boxes)

    assert (len(hub.sha256), hub.precision, str(hub.boxes)) == (64, "bfloat16", "qwen3_vl")
