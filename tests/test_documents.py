"""The documents keep their promises: commands and options exist, links lead to files, the tree is the tree."""

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import logicls

HERE = Path(__file__).resolve().parent.parent
README = HERE / "README.md"
CONTRIBUTING = HERE / "CONTRIBUTING.md"
PAGES = [
    path for path in (README, CONTRIBUTING, HERE / "SECURITY.md", *sorted(HERE.glob("docs/**/*.md"))) if path.exists()
]
GROUPS = ("bundle", "expert", "knowledge")
"""Commands that have commands of their own."""

pytestmark = pytest.mark.checkout


def read(page: Path) -> str:
    """Return the text of a page; empty where there is no checkout."""
    return page.read_text(encoding="utf-8") if page.exists() else ""


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of that language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[tuple[str, ...]]:
    """Return each call of `logicls` in shell blocks and inline code: the command, then its arguments."""
    lines = [
        part
        for block in blocks(text, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        for part in line.split("&&")
    ]
    lines += re.findall(r"`(logicls [a-z][^`]*)`", re.sub(r"\n", " ", text))
    calls = [shlex.split(line.split("#")[0]) for line in lines if line.strip()]
    found = []
    for words in calls:
        if words and Path(words[0]).name == "logicls":
            depth = 2 if words[1] in GROUPS else 1
            found.append((" ".join(words[1 : depth + 1]), *words[depth + 1 :]))
    return found


def tree(text: str) -> list[tuple[str, str]]:
    """Return (path, comment) of each line of the tree: two spaces deeper is one folder deeper."""
    found, folders = [], []
    for line in "".join(blocks(text, "text")).splitlines():
        indent, name, comment = re.fullmatch(r"( *)(\S+) *(.*)", line).groups()
        folders = [*folders[: len(indent) // 2], name]
        found.append(("".join(folders), comment))
    return found


def missing(text: str, folder: Path) -> list[str]:
    """Return the paths that the tree names and `folder` does not have."""
    return [path for path, _ in tree(text) if not (folder / path).exists()]


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(page))
    return [link for link in links if "://" not in link and not (page.parent / link).exists()]


@functools.cache
def options(command: str) -> frozenset[str]:
    """Return the options that `logicls COMMAND --help` shows."""
    done = subprocess.run(
        [sys.executable, "-c", "from logicls.cli.app import main; main()", *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )
    assert done.returncode == 0, f"logicls {command} --help: {done.stderr}"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    return frozenset(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", plain))


def test_first_block_does_everything_on_one_line():
    """The first block installs and runs the demo, the second runs the tests; `.ci/run` takes both from here."""
    first, second, *_ = blocks(read(README), "sh")

    assert first == (
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.lock -e . && .venv/bin/logicls demo\n"
    )
    assert second == ".venv/bin/python -m pytest -q\n"


def test_there_are_commands_pages_and_a_tree():
    """The lists that the tests below walk are not empty."""
    assert ("demo",) in commands(read(README))
    assert len(PAGES) > 20
    assert "logicls/cli/" in dict(tree(read(CONTRIBUTING)))


@pytest.mark.parametrize(
    "call",
    sorted({call for page in PAGES for call in commands(read(page)) if "decisions" not in page.parts}),
    ids=" ".join,
)
def test_command_and_its_options_exist(call):
    """Each command that a page shows exists, and so does each of its options."""
    command, *words = call

    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options(command)


def test_options_in_the_table_exist():
    """The options that the table of commands names are options of the command in the same row."""
    rows = re.findall(r"^\| `logicls (\w+)[^`]*` \|(.*)\|$", read(HERE / "docs/commands.md"), flags=re.MULTILINE)
    named = [(command, option) for command, text in rows for option in re.findall(r"`(--[a-z-]+)`", text)]

    assert named != []
    assert [(command, option) for command, option in named if option not in options(command)] == []


def test_an_unknown_option_is_found():
    """The checks above can fail: the help does not show every option there could be."""
    assert "--help" in options("check")
    assert "--no-such-option" not in options("check")


def test_tree_is_the_tree():
    """Each path in the contributor's tree exists and has its comment."""
    assert missing(read(CONTRIBUTING), HERE) == []
    assert [path for path, comment in tree(read(CONTRIBUTING)) if not comment] == []


def test_tree_names_every_package():
    """Each package and each module at the top of `logicls/` is in the tree."""
    named = set(dict(tree(read(CONTRIBUTING))))
    packages = [f"{path.parent.relative_to(HERE).as_posix()}/" for path in (HERE / "logicls").glob("*/__init__.py")]
    modules = [path.relative_to(HERE).as_posix() for path in (HERE / "logicls").glob("[a-z]*.py")]

    assert [path for path in (*packages, *modules) if path not in named] == []


def test_a_missing_file_is_found(tmp_path):
    """The check above can fail: a path that does not exist is named, nested ones with their folder."""
    (tmp_path / "there").mkdir()

    assert missing("```text\nthere/  yes\n  gone.py  no\n```\n", tmp_path) == ["there/gone.py"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Each relative link of a page leads to a file."""
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path):
    """The check above can fail: a link to a file that does not exist is named."""
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#top) and [nowhere](gone.md)")

    assert broken_links(page) == ["gone.md"]


def test_the_api_page_names_every_public_name():
    """Every name in `logicls.__all__` is on the page of the Python API, and no other name of the package is."""
    named = set(re.findall(r"^::: logicls\.(\w+)$", read(HERE / "docs/api.md"), flags=re.MULTILINE))

    assert named == set(logicls.__all__)


def test_the_readme_fits_three_screens():
    """The README has at most 120 lines."""
    assert len(read(README).splitlines()) <= 120
