"""The page: complete, self-contained, and safe with any name."""

import base64
import io
import json
import re
from dataclasses import replace

from PIL import Image

from logicls.evaluation import score
from logicls.predict.plugin_protocols import ViolationCause
from logicls.predict.uncertainty.calibration import ReliabilityBin
from logicls.records import PluginInfo, SecondLook
from logicls.report.page import write_report
from logicls.report.summary import TruthComparison

from .cases import FAILED, NOW, PASSED, TORN, UNSURE, WORDS


def page(photos, *verdicts, words=WORDS, **more):
    """The HTML of a report on those verdicts."""
    out = photos.parent / "report" / "index.html"
    write_report(iter(verdicts), words, photos=photos, out=out, now=NOW, **more)
    return out.read_text(encoding="utf-8")


def held_scripts(html, kind):
    """The contents of the elements `kind0`, `kind1` and so on."""
    return re.findall(rf'id="{kind}\d*">(.*?)</script>', html)


def test_a_card_has_question_answer_rule_and_box(photos):
    """What was asked, what was seen, which rule it breaks, where it looked; words of rules stand once for all."""
    html = page(photos, FAILED)

    (card,) = map(json.loads, held_scripts(html, "card"))
    (data,) = map(json.loads, held_scripts(html, "data"))
    assert card["rules"] == [
        ["one-lid", 0, "gone", "1 lid", "0 lids", [1], 0.93],
        ["pin-in-box", 2, "", "", "1 of 1", [2], 0.8],
    ]
    assert card["asked"][:2] == [
        [1, "locate:lid", "none", 1.0, 1, 1],
        [2, "locate:pin", "1 found", 0.8, 0, 1],
    ]
    assert card["marks"] == [[2, 0, 125.0, 125.0, 625.0, 500.0, 125.0, 87.0]]
    assert (card["size"], card["sha256"], card["seconds"]) == ([1000.0, 750.0], "ab" * 32, 0.02)
    assert data["rules"]["one-lid"] == "exactly 1 lid"
    assert data["questions"]["locate:lid"] == "where is every lid?"
    assert data["photo"] == ["bad.jpg"]


def test_pictures_are_bounded(photos):
    """A thumbnail keeps the photo's proportions and has at most 640 pixels on its longer side."""
    Image.new("RGB", (1600, 1200), "red").save(photos / "bad.jpg")

    html = page(photos, replace(FAILED, width=1600, height=1200))

    (picture,) = held_scripts(html, "picture")
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert (image.format, image.size) == ("WEBP", (640, 480))


def test_the_page_needs_nothing_else(photos):
    """No link to another file or host, and a policy that forbids any."""
    html = page(photos, FAILED, TORN)

    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', html) == []
    assert "default-src 'none'" in html
    assert re.findall(r"https?://[^\"\s]*", html) == ["http://www.w3.org/2000/svg"]


def test_a_broken_photo_has_a_card_with_its_reason(photos):
    """It is counted, and shown without a picture."""
    html = page(photos, TORN)

    (card,) = map(json.loads, held_scripts(html, "card"))
    assert card["reasons"] == ["the file is truncated"]
    assert held_scripts(html, "picture") == []


def test_markup_in_a_name_is_text(photos):
    """What people wrote in a rule, a title or a file's name cannot become part of the page."""
    evil = "</script><script>alert(1)</script>"
    words = replace(WORDS, title=evil, rules={"one-lid": evil})

    html = page(photos, replace(TORN, photo=evil, violations=(evil,), reasons=(evil,)), words=words)

    assert "<script>alert" not in html
    assert html.count("</script>") == html.count("<script")
    assert json.loads(held_scripts(html, "data")[0])["photo"] == [evil]


def test_counts_have_exact_intervals(photos):
    """Each outcome with its share and the interval of Clopper and Pearson; what made the verdicts stands above."""
    html = page(photos, FAILED, PASSED, UNSURE, TORN)

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "fail 1 25.0 % 95 %: 0.6 – 80.6 %" in text
    assert "review 2 50.0 % 95 %: 6.8 – 93.2 %" in text
    assert "spec version 7 spec c0ffee bundle kit thresholds t1 a photo took 15 ms made 2026-03-01 12:30" in text


def test_violations_are_ranked_and_graded(photos):
    """The most frequent first, each with its severity; photos are counted by their worst."""
    both = replace(FAILED, violations=("gone", "stray"))

    html = page(photos, replace(both, violations=("stray",)), both)

    assert re.findall(r'aria-label="(\w+, \w+: \d+; with those above \d+ %)', html) == [
        "stray, minor: 2; with those above 67 %",
        "gone, critical: 1; with those above 100 %",
    ]
    assert re.findall(r"<b>(\d+)</b> (\w+)</span>", html) == [("1", "critical"), ("1", "minor")]


