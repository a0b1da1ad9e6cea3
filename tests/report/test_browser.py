"""The page in a real browser: everything on it is clicked. Skipped where there is no Chromium."""

import os
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from logicls.evaluation import score
from logicls.records import SecondLook
from logicls.report.page import write_report
from logicls.report.summary import TruthComparison

from .cases import FAILED, NOW, PASSED, TORN, UNSURE, WORDS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("LOGICLS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; LOGICLS_CHROMIUM may name one"),
]


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests."""
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page with 30 photos that pass, 15 that fail in two ways, one to review and one that is torn."""
    folder = tmp_path_factory.mktemp("made")
    verdicts = [replace(PASSED, photo=f"good{n:02}.jpg", sha256=f"{n:064x}") for n in range(30)]
    verdicts += [replace(FAILED, photo=f"bad{n:02}.jpg", sha256=f"{n + 50:064x}", score=n / 20) for n in range(10)]
    stray = replace(FAILED.findings[1], status="broken", violations=("stray",))
    verdicts += [
        replace(FAILED, photo=f"stray{n}.jpg", sha256=f"{n + 80:064x}", violations=("stray",), findings=(stray,))
        for n in range(5)
    ]
    look = SecondLook("latent", "review", 0.5, (0.5, 0.75), 1, True, "review", (0.5, 0.25))
    verdicts += [replace(UNSURE, second_look=look), TORN]
    for verdict in verdicts[:-1]:
        Image.new("RGB", (80, 60), "grey").save(folder / verdict.photo)
    truth = {v.photo: v.violations for v in verdicts} | {"bad03.jpg": ("stray",)}
    held = TruthComparison(truth, score(verdicts, truth))
    write_report(verdicts, WORDS, photos=folder, out=folder / "page.html", now=NOW, comparison=held)
    return folder / "page.html"


