"""Angles from the model to the verdict: soft targets, expected values, probabilities, grammars, old bundles."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from logicls.constraints.families.angles import expect_angle, fold_angle, list_angle_options
from logicls.constraints.spec.models import Spec
from logicls.errors import BundleError
from logicls.models import bundle as bundles
from logicls.models.box_formats import BOX_FORMATS
from logicls.models.bundle import hash_questions, load_bundle, write_bundle
from logicls.models.nano import NanoImageProcessor, NanoProcessor
from logicls.models.nano.answer_codec import NanoAnswerCodec, collect_values
from logicls.models.nano.processor import train_tokenizer
from logicls.predict.endpoint.prompts import PromptMode, RequestBuilder, answer_regex, answer_schema
from logicls.predict.readers.detections import answer_attribute
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty.calibration import Calibration
from logicls.predict.uncertainty.hypotheses import enumerate_hypotheses, list_angle_hypotheses, list_candidates
from logicls.predict.uncertainty.rule_probability import compute_rule_probabilities
from logicls.records import Answer, Box, Subquery
from logicls.train.calibration import CalibrationExample, fit_calibration
from logicls.train.encoding import ExampleEncoder, InstanceTarget, find_angle_queries
from logicls.train.grpo.rewards import Task, score_format, score_slots

LEFT, RIGHT = Box(0, 0, 20, 20), Box(50, 0, 70, 20)
ANGLES = Subquery("orientation:pin", "orientation", "pin", options=list_angle_options(360))


def spec(**rule: Any) -> Spec:
    """Build a spec with an orientation rule about pins."""
    head = {"logicls": 1, "product": {"name": "kit"}, "components": {"pin": {}}}
    constraint = {"id": "c", "orientation": {"of": "pin", "tolerance": 10, **rule},
                  "violation": {"turned": "reversed", "tilted": "crooked"}}  # fmt: skip
    return Spec.model_validate({**head, "constraints": [constraint]})


def prediction(*angles: tuple[int, float]) -> Prediction:
    """Return a prediction of pins with these angles and probabilities."""
    boxes = (LEFT, RIGHT)[: len(angles)]
    values, probabilities = zip(*angles, strict=True)
    answers = (Answer("locate:pin", boxes=boxes),
               Answer("orientation:pin", tuple(map(str, values)), probabilities=probabilities))  # fmt: skip
    detections = tuple(Detection(0.999, (0.0,) * 4, box) for box in boxes)
    return Prediction(answers, Answer("verdict"), (), None, (("locate:pin", detections),))


@pytest.fixture(scope="module")
def codec() -> NanoAnswerCodec:
    """Return a codec with tokens for angles."""
    tokenizer = train_tokenizer(["a b"], collect_values([ANGLES]))
    return NanoAnswerCodec(NanoProcessor(NanoImageProcessor((32, 32)), tokenizer))


def test_angles_have_tokens_of_their_own(codec: NanoAnswerCodec) -> None:
    """Not those of counts."""
    tokens = codec.allowed_tokens(ANGLES)

    assert (len(set(tokens)), set(tokens) & {codec.count_token(n) for n in range(61)}) == (24, set())


@pytest.mark.parametrize(
    ("angle", "symmetry", "options", "share"),
    [("0", None, (0, 1), 0), ("6", None, (0, 1), 0.4), ("354", None, (23, 0), 0.6), ("176", 180, (11, 0), 11 / 15)],
)
def test_targets_lie_between_two_tokens(
    codec: NanoAnswerCodec, angle: str, symmetry: int | None, options: tuple[int, int], share: float
) -> None:
    """The period of the rules decides which token follows the last one; the answer says how many there are."""
    rules = spec(symmetry=symmetry)
    row = {"queries": ["locate:pin", "orientation:pin"], "questions": ["a", "b"], "width": 32, "height": 32,
           "values": [[], [angle]], "boxes": [[[1, 2, 9, 12]], []]}  # fmt: skip

    example = ExampleEncoder(codec, 1.0, find_angle_queries(rules)).encode(row)

    (target,) = example.instances[1]
    tokens = codec.allowed_tokens(find_angle_queries(rules)["orientation:pin"])
    assert (target.value, target.next_value) == (tokens[options[0]], tokens[options[1]])
    assert target.next_share == pytest.approx(share)
    assert target.nearest_value == tokens[options[share > 0.5]]
    assert example.instances[0] == (InstanceTarget((1.0, 2.0, 9.0, 12.0)),)
    assert example.answers[1] == (codec.count_token(1), codec.end)


@pytest.mark.parametrize("angle", [0, 6, 12, 354, 178])
def test_the_answer_is_the_expected_angle(angle: int, tiny_nano: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpolated around the likeliest token; its probability is that of the token and its neighbours."""
    model, processor = tiny_nano(spec())
    codec = NanoAnswerCodec(processor)
    tokens, lower, share = codec.allowed_tokens(ANGLES), angle // 15, angle % 15 / 15
    logits = torch.full((model.config.vocab_size,), -30.0)
    for index, probability in ((lower, 0.9 * (1 - share)), (lower + 1, 0.9 * share), (lower + 9, 0.1)):
        logits[tokens[index % 24]] = math.log(max(probability, 1e-12))
    monkeypatch.setattr(model, "compute_logits", lambda features: logits.expand(*features.shape[:2], -1))
    found, depth = [[Detection(0.9, (0.0, 0.0, 1.0, 1.0), LEFT)], []], model.detection_head.depth

    one, none = answer_attribute(
        model, codec, ANGLES, found, torch.zeros(2, depth, 2, 2), torch.zeros(2, model.config.width)
    )

    assert (one.values, none) == ((str(angle),), Answer(ANGLES.id))
    assert one.probabilities == pytest.approx((0.9,), abs=1e-4)
    assert one.confidence == pytest.approx(0.9, abs=1e-4)


