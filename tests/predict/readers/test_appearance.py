"""Answers to appearance queries: from the boxes of a reader and a memory of good photos to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from logicls.anomaly.appearance import AppearanceMemory, GoodPhoto, PlacedInstance, fit_memory
from logicls.anomaly.features import build_extractor
from logicls.constraints.checker.spec_changes import compare_specs
from logicls.constraints.spec.loader import load_spec
from logicls.data.image_io import letterbox
from logicls.errors import BundleError
from logicls.models.bundle import Bundle
from logicls.predict.decision import decide, restore_prediction
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.predict.readers import make_question_reader, make_reader
from logicls.predict.readers.appearance import (
    APPEARANCE_FILE,
    AppearanceReader,
    LetterboxPlacement,
    choose_size,
    load_comparison,
    quantize_heatmap,
    write_memories,
)
from logicls.predict.readers.protocol import Prediction
from logicls.predict.serialization import verdict_from_json, verdict_to_json
from logicls.predict.uncertainty.risk_control import RISK_TARGETS, choose_thresholds
from logicls.predict.uncertainty.spec_adaptation import adapt_thresholds
from logicls.predict.uncertainty.thresholds import RuleThresholds, Thresholds
from logicls.records import Answer, Box, Verdict

SPEC = """
logicls: 1
product: {name: board}
components: {pin: {}, cap: {}}
constraints:
  - {id: count, quantity: {of: pin, at_least: 1}}
  - {id: look, appearance: {of: pin}, violation: damaged_pin}
"""
SIZE: Size = (128, 128)
"""(height, width) of the photos that are compared; the model's input has 64 x 64 pixels."""
BOX = Box(60, 40, 108, 88)
"""Where the pin lies on photos of 200 x 160 pixels."""


def take_photo(seed: int, flaw: bool = False) -> np.ndarray:
    """Draw a grey pin with a hole on a dark board, with a bright scratch if it has a flaw."""
    rng = np.random.default_rng(seed)
    photo = np.full((160, 200, 3), 60.0)
    photo[40:88, 60:108] = 150
    photo[58:70, 78:90] = 70
    if flaw:
        photo[72:78, 64:96] = 235
    return np.clip(photo * rng.uniform(0.97, 1.03) + rng.normal(0, 2, photo.shape), 0, 255).astype(np.uint8)