def test_what_is_left_out_is_said(photos):
    """Beyond the limit those that fail come first; the line says how many of each have a card and where the rest is."""
    many = [replace(PASSED, photo=f"{n}.jpg", width=0) for n in range(50)]

    html = page(photos, *many, FAILED, limit=20)

    (line,) = re.findall(r'id="left-out">(.*?)</p>', html)
    assert "20 of 51 photos have a card here: 1 of 1 fail, 0 of 0 review, 19 of 50 pass" in line
    assert "verdicts.csv" in line
    assert len(held_scripts(html, "card")) == 20
    assert 'id="left-out"' not in page(photos, FAILED)


def test_with_the_truth_there_are_confusion_and_reliability(photos):
    """Sets of violations taken for others, and how far the anomaly score is a probability; not without a truth."""
    truth = {"bad.jpg": ("stray",), "good.jpg": ()}
    held = TruthComparison(truth, score([FAILED, PASSED], truth))

    html = page(photos, FAILED, PASSED, held=held)

    assert 'title="1 of 1: true stray, found gone"' in html
    assert "expected calibration error 0.100" in html
    assert json.loads(held_scripts(html, "data")[0])["wrong"] == [1, 0]
    without = page(photos, FAILED, PASSED)
    assert 'id="confusion"' not in without
    assert 'id="reliability"' not in without


def test_calibrated_probabilities_are_drawn_where_there_are_some(photos):
    """Bins that the scoring measured take the place of the anomaly score."""
    held = TruthComparison(
        {"bad.jpg": ("gone",)}, score([FAILED], {"bad.jpg": ("gone",)}), (ReliabilityBin(0.9, 1.0, 10, 0.95, 0.8),)
    )

    html = page(photos, FAILED, held=held)

    assert "<b>Probabilities</b>" in html
    assert "expected calibration error 0.150" in html
    assert 'title="said 95.0 %, true 80.0 % (44.4 – 97.5 %), 10 times"' in html


def test_causes_and_consequences_travel_with_the_page(tmp_path):
    """What pages of knowledge say of a violation stands in the page, for the card to show beside it."""
    cause = ViolationCause("box/pin", "", "The feeder is empty.", "The lid opens.")
    words = replace(WORDS, causes={"missing_pin": (cause,)})

    write_report([], words, photos=tmp_path, out=tmp_path / "index.html", now=NOW)

    text = (tmp_path / "index.html").read_text()
    assert '"causes":{"missing_pin":[["box/pin","","The feeder is empty.","The lid opens."]]}' in text


def test_a_second_look_is_told_in_words(photos):
    """From what to what, how much surer, who looked; the head counts them, and a filter shows them alone."""
    look = SecondLook("latent", "review", 0.5, (0.5, 0.75), 1, True, "fail", (0.5, 0.25))
    again = replace(FAILED, second_look=look, plugins=(PluginInfo("reasoner", "latent", settings=(("tokens", 4.0),)),))
    idle = replace(UNSURE, second_look=replace(look, is_accepted=False, after="review"), plugins=again.plugins)

    html = page(photos, again, idle, PASSED)

    cards = [json.loads(card) for card in held_scripts(html, "card")]
    assert [card.get("again") for card in cards] == [
        ["latent", "review → fail",
         "The mean entropy of the answers fell from 0.500 to 0.250 (0: sure, 1: open). It took 0.5 s."],
        ["latent", "review, as before", "No answer became surer, so the first look stands. It took 0.5 s."],
        None,
    ]  # fmt: skip
    (data,) = map(json.loads, held_scripts(html, "data"))
    assert data["looked"] == [1, 1, 0]
    assert "<dd>2 of 3 photos; 1 of 2 reviews settled; mean entropy 0.500 → 0.250</dd>" in html
    assert "<dt>plugged in</dt><dd>reasoner latent tokens=4</dd>" in html
    assert 'second look <span class="dim">2</span>' in html


def test_a_page_without_second_looks_does_not_speak_of_them(photos):
    """Neither the head, nor a filter, nor a card."""
    html = page(photos, FAILED, PASSED)

    assert [name for name in ('data-filter="looked"', "second looks</dt>", "plugged in</dt>", '"looked"', '"again":')
            if name in html] == []  # fmt: skip
