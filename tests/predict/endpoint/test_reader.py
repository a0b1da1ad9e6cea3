"""Endpoint reader: requests, parsing of answers, retries and errors, against a strict server of OpenAI's API."""

from __future__ import annotations

import json
import math
import runpy
import socket
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from logicls.answer_format import format_answers
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.spec.loader import load_spec
from logicls.errors import LogiClsError
from logicls.models.box_formats import BOX_FORMATS, BoxFamily, encode_boxes
from logicls.predict.endpoint.client import ChatClient, Endpoint, normalize_url
from logicls.predict.endpoint.prompts import PromptMode, PromptOptions, RequestBuilder
from logicls.predict.endpoint.reader import DEFAULT_MAX_ITEMS, guess_box_family, open_endpoint_reader
from logicls.predict.folder.runner import inspect_with_reader, predict_folder
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.serialization import read_verdicts
from logicls.prompts.templates import build_response, canonical_question
from logicls.records import Answer, Box

_server = runpy.run_path(str(Path(__file__).with_name("openai_server.py")))
StrictServer, run_server = _server["StrictServer"], _server["run_server"]

GOOD = {
    "locate:pin": [[100, 100, 300, 200], [500, 100, 700, 200]], "attribute:pin.colour": ["red", "red"],
    "locate:lid": [[0, 500, 1000, 1000]], "attribute:lid.shape": ["round"], "verdict": [],
}  # fmt: skip
BAD = {**GOOD, "locate:pin": [[100, 100, 300, 200]], "attribute:pin.colour": ["red"], "verdict": ["missing_pin"]}


@pytest.fixture
def spec(box_spec, tmp_path) -> Path:
    """A spec without a trained model."""
    file = tmp_path / "box.yaml"
    file.write_text(box_spec.read_text().replace("{name: box}", "{name: small_box}"))
    return file


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of three photos: white, grey, black."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("a", 255), ("b", 128), ("c", 0)):
        Image.new("RGB", (200, 100), (value, value, value)).save(folder / f"{name}.png")
    return folder


def predict_one(
    spec: Path, server, image: np.ndarray | None = None, options: PromptOptions | None = None, key: str = ""
):
    """Predict one photo with a server."""
    image = np.zeros((9, 9, 3), np.uint8) if image is None else image
    with (
        run_server(server) as url,
        open_endpoint_reader(spec, Endpoint(url, key=key), options or PromptOptions()) as reader,
    ):
        return predict_arrays(reader, [image])[0]


def by_grey(white: str, grey: str, black: str) -> Callable[[str, np.ndarray], str]:
    """Make a model whose answer depends on the brightness of the photo."""
    return lambda text, image: {255: white, 128: grey, 0: black}[int(image[0, 0, 0])]


def good_answers(spec: Path) -> dict[str, object]:
    """Answers of `GOOD` to the questions of the spec."""
    wanted = {query.id for query in decompose(load_spec(spec))}
    return {key: value for key, value in GOOD.items() if key in wanted}


def test_answers_of_a_server_become_verdicts(spec, folder, tmp_path):
    """Without a trained model: pass, fail, and review for an invalid answer."""
    good = good_answers(spec)
    bad = {key: BAD[key] for key in good}
    server = StrictServer(by_grey(json.dumps(good), json.dumps(bad), "{}"))
    server._check_form = lambda body, text: None  # invalid answers must pass

    with run_server(server) as url, open_endpoint_reader(spec, Endpoint(url), PromptOptions()) as reader:
        predict_folder(reader.bundle, folder, tmp_path / "out", inspect=inspect_with_reader(reader, folder, 2, 0))

    verdicts = {verdict.photo: verdict for verdict in read_verdicts(tmp_path / "out" / "verdicts.jsonl")}
    assert {photo: (verdict.outcome, verdict.violations) for photo, verdict in verdicts.items()} == {
        "a.png": ("pass", ()), "b.png": ("fail", ("missing_pin",)), "c.png": ("review", ()),
    }  # fmt: skip
    assert verdicts["c.png"].stated is None
    pins = next(answer for answer in verdicts["a.png"].answers if answer.query == "locate:pin")
    assert pins.boxes == (Box(20, 10, 60, 20), Box(100, 10, 140, 20))
    assert {verdict.bundle for verdict in verdicts.values()} == {reader.bundle.id}