@dataclass
class FixedReader:
    """Reads the same boxes on every photo, and notes the sizes of the photos."""

    bundle: Bundle
    answers: tuple[Answer, ...]
    input_size: Size | None = (64, 64)

    def __post_init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def predict_raw(self, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
        """Answer without a look at the photos."""
        self.shapes += [photo.pixels.shape for photo in photos if photo.pixels is not None]
        return [Prediction(self.answers, Answer("verdict"), (("count", 0.0), ("damaged_pin", 0.0))) for _ in photos]


@pytest.fixture(scope="module")
def look_bundle(make_bundle) -> Bundle:
    """Make a bundle with a rule about appearance and the memory that it needs."""
    bundle = make_bundle(SPEC)
    write_memories(bundle, {"pin": fit_pin_memory(bundle)}, SIZE)
    return bundle


def fit_pin_memory(bundle: Bundle) -> AppearanceMemory:
    """Fit the memory of the pin to ten photos."""
    placement = LetterboxPlacement(SIZE, (200, 160))
    instances = (PlacedInstance(placement.to_pixels(BOX)),)
    photos = [GoodPhoto(f"{n}.png", letterbox(SIZE, take_photo(n)), instances) for n in range(10)]
    return fit_memory(build_extractor(bundle, (16, 16)).stem, photos)


def load_photo(seed: int, flaw: bool = False, size: Size | None = None) -> LoadedPhoto:
    """Load a drawn photo, in its own size or letterboxed."""
    pixels = take_photo(seed, flaw)
    return LoadedPhoto(f"{seed}.png", letterbox(size, pixels) if size else pixels, (200, 160))


def read(bundle: Bundle, photo: LoadedPhoto, *answers: Answer) -> dict[str, Answer]:
    """Read a photo with a reader of fixed boxes, and return the answers by query."""
    comparison = load_comparison(bundle)
    assert comparison is not None
    reader = AppearanceReader(FixedReader(bundle, answers), comparison)
    return {answer.query: answer for answer in reader.predict_raw([photo])[0].answers}


PINS = Answer("locate:pin", boxes=(BOX,), confidence=0.99)


def test_a_flaw_is_anomalous_with_its_place_and_heatmap(look_bundle):
    """The answer has the look, its rarity and probability, the box of the worst place, and a heatmap over the pin."""
    answer = read(look_bundle, load_photo(50, flaw=True), PINS)["appearance:pin"]

    assert answer.values == ("anomalous",)
    assert answer.rarities[0] < 0.01
    assert answer.probabilities[0] > 0.5
    assert answer.boxes[0].intersection(Box(64, 72, 96, 78)) > 0
    assert answer.boxes[0].ioa(Box(55, 35, 113, 93)) == 1.0
    (heatmap,) = answer.heatmaps
    assert heatmap.box.iou(BOX) > 0.8
    assert max(max(row) for row in heatmap.cells) == "f"


def test_a_good_pin_is_normal(look_bundle):
    """The answer has no box; nor has that about a photo without a pin, or with an unreadable place."""
    good = read(look_bundle, load_photo(51), PINS)["appearance:pin"]
    none = read(look_bundle, load_photo(51), Answer("locate:pin"))["appearance:pin"]
    unread = read(look_bundle, load_photo(51), Answer("locate:pin", readable=False))["appearance:pin"]

    assert (good.values, good.boxes, good.heatmaps) == (("normal",), (), ())
    assert good.rarities[0] > 0.01
    assert (none.values, none.rarities, none.confidence) == ((), (), 1.0)
    assert not unread.readable


def test_answers_do_not_depend_on_who_letterboxed(look_bundle):
    """A photo in its own size and the letterboxed one have equal answers, and the model gets equal pixels."""
    comparison = load_comparison(look_bundle)
    inner = FixedReader(look_bundle, (PINS,))
    reader = AppearanceReader(inner, comparison)

    own, letterboxed = reader.predict_raw([load_photo(52, flaw=True), load_photo(52, flaw=True, size=SIZE)])

    assert own == letterboxed
    assert reader.input_size == SIZE
    assert inner.shapes == [(64, 64, 3)] * 2
    assert [a.query for a in own.answers] == ["locate:pin", "appearance:pin"]


def test_models_without_an_input_size_get_photos_as_they_are(look_bundle):
    """A model that takes any size gets the photo itself."""
    inner = FixedReader(look_bundle, (PINS,), input_size=None)
    reader = AppearanceReader(inner, load_comparison(look_bundle))

    (prediction,) = reader.predict_raw([load_photo(53)])

    assert reader.input_size is None
    assert inner.shapes == [(160, 200, 3)]
    assert prediction.answers[-1].values == ("normal",)


def test_parts_on_the_pin_do_not_count(look_bundle):
    """A flaw in the box of another, smaller component is none of the pin's look."""
    cap = Answer("locate:cap", boxes=(Box(62, 70, 98, 80),))

    answer = read(look_bundle, load_photo(54, flaw=True), PINS, cap)["appearance:pin"]

    assert answer.rarities[0] > read(look_bundle, load_photo(54, flaw=True), PINS)["appearance:pin"].rarities[0]


def test_make_reader_needs_the_memory(look_bundle, make_bundle, bundle):
    """A bundle with the rule is read with the comparison; without the memory it is not read at all."""
    without = make_bundle(SPEC)

    assert isinstance(make_reader(look_bundle), AppearanceReader)
    assert not isinstance(make_question_reader(look_bundle), AppearanceReader)
    assert not isinstance(make_reader(bundle), AppearanceReader)
    with pytest.raises(BundleError, match="memory of good photos is missing"):
        make_reader(without)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda file, bundle: file.write_bytes(b"{}"), "cannot be read"),
        (lambda file, bundle: write_memories(replace(bundle, id="0123456789ab"), {}, SIZE), "was fitted to bundle"),
        (lambda file, bundle: write_memories(bundle, {}, SIZE), "has no memory of pin"),
    ],
)
def test_invalid_memories_are_refused(make_bundle, change, why):
    """A file that is damaged, of another bundle, or without a component is an error of the bundle."""
    made = make_bundle(SPEC)
    write_memories(made, {"pin": fit_pin_memory(made)}, SIZE)
    change(made.path / APPEARANCE_FILE, made)

    with pytest.raises(BundleError, match=why) as caught:
        load_comparison(made)

    assert [problem.code for problem in caught.value.problems] == ["LC506"]


