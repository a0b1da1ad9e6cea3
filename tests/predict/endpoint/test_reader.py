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
from logicls.predict.endpoint.prompts import RequestBuilder, PromptMode, PromptOptions
from logicls.predict.endpoint.reader import DEFAULT_MAX_ITEMS, open_endpoint_reader, guess_box_family
from logicls.predict.folder.runner import inspect_with_reader, predict_folder, read_verdicts
from logicls.prompts.templates import build_response, canonical_question
from logicls.records import Answer, Box

_server = runpy.run_path(str(Path(__file__).with_name("openai_server.py")))
Strict, listening = _server["Strict"], _server["listening"]

GOOD = {
    "locate:pin": [[100, 100, 300, 200], [500, 100, 700, 200]], "attribute:pin.colour": ["red", "red"],
    "locate:lid": [[0, 500, 1000, 1000]], "attribute:lid.shape": ["round"], "verdict": [],
}  # fmt: skip
BAD = {**GOOD, "locate:pin": [[100, 100, 300, 200]], "attribute:pin.colour": ["red"], "verdict": ["missing_pin"]}


@pytest.fixture
def spec(box_spec, tmp_path) -> Path:
    """The rules of a product that nothing was trained for."""
    file = tmp_path / "box.yaml"
    file.write_text(box_spec.read_text().replace("{name: box}", "{name: small_box}"))
    return file


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three photos: white, grey, black."""
    made = tmp_path / "photos"
    made.mkdir()
    for name, value in (("a", 255), ("b", 128), ("c", 0)):
        Image.new("RGB", (200, 100), (value, value, value)).save(made / f"{name}.png")
    return made


def look_of(spec: Path, mind, picture: np.ndarray | None = None, wish: PromptOptions | None = None, key: str = ""):
    """What a server with that mind says of one picture."""
    picture = np.zeros((9, 9, 3), np.uint8) if picture is None else picture
    with listening(mind) as url, open_endpoint_reader(spec, Endpoint(url, key=key), wish or PromptOptions()) as reader:
        return reader.predict_pixels([picture])[0]


def by_grey(white: str, grey: str, black: str) -> Callable[[str, np.ndarray], str]:
    """A model that goes by how light a photo is."""
    return lambda text, picture: {255: white, 128: grey, 0: black}[int(picture[0, 0, 0])]


def asked_of(spec: Path) -> dict[str, object]:
    """The questions that the spec has, with answers of this kind left in."""
    wanted = {query.id for query in decompose(load_spec(spec))}
    return {key: value for key, value in GOOD.items() if key in wanted}


def test_verdicts_of_a_server_are_verdicts(spec, folder, tmp_path):
    """Rules of a spec alone, a server that knows nothing of them: passes, fails, and review where it talks nonsense."""
    good = asked_of(spec)
    bad = {key: BAD[key] for key in good}
    mind = Strict(by_grey(json.dumps(good), json.dumps(bad), "{}"))
    mind._hold = lambda asked, said: None  # what cannot be read is to come through

    with listening(mind) as url, open_endpoint_reader(spec, Endpoint(url), PromptOptions()) as reader:
        predict_folder(reader.bundle, folder, tmp_path / "out", inspect=inspect_with_reader(reader, folder, 2, 0))

    verdicts = {verdict.photo: verdict for verdict in read_verdicts(tmp_path / "out" / "verdicts.jsonl")}
    assert {photo: (verdict.outcome, verdict.violations) for photo, verdict in verdicts.items()} == {
        "a.png": ("pass", ()), "b.png": ("fail", ("missing_pin",)), "c.png": ("review", ()),
    }  # fmt: skip
    assert verdicts["c.png"].stated is None
    pins = next(answer for answer in verdicts["a.png"].answers if answer.query == "locate:pin")
    assert pins.boxes == (Box(20, 10, 60, 20), Box(100, 10, 140, 20))
    assert {verdict.bundle for verdict in verdicts.values()} == {reader.bundle.id}


def test_what_is_asked_of_a_model_that_knows_nothing(spec, folder):
    """One request a photo: the photo as it is, every question and rule in words, the form as JSON Schema."""
    mind = Strict(by_grey(*[json.dumps(asked_of(spec))] * 3))

    look_of(spec, mind, np.asarray(Image.open(folder / "b.png")))

    (body,) = mind.seen
    text = body["messages"][0]["content"][1]["text"]
    assert (body["model"], body["temperature"], body["logprobs"]) == ("tiny", 0, True)
    assert np.array_equal(mind.pictures[0], np.full((100, 200, 3), 128))
    assert "small box" in text
    assert "x from 0 (left) to 1000 (right), y from 0 (top) to 1000 (bottom)" in text
    assert '"locate:pin": where is every pin? A list of boxes, [] if there is none.' in text
    assert "A list with one of red, blue for each" in text
    assert "missing_pin or extra_pin: 2 pin" in text


@pytest.mark.parametrize("family", [family for family in BoxFamily if family not in ("paligemma", "florence2")])
def test_lines_and_chains_are_read_as_their_family_writes_them(spec, family):
    """What a trained model would say, within the form that is asked for: the same answers, boxes to a pixel."""
    loaded, size = load_spec(spec), (600, 400)
    pins = (Box(30, 40, 90, 80), Box(120, 200, 400, 300))
    said = {"locate:pin": Answer("locate:pin", boxes=pins),
            "attribute:pin.colour": Answer("attribute:pin.colour", ("red", "blue")),
            "attribute:lid.shape": Answer("attribute:lid.shape", ()),
            "verdict": Answer("verdict", ("extra_pin", "missing_pin"))}  # fmt: skip
    answers = tuple(said.get(query.id, Answer(query.id)) for query in decompose(loaded))
    rng = np.random.default_rng(0)

    def told(text: str, picture: np.ndarray) -> str:
        asked = [
            a
            for a, q in zip(answers, decompose(loaded), strict=True)
            if canonical_question(q, loaded) in text.splitlines()
        ]
        whole = build_response(loaded, answers, size, rng) if len(asked) > 1 else format_answers(asked)
        return encode_boxes(whole, BOX_FORMATS[family], size).replace("<|box_start|>", "").replace("<|box_end|>", "")

    for manner, requests in ((PromptMode.lines, len(answers)), (PromptMode.chain, 1)):
        mind = Strict(told)
        look = look_of(spec, mind, np.zeros((400, 600, 3), np.uint8), PromptOptions(manner, family))

        found = (*look.answers, look.stated)
        assert len(mind.seen) == requests
        assert [(a.query, a.values, a.readable, a.confidence) for a in found] == [
            (a.query, a.values, True, 1.0) for a in answers
        ]
        edges = [[b.x1, b.y1, b.x2, b.y2] for a in found for b in a.boxes]
        assert edges == [pytest.approx([b.x1, b.y1, b.x2, b.y2], abs=1) for b in pins]


def test_pixels_of_a_family_are_those_of_the_picture_that_is_sent(spec):
    """A family that counts pixels of the photo as it sees it gets the photo like that."""
    said = {**asked_of(spec), "locate:pin": [[28, 28, 56, 56], [84, 28, 112, 84]]}
    mind = Strict(lambda text, picture: json.dumps(said), models=["Qwen/Qwen2.5-VL-7B-Instruct"])

    look = look_of(spec, mind, np.zeros((100, 200, 3), np.uint8))

    pins = next(answer for answer in look.answers if answer.query == "locate:pin")
    assert mind.pictures[0].shape == (112, 196, 3)
    assert [box.x1 for box in pins.boxes] == pytest.approx([28 * 200 / 196, 84 * 200 / 196])
    assert pins.boxes[1].y2 == pytest.approx(84 * 100 / 112)


NONSENSE = {
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


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_unreadable_and_no_error(spec, kind):
    """Whatever comes, at least one answer is unreadable, and so no rule that needs it holds."""
    asks = RequestBuilder(load_spec(spec), PromptMode.json, BOX_FORMATS["qwen3_vl"], DEFAULT_MAX_ITEMS)

    answers = asks.parse(asks.build((200, 100))[0], NONSENSE[kind], (), (200, 100))

    assert len(answers) == len(asked_of(spec))
    assert any(not answer.readable for answer in answers)


def test_json_in_a_fence_is_read(spec):
    """Models like to put one around it where a server does not hold them to the form."""
    asks = RequestBuilder(load_spec(spec), PromptMode.json, BOX_FORMATS["qwen3_vl"], DEFAULT_MAX_ITEMS)

    answers = asks.parse(asks.build((9, 9))[0], f"```json\n{json.dumps(asked_of(spec), indent=1)}\n```", (), (9, 9))

    assert all(answer.readable for answer in answers)


def test_an_answer_that_was_cut_off_is_unreadable(spec):
    """What stands there may be the beginning of something else."""
    said = json.dumps(asked_of(spec)) + " " * 9000

    look = look_of(spec, Strict(lambda text, picture: said))

    assert [answer.readable for answer in (*look.answers, look.stated)] == [False] * len(asked_of(spec))


def test_probabilities_are_those_of_what_was_said(spec):
    """A doubtful colour makes its answer doubtful and no other; where boxes lie is no doubt, how many there are is."""

    def pieces(said: str) -> list[tuple[str, float]]:
        cut = [said[k : k + 1] for k in range(len(said))]
        doubt = {said.index('"blue"') + 1: 0.25, said.index("500"): 0.1, said.index("]]"): 0.5}
        return [(sign, math.log(doubt.get(place, 1.0))) for place, sign in enumerate(cut)]

    said = {**asked_of(spec), "attribute:pin.colour": ["red", "blue"]}
    look = look_of(spec, Strict(lambda text, picture: json.dumps(said), tokens=pieces))

    sure = {answer.query: answer.confidence for answer in (*look.answers, look.stated)}
    assert sure["attribute:pin.colour"] == pytest.approx(0.25)
    assert sure["locate:pin"] == pytest.approx(0.5)
    assert sure["verdict"] == 1.0
    assert dict(look.violation_probabilities) == {"missing_pin": 0.0, "extra_pin": 0.0, "lid-goes-with-pin": 0.0}


@pytest.mark.parametrize(
    ("refused", "sent", "lost"),
    [
        ({"response_format"}, {"logprobs"}, "structure"),
        ({"logprobs"}, {"response_format"}, "probabilities"),
        ({"logprobs", "response_format"}, set(), "structure and probabilities"),
    ],
)
def test_what_a_server_refuses_it_is_not_asked_for_again(spec, refused, sent, lost):
    """It is said once what answers lack."""
    mind, told = Strict(lambda text, picture: json.dumps(asked_of(spec)), refuses=frozenset(refused)), []

    with listening(mind) as url, open_endpoint_reader(spec, Endpoint(url), PromptOptions(), told.append) as reader:
        looks = [reader.predict_pixels([np.zeros((9, 9, 3), np.uint8)])[0] for _ in range(2)]

    assert [set(body) & {"logprobs", "response_format"} for body in mind.seen] == [sent, sent]
    assert len(told) == 1
    assert f"without {lost}, which the server refuses: 422" in told[0]
    assert looks[1].stated.readable


def test_a_busy_server_is_asked_again(spec):
    """As long as it may get better; one that does not is an error, and the run can go on later."""
    good = json.dumps(asked_of(spec))
    mind = Strict(lambda text, picture: good, fails=[503, 429, 500])
    picture = np.zeros((9, 9, 3), np.uint8)

    with ChatClient(Endpoint("http://here", "tiny", pause=0.0), transport=httpx2.MockTransport(mind)) as chat:
        told = chat.complete(picture, "x", 999, {})
        mind.fails = [502] * 5
        with pytest.raises(LogiClsError, match="LC672 the server does not answer, 5 times: 502 Bad Gateway") as caught:
            chat.complete(picture, "x", 999, {})

    assert (told.text, told.is_complete) == (good, True)
    assert "the same command again" in str(caught.value)


def test_a_photo_that_a_server_refuses_goes_to_review(spec, folder, tmp_path):
    """It is that photo's row and not the end of the run; the other photos are judged."""
    good = json.dumps(asked_of(spec))

    def picky(text: str, picture: np.ndarray) -> str:
        if not picture[0, 0, 0]:
            raise ValueError("too dark")
        return good

    with listening(Strict(picky)) as url, open_endpoint_reader(spec, Endpoint(url), PromptOptions()) as reader:
        predict_folder(reader.bundle, folder, tmp_path / "out", inspect=inspect_with_reader(reader, folder, 2, 0))

    verdicts = read_verdicts(tmp_path / "out" / "verdicts.jsonl")
    assert [(v.photo, v.outcome) for v in verdicts] == [("a.png", "pass"), ("b.png", "pass"), ("c.png", "review")]


