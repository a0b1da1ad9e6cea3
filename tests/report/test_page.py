"""HTML of the report page: content, self-containedness, escaping."""

import base64
import io
import json
import re
from dataclasses import replace

from PIL import Image

from logicls.evaluation import compute_metrics
from logicls.plugins.reasoning.reinspection_result import ReinspectionResult
from logicls.predict.plugin_protocols import ViolationCause
from logicls.predict.uncertainty.calibration import ReliabilityBin
from logicls.records import Answer, Box, Heatmap, PluginInfo
from logicls.report.page import write_report
from logicls.report.summary import TruthComparison

from .cases import FAILED, LABELS, NOW, PASSED, REVIEW, UNREADABLE


def render(photos, *verdicts, labels=LABELS, **options):
    """Write a report on the verdicts and return its HTML."""
    out = photos.parent / "report" / "index.html"
    write_report(iter(verdicts), labels, photos=photos, out=out, now=NOW, **options)
    return out.read_text(encoding="utf-8")


def script_contents(html, kind):
    """Return the contents of the script elements `kind0`, `kind1` and so on."""
    return re.findall(rf'id="{kind}\d*">(.*?)</script>', html)


def test_a_card_has_question_answer_rule_and_box(photos):
    """A card has rules, answers and boxes; the texts of rules and questions are in the page once."""
    html = render(photos, FAILED)

    (card,) = map(json.loads, script_contents(html, "card"))
    (data,) = map(json.loads, script_contents(html, "data"))
    assert card["rules"] == [
        ["one-lid", 0, "gone", "1 lid", "0 lids", [1], 0.93],
        ["pin-in-box", 2, "", "", "1 of 1", [2], 0.8],
    ]
    assert card["answers"][:2] == [
        [1, "locate:lid", "none", 1.0, 1, 1],
        [2, "locate:pin", "1 found", 0.8, 0, 1],
    ]
    assert card["boxes"] == [[2, 0, 125.0, 125.0, 625.0, 500.0, 125.0, 87.0]]
    assert (card["size"], card["sha256"], card["seconds"]) == ([1000.0, 750.0], "ab" * 32, 0.02)
    assert data["rules"]["one-lid"] == "exactly 1 lid"
    assert data["questions"]["locate:lid"] == "where is every lid?"
    assert data["photo"] == ["bad.jpg"]


def test_thumbnails_are_bounded(photos):
    """A thumbnail keeps the photo's proportions and has at most 640 pixels on its longer side."""
    Image.new("RGB", (1600, 1200), "red").save(photos / "bad.jpg")

    html = render(photos, replace(FAILED, width=1600, height=1200))

    (thumbnail,) = script_contents(html, "thumbnail")
    with Image.open(io.BytesIO(base64.b64decode(thumbnail))) as image:
        assert (image.format, image.size) == ("WEBP", (640, 480))


def test_the_page_is_self_contained(photos):
    """There are no links to other files or hosts, and the content security policy forbids them."""
    html = render(photos, FAILED, UNREADABLE)

    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', html) == []
    assert "default-src 'none'" in html
    assert re.findall(r"https?://[^\"\s]*", html) == ["http://www.w3.org/2000/svg"]


def test_an_unreadable_photo_has_a_card_with_its_reason(photos):
    """It is counted, and displayed without a photo."""
    html = render(photos, UNREADABLE)

    (card,) = map(json.loads, script_contents(html, "card"))
    assert card["reasons"] == ["the file is truncated"]
    assert script_contents(html, "thumbnail") == []


def test_markup_in_a_name_is_text(photos):
    """Markup in rules, titles and file names is escaped."""
    evil = "</script><script>alert(1)</script>"
    labels = replace(LABELS, title=evil, rules={"one-lid": evil})

    html = render(photos, replace(UNREADABLE, photo=evil, violations=(evil,), reasons=(evil,)), labels=labels)

    assert "<script>alert" not in html
    assert html.count("</script>") == html.count("<script")
    assert json.loads(script_contents(html, "data")[0])["photo"] == [evil]


def test_counts_have_exact_intervals(photos):
    """Each outcome has its share and Clopper–Pearson interval; the header has the provenance."""
    html = render(photos, FAILED, PASSED, REVIEW, UNREADABLE)

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "fail 1 25.0 % 95 % CI 0.6 – 80.6 %" in text
    assert "review 2 50.0 % 95 % CI 6.8 – 93.2 %" in text
    assert "spec version 7 spec c0ffee bundle kit thresholds t1 time per photo 15 ms created 2026-03-01 12:30" in text


def test_violations_are_ranked_by_frequency(photos):
    """Each bar has its severity; photos are counted by their highest severity."""
    both = replace(FAILED, violations=("gone", "stray"))

    html = render(photos, replace(both, violations=("stray",)), both)

    assert re.findall(r'aria-label="(\w+, \w+: \d+; cumulative \d+ %)', html) == [
        "stray, minor: 2; cumulative 67 %",
        "gone, critical: 1; cumulative 100 %",
    ]
    assert re.findall(r"<b>(\d+)</b> (\w+)</span>", html) == [("1", "critical"), ("1", "minor")]


def test_photos_without_a_card_are_counted(photos):
    """Failures get cards first; a note has the number of cards per outcome and where to find the rest."""
    many = [replace(PASSED, photo=f"{n}.jpg", width=0) for n in range(50)]

    html = render(photos, *many, FAILED, max_cards=20)

    (line,) = re.findall(r'id="left-out">(.*?)</p>', html)
    assert "20 of 51 photos have a card here: 1 of 1 fail, 0 of 0 review, 19 of 50 pass" in line
    assert "verdicts.csv" in line
    assert len(script_contents(html, "card")) == 20
    assert 'id="left-out"' not in render(photos, FAILED)