def test_the_expected_angle_of_a_soft_target_is_the_angle() -> None:
    """Also across the end of the period."""
    soft = [0.6, *[0.0] * 22, 0.4]

    assert abs(fold_angle(expect_angle(soft)[0] + 6)) < 1e-9


def test_hypotheses_spread_what_the_angle_lacks() -> None:
    """The angle as read has its probability; quarters of the period share the rest."""
    candidates = list_candidates(spec(), prediction((2, 0.91), (0, 0.97)), (100, 100), Calibration())

    first = dict(candidates["pin"][0].values)["orientation:pin"]
    best = next(iter(enumerate_hypotheses(candidates, ["locate:pin", "orientation:pin"])))

    assert [value for value, _ in first] == ["2", "92", "182", "272"]
    assert [p for _, p in first] == pytest.approx([0.91, 0.03, 0.03, 0.03])
    assert best[1]["orientation:pin"].values == ("2", "0")
    assert list_angle_hypotheses("10", 180) == ("10", "55", "100", "145")


@pytest.mark.parametrize(
    ("angles", "low", "high"),
    [
        (((0, 0.999),), {"reversed": 0.0, "crooked": 0.0}, {"reversed": 0.01, "crooked": 0.01}),
        (((178, 0.98),), {"reversed": 0.95, "crooked": 0.0}, {"reversed": 1.0, "crooked": 0.02}),
        (((0, 0.9), (20, 0.99)), {"reversed": 0.0, "crooked": 0.8}, {"reversed": 0.2, "crooked": 1.0}),
        (((9, 0.99),), {"reversed": 0.0, "crooked": 0.1}, {"reversed": 0.05, "crooked": 0.5}),
    ],
)
def test_rule_probabilities(
    angles: tuple[tuple[int, float], ...], low: dict[str, float], high: dict[str, float]
) -> None:
    """They follow the reading, its probability, and the distance to the tolerance."""
    found = compute_rule_probabilities(spec(), prediction(*angles), (100, 100), Calibration())["c"].violations

    assert {name: low[name] <= p <= high[name] for name, p in found.items()} == {"reversed": True, "crooked": True}


def test_calibration_counts_angles_near_the_truth_as_correct() -> None:
    """Within the three tokens that were summed; far ones raise the temperature, and the error becomes noise."""
    rules = spec()

    def example(read: int, true: int) -> CalibrationExample:
        answers = (Answer("locate:pin", boxes=(LEFT,)), Answer("orientation:pin", (str(true),)))
        return CalibrationExample(answers, frozenset(), (100, 100), prediction((read, 0.99)))

    near = fit_calibration(rules, [example(n % 9, 4) for n in range(60)])
    wrong = fit_calibration(rules, [example(180 if n % 2 else 4, 4) for n in range(60)])

    assert near.attribute_temperature < wrong.attribute_temperature
    assert dict(near.noise)["c"].sd < 2