def test_nobody_listens(spec):
    """The first photo is not even opened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with (
        pytest.raises(LogiClsError, match="LC672 the server does not answer, 5 times: ConnectError"),
        open_endpoint_reader(spec, Endpoint(f"http://127.0.0.1:{port}", pause=0.0), PromptOptions()),
    ):
        pass


def test_the_key_is_sent_and_never_shown(spec):
    """As a bearer token; an error about it does not quote it."""
    mind = Strict(lambda text, picture: json.dumps(asked_of(spec)), key="sesame")

    look = look_of(spec, mind, key="sesame")
    with pytest.raises(LogiClsError, match="LC673") as caught:
        look_of(spec, mind, key="wrong")

    assert look.stated.readable
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
def test_an_address_is_taken_as_people_write_it(written, base):
    """With or without what stands at its end."""
    assert normalize_url(written) == base


def test_a_model_s_name_tells_how_it_writes_boxes():
    """Thousandths where it tells nothing."""
    names = ["Qwen/Qwen2.5-VL-3B-Instruct", "my_qwen2_5_vl", "Qwen2-VL-2B", "InternVL3-8B", "llava-1.5", "gemma"]

    assert [guess_box_family(name) for name in names] == [
        "qwen2_5_vl", "qwen2_5_vl", "qwen2_vl", "internvl", "llava", "qwen3_vl"
    ]  # fmt: skip


def test_other_models_and_manners_are_other_verdicts(spec):
    """They do not mix in a folder."""
    mind = Strict(lambda text, picture: "", models=["one", "two"])
    wishes = [
        ("one", PromptOptions()),
        ("two", PromptOptions()),
        ("one", PromptOptions(PromptMode.lines)),
        ("one", PromptOptions(boxes=BoxFamily.llava)),
    ]

    def id_of(url: str, model: str, wish: PromptOptions) -> str:
        with open_endpoint_reader(spec, Endpoint(url, model), wish) as reader:
            return reader.bundle.id

    with listening(mind) as url:
        ids = [id_of(url, model, wish) for model, wish in wishes]
        again = id_of(f"{url}/v1", "one", PromptOptions())

    assert len(set(ids)) == 4
    assert again == ids[0]
    assert all(len(one) == 12 for one in ids)
