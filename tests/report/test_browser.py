"""Report page in Chromium: filters, search, paging, cards. Skipped without Chromium."""

import os
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from logicls.evaluation import compute_metrics
from logicls.plugins.reasoning.reinspection_result import ReinspectionResult
from logicls.report.page import write_report
from logicls.report.summary import TruthComparison

from .cases import FAILED, LABELS, NOW, PASSED, REVIEW, UNREADABLE

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("LOGICLS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium not found; set LOGICLS_CHROMIUM to its path"),
]


@pytest.fixture(scope="module")
def browser():
    """Browser shared by all tests."""
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report_path(tmp_path_factory):
    """Page with 30 passing photos, 15 failing ones with two violations, one review and one unreadable photo."""
    folder = tmp_path_factory.mktemp("report")
    verdicts = [replace(PASSED, photo=f"good{n:02}.jpg", sha256=f"{n:064x}") for n in range(30)]
    verdicts += [replace(FAILED, photo=f"bad{n:02}.jpg", sha256=f"{n + 50:064x}", score=n / 20) for n in range(10)]
    stray = replace(FAILED.findings[1], status="broken", violations=("stray",))
    verdicts += [
        replace(FAILED, photo=f"stray{n}.jpg", sha256=f"{n + 80:064x}", violations=("stray",), findings=(stray,))
        for n in range(5)
    ]
    look = ReinspectionResult("latent", "review", 0.5, (0.5, 0.75), 1, True, "review", (0.5, 0.25))
    verdicts += [replace(REVIEW, plugin_results=(look.to_plugin_result(),)), UNREADABLE]
    for verdict in verdicts[:-1]:
        Image.new("RGB", (80, 60), "grey").save(folder / verdict.photo)
    truth = {v.photo: v.violations for v in verdicts} | {"bad03.jpg": ("stray",)}
    comparison = TruthComparison(truth, compute_metrics(verdicts, truth))
    write_report(verdicts, LABELS, photos=folder, out=folder / "page.html", now=NOW, comparison=comparison)
    return folder / "page.html"


