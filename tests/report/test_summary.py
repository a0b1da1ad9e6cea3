"""What is counted of all photos, and which of them get a card."""

from dataclasses import replace

from logicls.constraints.spec.loader import load_spec
from logicls.report.card_view import build_labels
from logicls.report.summary import summarize

from .cases import FAILED, PASSED, UNSURE, WORDS


def tally(tmp_path, limit, *, fails=0, reviews=0, passes=0):
    """So many of each, in turn."""
    kinds = ((FAILED, fails), (UNSURE, reviews), (PASSED, passes))
    verdicts = (replace(v, photo=f"{v.outcome}{n:04}", width=0) for v, many in kinds for n in range(many))
    return summarize(verdicts, WORDS, photos=tmp_path, limit=limit)


def numbers(shown):
    """How many of each get a card."""
    return {outcome: len(some) for outcome, some in shown.items()}


def test_all_are_shown_where_they_fit(tmp_path):
    """In the order in which they came."""
    shown = tally(tmp_path, 100, fails=3, reviews=4, passes=5).select_photos(100)

    assert numbers(shown) == {"fail": 3, "review": 4, "pass": 5}
    assert [v.photo for v in shown["pass"]] == [f"pass{n:04}" for n in range(5)]


def test_fails_come_first_and_nothing_is_hidden_altogether(tmp_path):
    """A quarter is kept for reviews and a twentieth for passes; what they do not need goes to the others."""
    assert numbers(tally(tmp_path, 100, fails=500, reviews=500, passes=500).select_photos(100)) == {
        "fail": 70, "review": 25, "pass": 5,
    }  # fmt: skip
    assert numbers(tally(tmp_path, 100, fails=10, reviews=500, passes=500).select_photos(100)) == {
        "fail": 10, "review": 85, "pass": 5,
    }  # fmt: skip
    assert numbers(tally(tmp_path, 100, fails=10, passes=500).select_photos(100)) == {
        "fail": 10,
        "review": 0,
        "pass": 90,
    }


def test_passes_are_drawn_from_all_of_them(tmp_path):
    """By chance, the same on every run, in their order; those that fail are the first."""
    shown = tally(tmp_path, 100, fails=200, passes=5000).select_photos(100)
    again = tally(tmp_path, 100, fails=200, passes=5000).select_photos(100)

    passes = [v.photo for v in shown["pass"]]
    assert passes == [v.photo for v in again["pass"]] == sorted(passes)
    assert passes[-1] > "pass2500"
    assert [v.photo for v in shown["fail"]] == [f"fail{n:04}" for n in range(95)]


def test_no_more_is_kept_than_can_be_shown(tmp_path):
    """However many there are, memory is that of the limit."""
    counted = tally(tmp_path, 10, fails=300, reviews=300, passes=300)

    assert [len(sample.items) for sample in counted.samples.values()] == [10, 10, 10]
    assert counted.n == 900


def test_a_violation_has_the_worst_severity_of_its_rules(tmp_path):
    """Rules may share a violation; words are the spec's own."""
    (tmp_path / "box.yaml").write_text(
        "logicls: 1\nproduct: {name: lid_box}\ncomponents: {lid: {}}\nconstraints:\n"
        "  - {id: some, quantity: {of: lid, at_least: 1}, violation: gone, severity: minor, why: law}\n"
        "  - {id: few, quantity: {of: lid, at_most: 2}, violation: gone, severity: critical}\n"
    )

    words = build_labels(load_spec(tmp_path / "box.yaml"))

    assert words.severities == {"gone": "critical"}
    assert (words.title, words.reasons) == ("lid box", {"some": "law"})
    assert words.worst_severity(["gone", "unheard of"]) == "critical"
    assert words.worst_severity([]) is None