@pytest.fixture
def page(browser, made):
    """The page as it opens; nothing may be said on the console and nothing fetched by the end of a test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, said, fetched = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: fetched.append(request.url[:60]))
    opened.goto(made.as_uri())
    yield opened
    context.close()
    assert said == []
    assert [url for url in fetched if not url.startswith("data:")] == [made.as_uri()[:60]]


def names(page):
    """The photos whose cards are shown."""
    return page.locator(".card .title strong").all_inner_texts()


def test_it_opens_on_what_fails(page):
    """Twenty cards, those that fail first, and the first of them open."""
    assert names(page)[:2] == ["bad00.jpg", "bad01.jpg"]
    assert page.locator("#shown").inner_text() == "47 photos fit, 1 to 20 shown"
    assert page.locator("details.card[open]").count() == 1


def test_verdicts_are_filtered(page):
    """A click shows one verdict, another all; the button says whether it is pressed."""
    review = page.get_by_role("button", name="review", exact=False).first

    review.click()

    assert names(page) == ["unsure.jpg", "torn.jpg"]
    assert review.get_attribute("aria-pressed") == "true"
    review.click()
    assert page.locator("#shown").inner_text() == "47 photos fit, 1 to 20 shown"


def test_second_looks_are_filtered(page):
    """One photo was looked at again; its card says what came of it."""
    page.click("[data-filter=looked]")

    assert page.inner_text("#shown") == "1 photo fits"
    assert page.inner_text(".again") == (
        "Second look: review, as before. The mean entropy of the answers fell from 0.500 to 0.250 (0: sure, 1: open). "
        "It took 0.5 s. Reasoner: latent."
    )
    page.click("[data-filter=looked]")
    assert page.inner_text("#shown").startswith("47 photos fit")


def test_violations_are_filtered(page):
    """By the bar of the chart, or by the list; filters add up."""
    page.locator("button.bar", has_text="stray").click()

    assert names(page) == [f"stray{n}.jpg" for n in range(5)]
    assert page.locator("#violation").input_value() == "stray"
    page.locator("#violation").select_option("gone")
    assert page.locator("#shown").inner_text() == "11 photos fit"
    page.locator('[data-filter="outcome"][value="review"]').click()
    assert names(page) == ["unsure.jpg"]


def test_photos_are_searched_by_name_and_by_result(page):
    """Parts of a name do, upper and lower case alike; nothing found is said."""
    page.locator("#search").fill("GOOD1")
    assert names(page) == [f"good1{n}.jpg" for n in range(10)]

    result = page.locator("details.card").nth(3).get_attribute("id")
    page.locator("#search").fill(result)
    assert names(page) == ["good13.jpg"]

    page.locator("#search").fill("no such photo")
    assert page.locator("#shown").inner_text() == "No photo fits."


def test_pages_are_turned(page):
    """Later and earlier; a filter goes back to the first page."""
    assert page.locator("#before").is_disabled()
    page.locator("#after").click()
    page.locator("#after").click()

    assert page.locator("#page").inner_text() == "page 3 of 3"
    assert page.locator("#after").is_disabled()
    assert len(names(page)) == 7
    page.locator("#before").click()
    assert page.locator("#page").inner_text() == "page 2 of 3"
    page.locator('[data-filter="outcome"][value="pass"]').click()
    assert page.locator("#page").inner_text() == "page 1 of 2"


def test_a_card_is_opened_by_keyboard(page):
    """It has the picture with numbered boxes, the rule, and the questions; a question lets its boxes stand out."""
    card = page.locator("details.card").nth(1)
    assert card.locator(".body").count() == 0

    card.locator("summary").first.focus()
    page.keyboard.press("Enter")

    card.locator(".body").wait_for()
    assert card.locator(".mark").count() == 1
    assert card.locator(".frame img").evaluate("image => image.naturalWidth") == 80
    assert card.locator(".rule").inner_text().splitlines()[0].startswith("gone 1 sure to 93 %")
    assert "expected 1 lid" in card.locator(".against").inner_text()
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


def test_what_differs_from_the_truth_is_found(page):
    """A filter of its own; the card says what is true."""
    page.get_by_role("button", name="not as the truth").click()

    assert names(page) == ["bad03.jpg"]
    assert page.locator(".truth").inner_text() == "The truth: stray"


def test_cards_are_put_in_order(page):
    """The highest score first, or by name."""
    page.locator("#sorted").select_option("score")
    assert names(page)[0] in ("torn.jpg",)

    page.locator("#sorted").select_option("photo")
    assert names(page)[:2] == ["bad00.jpg", "bad01.jpg"]


def test_all_cards_of_a_page_are_opened_at_once(page):
    """And closed again."""
    page.locator("#open-all").click()
    assert page.locator("details.card[open] .body").count() == 20

    page.locator("#open-all").click()
    assert page.locator("details.card[open]").count() == 0


def test_a_link_leads_to_a_result(page, made):
    """`page.html#RESULT` shows that photo, open."""
    result = page.locator("details.card").nth(4).get_attribute("id")

    page.goto(f"{made.as_uri()}#{result}")

    assert names(page) == ["bad04.jpg"]
    assert page.locator("details.card[open]").count() == 1


def test_a_photo_that_could_not_be_read_has_a_card(page):
    """Without a picture, with the reason."""
    page.locator("#search").fill("torn")

    assert page.locator(".blank").inner_text() == "no picture"
    assert "the file is truncated" in page.locator(".why").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser, made, scheme):
    """Nothing reaches beyond 390 pixels, with every card of the page open; colours follow the system."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(made.as_uri())

    opened.locator("#open-all").click()

    wide, back = opened.evaluate(
        "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
    )
    context.close()
    assert wide == 390
    assert back == {"light": "rgb(244, 245, 247)", "dark": "rgb(15, 18, 22)"}[scheme]


def test_on_paper_every_card_of_the_page_is_open(page):
    """Printing opens them, and closes them again."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.card[open] .body").count() == 20

    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.card[open]").count() == 1


def test_a_page_that_cannot_be_seen_is_noticed(browser, made, tmp_path):
    """The checks above can fail: an error on the console is heard."""
    broken = tmp_path / "broken.html"
    broken.write_text(made.read_text(encoding="utf-8").replace('"use strict";', '"use strict"; oops();'), "utf-8")
    opened, said = browser.new_page(), []
    opened.on("pageerror", lambda error: said.append(str(error)))

    opened.goto(broken.as_uri())

    opened.close()
    assert said == ["oops is not defined"]