@pytest.fixture
def page(browser, report_path):
    """Opened page; at the end of a test, nothing may have been logged or fetched."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, messages, fetched = context.new_page(), [], []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda request: fetched.append(request.url[:60]))
    opened.goto(report_path.as_uri())
    yield opened
    context.close()
    assert messages == []
    assert [url for url in fetched if not url.startswith("data:")] == [report_path.as_uri()[:60]]


def names(page):
    """Return the names of the displayed photos."""
    return page.locator(".card .title strong").all_inner_texts()


def test_it_opens_on_what_fails(page):
    """Twenty cards, those that fail first, and the first of them open."""
    assert names(page)[:2] == ["bad00.jpg", "bad01.jpg"]
    assert page.locator("#match-count").inner_text() == "47 photos match, 1 to 20 displayed"
    assert page.locator("details.card[open]").count() == 1


def test_verdicts_are_filtered(page):
    """A click shows one verdict, another all; the button says whether it is pressed."""
    review = page.get_by_role("button", name="review", exact=False).first

    review.click()

    assert names(page) == ["unsure.jpg", "truncated.jpg"]
    assert review.get_attribute("aria-pressed") == "true"
    review.click()
    assert page.locator("#match-count").inner_text() == "47 photos match, 1 to 20 displayed"


def test_second_looks_are_filtered(page):
    """One photo has a second look; its card describes it."""
    page.click("[data-filter=secondLook]")

    assert page.inner_text("#match-count") == "1 photo matches"
    assert page.inner_text(".second-look") == (
        "Second look: review, unchanged. The mean entropy of the answers fell from 0.500 to 0.250 "
        "(0: certain, 1: undecided). It took 0.5 s. Reasoner: latent."
    )
    page.click("[data-filter=secondLook]")
    assert page.inner_text("#match-count").startswith("47 photos match")


def test_violations_are_filtered(page):
    """Violations are filtered by bar or by list; filters are combined."""
    page.locator("button.bar", has_text="stray").click()

    assert names(page) == [f"stray{n}.jpg" for n in range(5)]
    assert page.locator("#violation").input_value() == "stray"
    page.locator("#violation").select_option("gone")
    assert page.locator("#match-count").inner_text() == "11 photos match"
    page.locator('[data-filter="outcome"][value="review"]').click()
    assert names(page) == ["unsure.jpg"]


def test_photos_are_searched_by_name_and_result_id(page):
    """Search ignores case and matches parts of names; no match is reported."""
    page.locator("#search").fill("GOOD1")
    assert names(page) == [f"good1{n}.jpg" for n in range(10)]

    result = page.locator("details.card").nth(3).get_attribute("id")
    page.locator("#search").fill(result)
    assert names(page) == ["good13.jpg"]

    page.locator("#search").fill("no such photo")
    assert page.locator("#match-count").inner_text() == "No photo matches."


def test_pages_are_turned(page):
    """Pages are turned in both directions; a filter returns to the first page."""
    assert page.locator("#previous").is_disabled()
    page.locator("#next").click()
    page.locator("#next").click()

    assert page.locator("#page").inner_text() == "page 3 of 3"
    assert page.locator("#next").is_disabled()
    assert len(names(page)) == 7
    page.locator("#previous").click()
    assert page.locator("#page").inner_text() == "page 2 of 3"
    page.locator('[data-filter="outcome"][value="pass"]').click()
    assert page.locator("#page").inner_text() == "page 1 of 2"


def test_a_card_is_expanded_by_keyboard(page):
    """It has the photo with numbered boxes, the rule and the questions; a focused question highlights its boxes."""
    card = page.locator("details.card").nth(1)
    assert card.locator(".body").count() == 0

    card.locator("summary").first.focus()
    page.keyboard.press("Enter")

    card.locator(".body").wait_for()
    assert card.locator(".mark").count() == 1
    assert card.locator(".frame img").evaluate("image => image.naturalWidth") == 80
    assert card.locator(".rule").inner_text().splitlines()[0].startswith("gone 1 confidence 93 %")
    assert "expected 1 lid" in card.locator(".comparison").inner_text()
    assert card.locator("tbody tr").nth(1).inner_text().split() == [
        "2",
        "where",
        "is",
        "every",
        "pin?",
        "1",
        "found",
        "80",
        "%",
    ]
    card.locator("tbody tr").nth(1).focus()
    assert card.locator(".mark.on").count() == 1


def test_wrong_predictions_are_filtered(page):
    """The filter shows photos that differ from the ground truth; the card displays the ground truth."""
    page.get_by_role("button", name="wrong").click()

    assert names(page) == ["bad03.jpg"]
    assert page.locator(".truth").inner_text() == "Ground truth: stray"


def test_cards_are_sorted(page):
    """Cards are sorted by score or by name."""
    page.locator("#sort").select_option("score")
    assert names(page)[0] in ("truncated.jpg",)

    page.locator("#sort").select_option("photo")
    assert names(page)[:2] == ["bad00.jpg", "bad01.jpg"]


def test_all_cards_of_a_page_are_expanded(page):
    """A second click collapses them."""
    page.locator("#expand-all").click()
    assert page.locator("details.card[open] .body").count() == 20

    page.locator("#expand-all").click()
    assert page.locator("details.card[open]").count() == 0


def test_a_link_opens_a_result(page, report_path):
    """`page.html#RESULT` displays this photo, expanded."""
    result = page.locator("details.card").nth(4).get_attribute("id")

    page.goto(f"{report_path.as_uri()}#{result}")

    assert names(page) == ["bad04.jpg"]
    assert page.locator("details.card[open]").count() == 1


def test_an_unreadable_photo_has_a_card(page):
    """It has no photo, but the reason."""
    page.locator("#search").fill("truncated")

    assert page.locator(".blank").inner_text() == "no photo"
    assert "the file is truncated" in page.locator(".why").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(browser, report_path, scheme):
    """The page is 390 pixels wide with all cards expanded; colours follow the system setting."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(report_path.as_uri())

    opened.locator("#expand-all").click()

    width, background = opened.evaluate(
        "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
    )
    context.close()
    assert width == 390
    assert background == {"light": "rgb(244, 245, 247)", "dark": "rgb(15, 18, 22)"}[scheme]


def test_printing_expands_all_cards(page):
    """Printing expands the cards of the page, and collapses them afterwards."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.card[open] .body").count() == 20

    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.card[open]").count() == 1


def test_a_script_error_is_detected(browser, report_path, tmp_path):
    """The checks above can fail: a script error is reported."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        report_path.read_text(encoding="utf-8").replace('"use strict";', '"use strict"; oops();'), "utf-8"
    )
    opened, messages = browser.new_page(), []
    opened.on("pageerror", lambda error: messages.append(str(error)))

    opened.goto(broken.as_uri())

    opened.close()
    assert messages == ["oops is not defined"]