@pytest.mark.parametrize(
    ("values", "worth", "form"),
    [(("0", "90"), 1, 1), (("3", "90"), 0.9, 1), (("0", "400"), 0.5, 0), (("0", "270"), 0.5, 1), (("0",), 0.5, 1)],
)
def test_rewards(values: tuple[str, ...], worth: float, form: float) -> None:
    """Angles that are a little off count in part."""
    task = Task(0, "?", "orientation:pin", (Answer("orientation:pin", ("0", "90")),), (), (40, 40))

    assert score_slots(spec(), task, Answer("orientation:pin", values)) == pytest.approx(worth)
    assert score_format(spec(), task, Answer("orientation:pin", values)) == form


def test_endpoints_answer_in_whole_degrees() -> None:
    """As integers in JSON, and within a pattern on lines; other numbers are unreadable."""
    rules, boxes = spec(symmetry=180), BOX_FORMATS["qwen3_vl"]
    query = next(q for q in rules.queries if q.kind == "orientation")
    pattern = answer_regex(query, boxes, 3)
    builder = RequestBuilder(rules, PromptMode.json, boxes, 3)
    (request,) = builder.build((100, 100))

    def read(value: object) -> Answer:
        text = json.dumps({"locate:pin": [[0, 0, 9, 9]], "orientation:pin": value, "verdict": []})
        return next(a for a in builder.parse(request, text, (), (100, 100)) if a.query == query.id)

    assert pattern is not None
    lines = [f"@ orientation:pin = {text}" for text in ("0, 179", "none", "180", "007")]
    assert [bool(re.fullmatch(pattern, line)) for line in lines] == [True, True, False, False]
    schema: Any = answer_schema([query], boxes, (100, 100), 3)
    assert schema["properties"][query.id]["items"] == {"type": "integer", "minimum": 0, "maximum": 179}
    assert "whole degrees from 0 to below 180" in request.text
    assert read([178]).values == ("178",)
    assert not read(["178"]).readable
    assert not read([True]).readable


def test_questions_of_a_bundle_are_those_that_its_spec_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_nano: Any
) -> None:
    """A changed phrasing of a kind that the spec does not ask is none of the bundle's business."""
    folder = tmp_path / "templates" / "synth"
    folder.mkdir(parents=True)
    text = bundles.resource_path("synth/questions.j2").read_text(encoding="utf-8")
    rule = "{id: c, quantity: {of: pin, exactly: 1}}"
    plain = f"logicls: 1\nproduct: {{name: kit}}\ncomponents: {{pin: {{}}}}\nconstraints: [{rule}]\n"
    (tmp_path / "kit.yaml").write_text(plain)
    model, processor = tiny_nano(Spec.model_validate({**spec().model_dump(by_alias=True), "constraints": [
        {"id": "c", "quantity": {"of": "pin", "exactly": 1}}]}))  # fmt: skip
    path = write_bundle(
        tmp_path / "bundle", model=model, processor=processor, spec_file=tmp_path / "kit.yaml", max_boxes=5
    ).path
    monkeypatch.setattr(bundles, "resource_path", lambda name: tmp_path / "templates" / name)

    (folder / "questions.j2").write_text(text.replace("at which angle", "at what angle"))
    assert load_bundle(path).path == path
    (folder / "questions.j2").write_text(text.replace("where is every", "where are all"))
    with pytest.raises(BundleError, match="LC503 the installed question templates changed"):
        load_bundle(path)


def test_old_bundles_hold_the_hash_of_the_whole_template(
    old_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are usable while the phrasings of that time are the same, and refused when one of them changes."""
    path = Path(shutil.copytree(old_bundle, tmp_path / "bundle"))
    text = bundles.resource_path("synth/questions.j2").read_text(encoding="utf-8")
    stored = json.loads((path / "bundle.json").read_text())["questions"]

    assert stored in bundles.EARLIER_TEMPLATES
    assert stored != hash_questions({"locate", "attribute", "verdict"})
    assert load_bundle(path).path == path
    (tmp_path / "synth").mkdir()
    (tmp_path / "synth" / "questions.j2").write_text(text.replace("name every broken rule", "name the broken rules"))
    monkeypatch.setattr(bundles, "resource_path", lambda name: tmp_path / name)
    with pytest.raises(BundleError, match="LC503 the installed question templates changed"):
        load_bundle(path)