def test_the_request_of_the_json_mode(spec, folder):
    """One request per photo: the unchanged photo, all questions and rules as text, the form as JSON Schema."""
    server = StrictServer(by_grey(*[json.dumps(good_answers(spec))] * 3))

    predict_one(spec, server, np.asarray(Image.open(folder / "b.png")))

    (body,) = server.requests
    text = body["messages"][0]["content"][1]["text"]
    assert (body["model"], body["temperature"], body["logprobs"]) == ("tiny", 0, True)
    assert np.array_equal(server.images[0], np.full((100, 200, 3), 128))
    assert "small box" in text
    assert "x from 0 (left) to 1000 (right), y from 0 (top) to 1000 (bottom)" in text
    assert '"locate:pin": where is every pin? A list of boxes, [] if there is none.' in text
    assert "A list with one of red, blue for each" in text
    assert "missing_pin or extra_pin: 2 pin" in text


@pytest.mark.parametrize("family", [family for family in BoxFamily if family not in ("paligemma", "florence2")])
def test_lines_and_chains_are_parsed_in_the_box_format_of_the_family(spec, family):
    """Answers of a trained model are returned unchanged, boxes to a pixel."""
    loaded, size = load_spec(spec), (600, 400)
    pins = (Box(30, 40, 90, 80), Box(120, 200, 400, 300))
    said = {"locate:pin": Answer("locate:pin", boxes=pins),
            "attribute:pin.colour": Answer("attribute:pin.colour", ("red", "blue")),
            "attribute:lid.shape": Answer("attribute:lid.shape", ()),
            "verdict": Answer("verdict", ("extra_pin", "missing_pin"))}  # fmt: skip
    answers = tuple(said.get(query.id, Answer(query.id)) for query in decompose(loaded))
    rng = np.random.default_rng(0)

    def respond(text: str, image: np.ndarray) -> str:
        asked = [
            a
            for a, q in zip(answers, decompose(loaded), strict=True)
            if canonical_question(q, loaded) in text.splitlines()
        ]
        whole = build_response(loaded, answers, size, rng) if len(asked) > 1 else format_answers(asked)
        return encode_boxes(whole, BOX_FORMATS[family], size).replace("<|box_start|>", "").replace("<|box_end|>", "")

    for mode, requests in ((PromptMode.lines, len(answers)), (PromptMode.chain, 1)):
        server = StrictServer(respond)
        prediction = predict_one(spec, server, np.zeros((400, 600, 3), np.uint8), PromptOptions(mode, family))

        found = (*prediction.answers, prediction.stated)
        assert len(server.requests) == requests
        assert [(a.query, a.values, a.readable, a.confidence) for a in found] == [
            (a.query, a.values, True, 1.0) for a in answers
        ]
        edges = [[b.x1, b.y1, b.x2, b.y2] for a in found for b in a.boxes]
        assert edges == [pytest.approx([b.x1, b.y1, b.x2, b.y2], abs=1) for b in pins]


def test_pixels_refer_to_the_image_that_is_sent(spec):
    """A family with pixels of the resized photo gets the photo resized."""
    said = {**good_answers(spec), "locate:pin": [[28, 28, 56, 56], [84, 28, 112, 84]]}
    server = StrictServer(lambda text, image: json.dumps(said), models=["Qwen/Qwen2.5-VL-7B-Instruct"])

    prediction = predict_one(spec, server, np.zeros((100, 200, 3), np.uint8))

    pins = next(answer for answer in prediction.answers if answer.query == "locate:pin")
    assert server.images[0].shape == (112, 196, 3)
    assert [box.x1 for box in pins.boxes] == pytest.approx([28 * 200 / 196, 84 * 200 / 196])
    assert pins.boxes[1].y2 == pytest.approx(84 * 100 / 112)


