"""Against `transformers serve`, a real server, with a tiny model of a real architecture that learned five answers."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from PIL import Image

from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.spec.loader import load_spec
from logicls.errors import LogiClsError
from logicls.models.box_formats import BOX_FORMATS, BoxFamily
from logicls.models.hub.loading import load_model, load_processor
from logicls.predict.endpoint.client import Endpoint
from logicls.predict.endpoint.prompts import PromptMode, PromptOptions, answer_regex, answer_schema
from logicls.predict.endpoint.reader import open_endpoint_reader
from logicls.predict.folder.runner import inspect_with_reader, predict_folder
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.serialization import read_verdicts
from logicls.prompts.templates import canonical_question
from logicls.records import Box

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue]}}
constraints:
  - {id: two-pins, quantity: {of: pin, exactly: 2}, violation: {below: missing_pin, above: extra_pin}}
  - {id: red-pins, attribute: {of: pin.colour, is: red}}
"""
SAID = {
    "locate:pin": "@ locate:pin = [0.100, 0.200, 0.300, 0.400] [0.500, 0.200, 0.700, 0.400]",
    "attribute:pin.colour": "@ attribute:pin.colour = red, red",
    "verdict": "@ verdict = none",
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    """The rules of a small product."""
    file = tmp_path_factory.mktemp("spec") / "box.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture(scope="module")
def learned(checkpoint, spec, tmp_path_factory) -> Path:
    """The folder of a model that says those lines when it is asked; read only."""
    folder = tmp_path_factory.mktemp("learned") / "tiny"
    shutil.copytree(checkpoint("llava"), folder)
    processor, model = load_processor(folder), load_model(folder, precision="float32")
    rows = []
    for query in decompose(load_spec(spec)):
        content = [
            {"type": "image", "image": photo(255)},
            {"type": "text", "text": canonical_question(query, load_spec(spec))},
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt",
        )  # fmt: skip
        told = processor.tokenizer(SAID[query.id] + "</s>", add_special_tokens=False, return_tensors="pt")
        rows.append((inputs, told["input_ids"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(400):
        inputs, told = rows[step % len(rows)]
        ids = torch.cat([inputs["input_ids"], told], 1)
        labels = torch.cat([torch.full_like(inputs["input_ids"], -100), told], 1)
        loss = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, pixel_values=inputs["pixel_values"]
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    model.save_pretrained(folder)
    return folder


def photo(value: int) -> Image.Image:
    """A grey photo, 80 x 80."""
    return Image.new("RGB", (80, 80), (value, value, value))


@pytest.fixture(scope="module")
def address(learned) -> Iterator[str]:
    """Where the server is."""
    from transformers.cli.serve import Serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = Serve(str(learned), host="127.0.0.1", port=port, device="cpu", log_level="error", non_blocking=True)
    try:
        for _ in range(500):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                break
            except httpx2.TransportError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        served.server.should_exit = True
        served._thread.join()
        served.reset_loaded_models()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the server's own
def test_a_real_server_s_answers_are_judged(address, learned, spec, tmp_path):
    """What the model learned is read off its text, box by box; what the server cannot do is said."""
    (tmp_path / "photos").mkdir()
    photo(255).save(tmp_path / "photos" / "a.png")
    told: list[str] = []
    endpoint, wish = Endpoint(address, str(learned), pause=0.0), PromptOptions(PromptMode.lines, BoxFamily.llava)

    with open_endpoint_reader(spec, endpoint, wish, told.append) as reader:
        predict_folder(
            reader.bundle,
            tmp_path / "photos",
            tmp_path / "out",
            inspect=inspect_with_reader(reader, tmp_path / "photos", 2, 0),
        )

    (verdict,) = read_verdicts(tmp_path / "out" / "verdicts.jsonl")
    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("pass", (), (), ())
    pins = next(answer for answer in verdict.answers if answer.query == "locate:pin")
    assert pins.boxes == (Box(8, 16, 24, 32), Box(40, 16, 56, 32))
    assert len(told) == 1
    assert "answers come without structure, which the server rejects: 422" in told[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_real_server_s_nonsense_goes_to_review(address, learned, spec):
    """Asked for JSON, which it never learned, by a server that does not hold it to any."""
    with open_endpoint_reader(
        spec, Endpoint(address, str(learned), pause=0.0), PromptOptions(PromptMode.json)
    ) as reader:
        (look,) = predict_arrays(reader, [np.asarray(photo(0))])

    assert [answer.readable for answer in (*look.answers, look.stated)] == [False] * 3


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_real_server_without_the_model_is_an_error(address, learned, spec):
    """Instead of a folder that goes to review."""
    with (
        open_endpoint_reader(spec, Endpoint(address, "no/such-model", pause=0.0), PromptOptions()) as reader,
        pytest.raises(LogiClsError, match=r"LC675 the server rejects every request: 400 .*no/such-model"),
    ):
        predict_arrays(reader, [np.asarray(photo(0))])


def engine(checkpoint):
    """The engine that holds answers to a form in vLLM and SGLang, for a tiny model's tokens."""
    tokenizer = load_processor(checkpoint("qwen3_vl")).tokenizer
    return tokenizer, from_tokenizer(tokenizer, n_vocab=len(tokenizer), eos_token=tokenizer.eos_token_id)


def takes(checkpoint, grammar: str, text: str) -> bool:
    """Whether a form is one that the engine knows, and the text is within it."""
    tokenizer, tokens = engine(checkpoint)
    matcher = LLMatcher(tokens, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


@pytest.mark.parametrize("family", [name for name in BOX_FORMATS if name not in ("paligemma", "florence2", "qwen2_vl")])
def test_forms_are_those_of_engines(checkpoint, spec, family):
    """Lines and JSON are taken, and what is none is not."""
    queries, form = decompose(load_spec(spec)), BOX_FORMATS[family]
    boxes = form.boxes_to_text((Box(10, 20, 30, 40), Box(50, 20, 70, 40)), (112, 84))
    lines = {**SAID, "locate:pin": f"@ locate:pin = {boxes}"}
    schema = LLMatcher.grammar_from_json_schema(json.dumps(answer_schema(queries, form, (112, 84), 3)))
    good = {"locate:pin": [[0, 0, 1, 1]], "attribute:pin.colour": ["red"], "verdict": []}

    for query in queries:
        regex = LLMatcher.grammar_from_regex(answer_regex(query, form, 3))
        assert takes(checkpoint, regex, lines[query.id])
        assert takes(checkpoint, regex, f"@ {query.id} = none")
        assert not takes(checkpoint, regex, f"{lines[query.id]}, green")
    assert takes(checkpoint, schema, json.dumps(good))
    assert not takes(checkpoint, schema, json.dumps({**good, "verdict": ["green"]}))
