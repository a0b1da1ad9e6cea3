"""Pages and folders of knowledge: strict parsing, and all problems in one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.errors import DataError, LogiClsError, SpecError
from logicls.plugins.retrieval.knowledge import KnowledgePage, read_causes, read_knowledge, read_page, render_page
from logicls.predict.plugin_protocols import ViolationCause

TEXT = """---
product: box
defect: missing_pin
---
A pin is not there. <!-- ask the
line --> Look closely.

## Causes
The feeder is empty.

### More
It jams.

## Consequences ##
The lid opens.
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a knowledge folder with one note."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "pin.md").write_text(TEXT)
    return tmp_path


def test_read_page(folder):
    """Comments are removed; an unknown heading belongs to its section."""
    page = read_page(folder / "box" / "pin.md", folder)

    assert page == KnowledgePage(
        "box/pin", "box", "", "missing_pin", None, "A pin is not there.  Look closely.",
        "The feeder is empty.\n\n### More\nIt jams.", "The lid opens.",
    )  # fmt: skip
    assert page.text.startswith("box, missing pin: A pin is not there. Look closely. Causes: The feeder")


def test_rendered_page_round_trip(folder):
    """Names with quotes and colons survive; missing sections get a comment."""
    front = {"product": "box", "variant": 'no: "12"', "defect": ""}
    (folder / "new.md").write_text(render_page(front, "A good one.", consequences="None."))

    page = read_page(folder / "new.md", folder)

    assert page == KnowledgePage("new", "box", 'no: "12"', "", None, "A good one.", "", "None.")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("# A pin\n", "LC702", "bad.md:1:1 LC702 has no front matter"),
        ("---\n---\nA pin\n", "LC702", "bad.md:1:1"),
        ("---\nproduct: box\nA pin\n", "LC702", "bad.md:1:1"),
        ("---\nproduct: box\ncolour: red\n---\n", "LC021", "bad.md:3:1"),
        ("---\nproduct: box\nproduct: lid\n---\n", "LC007", "bad.md:3:1"),
        ("---\nvariant: red\n---\n", "LC022", "product"),
        ("---\nproduct: box\nphoto: no.jpg\n---\n", "LC703", 'bad.md:3:1 LC703 its photo "no.jpg" is missing'),
    ],
)
def test_invalid_page(folder, text, code, message):
    """Each problem has its code and location."""
    (folder / "bad.md").write_text(text)

    with pytest.raises((DataError, SpecError)) as caught:
        read_page(folder / "bad.md", folder)

    assert [problem.code for problem in caught.value.problems] == [code]
    assert message in str(caught.value)


def test_all_invalid_pages(folder):
    """Two invalid pages are two problems of one error."""
    (folder / "one.md").write_text("nothing")
    (folder / "two.md").write_text("---\nproduct: box\nphoto: no.jpg\n---\n")

    with pytest.raises(LogiClsError) as caught:
        read_knowledge(folder)

    assert [problem.code for problem in caught.value.problems] == ["LC702", "LC703"]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_folder_without_pages(folder, name):
    """The error names the command that drafts pages."""
    (folder / "empty").mkdir()

    with pytest.raises(DataError, match=r"LC701 the folder has no pages of knowledge.*knowledge build"):
        read_knowledge(folder / name)


def test_settings(folder):
    """An unknown key is an error; without knowledge.yaml defaults apply."""
    assert (read_knowledge(folder).settings.encoder, read_knowledge(folder).settings.budget) == ("base", 4)
    (folder / "knowledge.yaml").write_text("logicls: 1\nbudjet: 3\n")

    with pytest.raises(SpecError, match=r"knowledge.yaml:2:1 LC021.*budget"):
        read_knowledge(folder)


def test_read_causes(folder):
    """Pages about any variant come first; pages without causes and consequences are skipped."""
    (folder / "a.md").write_text(
        render_page({"product": "box", "variant": "red", "defect": "missing_pin"}, "x", causes="y")
    )
    (folder / "b.md").write_text(render_page({"product": "lid", "defect": "missing_pin"}, "x", causes="z"))
    (folder / "c.md").write_text(render_page({"product": "box", "defect": "extra_pin"}, "x"))

    result = read_causes(folder, "box")

    general = ViolationCause("box/pin", "", "The feeder is empty.\n\n### More\nIt jams.", "The lid opens.")
    assert result == {"missing_pin": (general, ViolationCause("a", "red", "y", ""))}