INVALID = {
    "no JSON": "I see two pins.",
    "no object": "[]",
    "a key is missing": json.dumps({"verdict": []}),
    "a box of three edges": json.dumps({**GOOD, "locate:pin": [[1, 2, 3]]}),
    "a box of words": json.dumps({**GOOD, "locate:pin": [["1", "2", "3", "4"]]}),
    "an endless edge": json.dumps({**GOOD, "locate:pin": [[1, 2, 3, 4]]}).replace("4]", "1e999]"),
    "too many": json.dumps({**GOOD, "locate:pin": [[1, 2, 3, 4]] * (DEFAULT_MAX_ITEMS + 1)}),
    "an unknown value": json.dumps({**GOOD, "attribute:pin.colour": ["red", "green"]}),
    "an unknown rule": json.dumps({**GOOD, "verdict": ["bad"]}),
    "no list": json.dumps({**GOOD, "locate:pin": "none"}),
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_answer_is_unreadable_and_no_error(spec, kind):
    """At least one answer is unreadable, so that the rules that need it are unknown."""
    builder = RequestBuilder(load_spec(spec), PromptMode.json, BOX_FORMATS["qwen3_vl"], DEFAULT_MAX_ITEMS)

    answers = builder.parse(builder.build((200, 100))[0], INVALID[kind], (), (200, 100))

    assert len(answers) == len(good_answers(spec))
    assert any(not answer.readable for answer in answers)


def test_json_in_a_fence_is_parsed(spec):
    """Models often write a fence where the server does not constrain the answer."""
    builder = RequestBuilder(load_spec(spec), PromptMode.json, BOX_FORMATS["qwen3_vl"], DEFAULT_MAX_ITEMS)

    answers = builder.parse(
        builder.build((9, 9))[0], f"```json\n{json.dumps(good_answers(spec), indent=1)}\n```", (), (9, 9)
    )

    assert all(answer.readable for answer in answers)


def test_a_truncated_answer_is_unreadable(spec):
    """Its text may be the beginning of another answer."""
    said = json.dumps(good_answers(spec)) + " " * 9000

    prediction = predict_one(spec, StrictServer(lambda text, image: said))

    assert [answer.readable for answer in (*prediction.answers, prediction.stated)] == [False] * len(good_answers(spec))


def test_confidences_are_those_of_the_answers_tokens(spec):
    """An unlikely value lowers the confidence of its own answer; unlikely coordinates of boxes lower none."""

    def pieces(said: str) -> list[tuple[str, float]]:
        cut = [said[k : k + 1] for k in range(len(said))]
        doubt = {said.index('"blue"') + 1: 0.25, said.index("500"): 0.1, said.index("]]"): 0.5}
        return [(sign, math.log(doubt.get(place, 1.0))) for place, sign in enumerate(cut)]

    said = {**good_answers(spec), "attribute:pin.colour": ["red", "blue"]}
    prediction = predict_one(spec, StrictServer(lambda text, image: json.dumps(said), tokens=pieces))

    sure = {answer.query: answer.confidence for answer in (*prediction.answers, prediction.stated)}
    assert sure["attribute:pin.colour"] == pytest.approx(0.25)
    assert sure["locate:pin"] == pytest.approx(0.5)
    assert sure["verdict"] == 1.0
    assert dict(prediction.violation_probabilities) == {"missing_pin": 0.0, "extra_pin": 0.0, "lid-goes-with-pin": 0.0}


@pytest.mark.parametrize(
    ("refused", "sent", "lost"),
    [
        ({"response_format"}, {"logprobs"}, "structure"),
        ({"logprobs"}, {"response_format"}, "probabilities"),
        ({"logprobs", "response_format"}, set(), "structure and probabilities"),
    ],
)
def test_rejected_features_are_not_requested_again(spec, refused, sent, lost):
    """They are reported once."""
    server, reports = StrictServer(lambda text, image: json.dumps(good_answers(spec)), refuses=frozenset(refused)), []

    with (
        run_server(server) as url,
        open_endpoint_reader(spec, Endpoint(url), PromptOptions(), reports.append) as reader,
    ):
        predictions = [predict_arrays(reader, [np.zeros((9, 9, 3), np.uint8)])[0] for _ in range(2)]

    assert [set(body) & {"logprobs", "response_format"} for body in server.requests] == [sent, sent]
    assert len(reports) == 1
    assert f"without {lost}, which the server rejects: 422" in reports[0]
    assert predictions[1].stated.readable


def test_requests_to_a_busy_server_are_repeated(spec):
    """After too many attempts it is an error, and the run can be continued later."""
    good = json.dumps(good_answers(spec))
    server = StrictServer(lambda text, image: good, fails=[503, 429, 500])
    image = np.zeros((9, 9, 3), np.uint8)

    with ChatClient(Endpoint("http://here", "tiny", pause=0.0), transport=httpx2.MockTransport(server)) as client:
        completion = client.complete(image, "x", 999, {})
        server.fails = [502] * 5
        with pytest.raises(
            LogiClsError, match="LC672 the server does not answer after 5 attempts: 502 Bad Gateway"
        ) as caught:
            client.complete(image, "x", 999, {})

    assert (completion.text, completion.is_complete) == (good, True)
    assert "the same command again" in str(caught.value)


def test_a_photo_that_the_server_rejects_goes_to_review(spec, folder, tmp_path):
    """The run continues, and the other photos are inspected."""
    good = json.dumps(good_answers(spec))

    def reject_dark(text: str, image: np.ndarray) -> str:
        if not image[0, 0, 0]:
            raise ValueError("too dark")
        return good

    with (
        run_server(StrictServer(reject_dark)) as url,
        open_endpoint_reader(spec, Endpoint(url), PromptOptions()) as reader,
    ):
        predict_folder(reader.bundle, folder, tmp_path / "out", inspect=inspect_with_reader(reader, folder, 2, 0))

    verdicts = read_verdicts(tmp_path / "out" / "verdicts.jsonl")
    assert [(v.photo, v.outcome) for v in verdicts] == [("a.png", "pass"), ("b.png", "pass"), ("c.png", "review")]


def test_an_unreachable_server_is_an_error(spec):
    """It is found before the first photo is opened."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with (
        pytest.raises(LogiClsError, match="LC672 the server does not answer after 5 attempts: ConnectError"),
        open_endpoint_reader(spec, Endpoint(f"http://127.0.0.1:{port}", pause=0.0), PromptOptions()),
    ):
        pass


def test_the_key_is_sent_and_not_shown(spec):
    """It is sent as a bearer token, and an error does not quote it."""
    server = StrictServer(lambda text, image: json.dumps(good_answers(spec)), key="sesame")

    prediction = predict_one(spec, server, key="sesame")
    with pytest.raises(LogiClsError, match="LC673") as caught:
        predict_one(spec, server, key="wrong")

    assert prediction.stated.readable
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("https://host/openai/v1/chat/completions?x=1", "https://host/openai/v1"),
        (" http://[::1]:80/v1 ", "http://[::1]/v1"),
    ],
)
def test_urls_are_normalized(written, base):
    """The path may be complete or not."""
    assert normalize_url(written) == base


def test_the_box_format_is_guessed_from_the_name():
    """Unknown names get thousandths."""
    names = ["Qwen/Qwen2.5-VL-3B-Instruct", "my_qwen2_5_vl", "Qwen2-VL-2B", "InternVL3-8B", "llava-1.5", "gemma"]

    assert [guess_box_family(name) for name in names] == [
        "qwen2_5_vl", "qwen2_5_vl", "qwen2_vl", "internvl", "llava", "qwen3_vl"
    ]  # fmt: skip


def test_the_id_depends_on_model_and_options(spec):
    """Their verdicts are not mixed in a folder."""
    server = StrictServer(lambda text, image: "", models=["one", "two"])
    variants = [
        ("one", PromptOptions()),
        ("two", PromptOptions()),
        ("one", PromptOptions(PromptMode.lines)),
        ("one", PromptOptions(boxes=BoxFamily.llava)),
    ]

    def id_of(url: str, model: str, options: PromptOptions) -> str:
        with open_endpoint_reader(spec, Endpoint(url, model), options) as reader:
            return reader.bundle.id

    with run_server(server) as url:
        ids = [id_of(url, model, options) for model, options in variants]
        again = id_of(f"{url}/v1", "one", PromptOptions())

    assert len(set(ids)) == 4
    assert again == ids[0]
    assert all(len(one) == 12 for one in ids)