def judge(spec_text: str, rarity: float, tmp_path: Path) -> Verdict:
    """Decide about a photo whose pin has a look of that rarity."""
    (tmp_path / "spec.yaml").write_text(spec_text)
    spec = load_spec(tmp_path / "spec.yaml")
    look = Answer("appearance:pin", ("anomalous",), (BOX,), 0.9, probabilities=(0.9,), rarities=(rarity,))
    prediction = Prediction((PINS, look), Answer("verdict"), (("count", 0.01), ("damaged_pin", 0.01)))
    severity = spec.constraints[1].severity
    limits = (("count", RuleThresholds(0.1, 0.9)), ("look", RuleThresholds(0.5, 0.5, severity=severity)))
    return decide(spec, prediction, "a.png", (200, 160), thresholds=Thresholds(limits))


@pytest.mark.parametrize(
    ("rarity", "overkill", "outcome", "status"),
    [(0.001, 0.01, "fail", "broken"), (0.03, 0.01, "review", "unknown"), (0.03, 0.05, "fail", "broken")],
)
def test_outcome_follows_rarity_and_overkill(tmp_path, rarity, overkill, outcome, status):
    """Rarer than the overkill fails; stranger than good photos, but not so rare, is a person's to decide."""
    text = SPEC.replace("appearance: {of: pin}", f"appearance: {{of: pin, overkill: {overkill}}}")

    verdict = judge(text, rarity, tmp_path)

    assert (verdict.outcome, verdict.findings[1].status) == (outcome, status)
    if outcome == "review":
        assert verdict.reasons == ("look: 1 pin stranger than good photos, but 3 % of good photos may look as strange",)


def test_stored_answers_are_judged_again(tmp_path):
    """A verdict that was written and read holds rarities and heatmaps; another overkill judges it anew."""
    verdict = judge(SPEC, 0.03, tmp_path)
    stored = verdict_from_json(verdict_to_json(verdict))
    (tmp_path / "other.yaml").write_text(SPEC.replace("{of: pin}", "{of: pin, overkill: 0.05}"))

    again = decide(load_spec(tmp_path / "other.yaml"), restore_prediction(stored), "a.png", (200, 160))

    assert stored == verdict
    assert [finding.status for finding in again.findings] == ["holds", "broken"]


@pytest.mark.parametrize(
    ("input_size", "photos", "size"),
    [
        ((64, 64), [(200, 160)], (192, 192)),
        ((176, 192), [(360, 370)], (352, 384)),
        ((320, 640), [(4000, 2000)], (320, 640)),
        ((320, 640), [(300, 150)], (320, 640)),
        (None, [(4000, 2000), (4000, 2000), (10, 10)], (512, 1024)),
        (None, [(300, 150)], (150, 300)),
    ],
)
def test_size_of_compared_photos(input_size, photos, size):
    """It is a multiple of the model's input near the photos' size, and at most 1024 pixels if that can be."""
    assert choose_size(input_size, photos) == size


def test_heatmap_digits():
    """0 is good, 8 about the limit, f twice the limit and more."""
    assert quantize_heatmap(np.array([[-3.0, 0.0, 2.0], [4.0, 4.3, 99.0]]), 2.0) == ("008", "fff")


def test_rules_about_appearance_have_bars_of_their_own(tmp_path):
    """Their thresholds need no examples, and stay when rules change; those of other rules are chosen as ever."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "other.yaml").write_text(SPEC.replace("{of: pin}", "{of: pin, overkill: 0.05}"))
    spec, other = load_spec(tmp_path / "spec.yaml"), load_spec(tmp_path / "other.yaml")

    thresholds = choose_thresholds(spec, [], RISK_TARGETS, confidence=0.95, origin="nothing")
    adapted = adapt_thresholds(thresholds, compare_specs(spec, other), other)

    own = RuleThresholds(0.5, 0.5, "overkill by the rule, from the looks of good photos", "major")
    assert [name for name, _ in thresholds.limits] == ["count", "look"]
    assert (thresholds.for_rule("look"), adapted.for_rule("look")) == (own, own)
    assert thresholds.for_rule("count") != own


def test_a_certainly_broken_rule_needs_no_second_opinion_about_a_look(tmp_path):
    """Beside a rule that fails the part anyway, a look that few photos cannot judge sends nothing to review."""
    text = SPEC.replace("at_least: 1", "at_least: 2")

    verdict = judge(text, 0.03, tmp_path)
    doubtful = judge(text.replace("damaged_pin}", "damaged_pin, severity: critical}"), 0.03, tmp_path)

    assert [finding.status for finding in verdict.findings] == ["broken", "unknown"]
    assert (verdict.outcome, verdict.reasons, verdict.unconditional_reasons) == ("fail", (), ())
    assert 0 < verdict.findings[1].probability < 0.5
    assert doubtful.outcome == "review"
