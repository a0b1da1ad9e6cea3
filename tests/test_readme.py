"""The README keeps its promises: its commands exist with their options, its tree is the tree."""

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent
README = HERE / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.exists() else ""

pytestmark = pytest.mark.checkout


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of that language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Each call of `logicls` in the shell blocks and in inline code, as words after `logicls`."""
    lines = [part for block in blocks(text, "sh") for line in block.splitlines() for part in line.split("&&")]
    lines += re.findall(r"`(logicls [^`]*)`", text)
    calls = [shlex.split(line) for line in lines if line.strip()]
    return [words[1:] for words in calls if Path(words[0]).name == "logicls"]


def tree(text: str) -> list[tuple[str, str]]:
    """(path, comment) of each line of the tree: two spaces deeper is one folder deeper."""
    found, folders = [], []
    for line in "".join(blocks(text, "text")).splitlines():
        indent, name, comment = re.fullmatch(r"( *)(\S+) *(.*)", line).groups()
        folders = [*folders[: len(indent) // 2], name]
        found.append(("".join(folders), comment))
    return found


def missing(text: str, folder: Path) -> list[str]:
    """The paths that the tree names and `folder` does not have."""
    return [path for path, _ in tree(text) if not (folder / path).exists()]


@functools.cache
def options(command: str) -> frozenset[str]:
    """The options that `logicls COMMAND --help` shows."""
    done = subprocess.run(
        [sys.executable, "-c", "from logicls.cli.app import main; main()", command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )
    assert done.returncode == 0, f"logicls {command} --help: {done.stderr}"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    return frozenset(re.findall(r"(?<![\w-])--[a-z][a-z-]*", plain))


def test_first_block_does_everything_on_one_line():
    """The first block installs and runs the demo, the second runs the tests; `.ci/run` takes both from here."""
    first, second, *_ = blocks(TEXT, "sh")

    assert first == (
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.lock -e . && .venv/bin/logicls demo\n"
    )
    assert second == ".venv/bin/python -m pytest -q\n"


def test_there_are_commands_and_a_tree():
    """What the tests below walk is not empty."""
    assert ["demo"] in commands(TEXT)
    assert "logicls/cli.py" in dict(tree(TEXT))


@pytest.mark.parametrize("call", commands(TEXT), ids=" ".join)
def test_command_and_its_options_exist(call):
    """Each command that the README shows exists, and so does each of its options."""
    command, *words = call

    assert {word for word in words if word.startswith("--")} <= options(command)


def test_options_in_the_table_exist():
    """The options that the table of commands names are options of the command in the same row."""
    rows = re.findall(r"^\| `logicls (\w+)[^`]*` \|(.*)\|$", TEXT, flags=re.MULTILINE)
    named = [(command, option) for command, what in rows for option in re.findall(r"`(--[a-z-]+)`", what)]

    assert named != []
    assert [(command, option) for command, option in named if option not in options(command)] == []


def test_an_unknown_option_is_seen():
    """The checks above can fail: the help does not show every option there could be."""
    assert "--help" in options("check")
    assert "--no-such-option" not in options("check")


def test_tree_is_the_tree():
    """Each path in the README's tree exists and has its comment."""
    assert missing(TEXT, HERE) == []
    assert [path for path, comment in tree(TEXT) if not comment] == []


def test_tree_names_every_module():
    """Each package of `logicls/` is in the tree, and so is each module of a folder that the tree opens."""
    named = set(dict(tree(TEXT)))
    listed = {path.rpartition("/")[0] + "/" for path in named if path.endswith(".py")}
    modules = [
        path.relative_to(HERE).as_posix()
        for path in sorted((HERE / "logicls").rglob("*.py"))
        if path.name != "__init__.py"
    ]
    packages = [f"{path.parent.relative_to(HERE).as_posix()}/" for path in (HERE / "logicls").glob("*/__init__.py")]

    assert [path for path in modules if path.rpartition("/")[0] + "/" in listed and path not in named] == []
    assert [path for path in packages if path not in named] == []


def test_a_missing_file_is_seen(tmp_path):
    """The check above can fail: a path that does not exist is named, nested ones with their folder."""
    (tmp_path / "there").mkdir()

    assert missing("```text\nthere/  yes\n  gone.py  no\n```\n", tmp_path) == ["there/gone.py"]


def test_links_lead_somewhere():
    """Each relative link of the README and of the contributor's guide leads to a file."""
    pages = [README, HERE / ".github" / "CONTRIBUTING.md"]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in link
    ]

    assert links != []
    assert [link for page, link in links if not (page.parent / link).exists()] == []