def test_ground_truth_adds_confusion_matrix_and_reliability_diagram(photos):
    """Both are displayed only with ground truth."""
    truth = {"bad.jpg": ("stray",), "good.jpg": ()}
    comparison = TruthComparison(truth, compute_metrics([FAILED, PASSED], truth))

    html = render(photos, FAILED, PASSED, comparison=comparison)

    assert 'title="1 of 1: true stray, predicted gone"' in html
    assert "expected calibration error 0.100" in html
    assert json.loads(script_contents(html, "data")[0])["wrong"] == [1, 0]
    without = render(photos, FAILED, PASSED)
    assert 'id="confusion"' not in without
    assert 'id="reliability"' not in without


def test_calibrated_probabilities_replace_the_anomaly_score(photos):
    """The reliability diagram uses the bins of `logicls eval` if there are any."""
    comparison = TruthComparison(
        {"bad.jpg": ("gone",)},
        compute_metrics([FAILED], {"bad.jpg": ("gone",)}),
        (ReliabilityBin(0.9, 1.0, 10, 0.95, 0.8),),
    )

    html = render(photos, FAILED, comparison=comparison)

    assert "<b>Calibrated probabilities</b>" in html
    assert "expected calibration error 0.150" in html
    assert 'title="predicted 95.0 %, observed 80.0 % (44.4 – 97.5 %), n = 10"' in html


def test_causes_and_consequences_are_embedded(tmp_path):
    """The page contains the knowledge-base texts of each violation."""
    cause = ViolationCause("box/pin", "", "The feeder is empty.", "The lid opens.")
    labels = replace(LABELS, causes={"missing_pin": (cause,)})

    write_report([], labels, photos=tmp_path, out=tmp_path / "index.html", now=NOW)

    text = (tmp_path / "index.html").read_text()
    assert '"causes":{"missing_pin":[["box/pin","","The feeder is empty.","The lid opens."]]}' in text


def test_a_second_look_is_described(photos):
    """The card has outcome, entropy and reasoner; the header has the counts, and there is a filter."""
    look = ReinspectionResult("latent", "review", 0.5, (0.5, 0.75), 1, True, "fail", (0.5, 0.25))
    plugins = (PluginInfo("reasoner", "latent", settings=(("tokens", 4.0),)),)
    repeated = replace(FAILED, plugin_results=(look.to_plugin_result(),), plugins=plugins)
    rejected = replace(look, is_accepted=False, after="review")
    unchanged = replace(REVIEW, plugin_results=(rejected.to_plugin_result(),), plugins=plugins)

    html = render(photos, repeated, unchanged, PASSED)

    cards = [json.loads(card) for card in script_contents(html, "card")]
    assert [card.get("secondLook") for card in cards] == [
        ["latent", "review → fail",
         "The mean entropy of the answers fell from 0.500 to 0.250 (0: certain, 1: undecided). It took 0.5 s."],
        ["latent", "review, unchanged",
         "The entropy of the answers did not decrease, so the first result was kept. It took 0.5 s."],
        None,
    ]  # fmt: skip
    (data,) = map(json.loads, script_contents(html, "data"))
    assert data["secondLook"] == [1, 1, 0]
    assert "<dd>2 of 3 photos; 1 of 2 reviews resolved; mean entropy 0.500 → 0.250</dd>" in html
    assert "<dt>plug-in</dt><dd>reasoner latent tokens=4</dd>" in html
    assert 'second look <span class="dim">2</span>' in html


def test_a_page_without_second_looks_does_not_mention_them(photos):
    """The header, the filters and the cards contain nothing about them."""
    html = render(photos, FAILED, PASSED)

    assert [name for name in ('data-filter="secondLook"', "second looks</dt>", "plug-in</dt>", '"secondLook"')
            if name in html] == []  # fmt: skip


def test_angles_are_arrows_on_their_boxes(photos):
    """An arrow points upwards at 0 degrees, and to the left at 90; without the boxes there is none."""
    located = Answer("locate:pin", boxes=(Box(20, 20, 40, 40), Box(50, 20, 70, 40)))
    turned = Answer("orientation:pin", ("0", "90"))

    html = render(photos, replace(FAILED, answers=(located, turned)), replace(FAILED, answers=(turned,)))

    first, second = map(json.loads, script_contents(html, "card"))
    assert first["arrows"] == [[2, 0, 375.0, 375.0, 375.0, 262.5], [2, 0, 750.0, 375.0, 637.5, 375.0]]
    assert first["answers"][1][2] == "0°, 90°"
    assert "arrows" not in second


def test_heatmaps_lie_over_anomalous_instances(photos):
    """The worst place has a box, and the instance a heatmap in the scale of the photo, with its angle."""
    heatmap = Heatmap(Box(20, 20, 40, 30), ("05af", "0000"), 90.0)
    strange = Answer("appearance:pin", ("anomalous", "normal"), (Box(25, 20, 30, 25),), heatmaps=(heatmap,))

    html = render(
        photos, replace(FAILED, answers=(strange,)), replace(FAILED, answers=(replace(strange, heatmaps=()),))
    )

    first, second = map(json.loads, script_contents(html, "card"))
    assert first["heatmaps"] == [[1, 0, 250.0, 250.0, 250.0, 125.0, 90.0, ["05af", "0000"]]]
    assert first["boxes"][0][2:6] == [312.5, 250.0, 62.5, 62.5]
    assert "heatmaps" not in second
