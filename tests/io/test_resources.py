"""Shipped files are found in a checkout and in a wheel, and no other files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.errors import LogiClsError
from logicls.io.resources import FOLDERS, resolve_resource, resource_path, resource_root


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A root with the four folders and one spec."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "constraints" / "juice_bottle.yaml").touch()
    return tmp_path


def test_the_four_folders_are_found() -> None:
    """Each of them exists, in an installed package and in a checkout."""
    assert all(resource_path(folder).is_dir() for folder in FOLDERS)


def test_files_inside_the_package_come_first(shipped: Path) -> None:
    """The folder `_share` of the package takes precedence over the folder around it."""
    package = shipped / "logicls"
    package.mkdir()

    around = resource_root(package)
    (package / "_share").mkdir()

    assert around == shipped
    assert resource_root(package) == package / "_share"


def test_unrelated_folder_data_is_not_used(tmp_path: Path) -> None:
    """All four folders must exist beside the package."""
    (tmp_path / "data").mkdir()

    with pytest.raises(LogiClsError, match=r"LC903 the shipped files are missing\. Reinstall LogiCls\."):
        resource_root(tmp_path / "logicls")


def test_misspelt_name_gets_a_suggestion(shipped: Path) -> None:
    """The advice names the closest file."""
    with pytest.raises(LogiClsError) as error:
        resolve_resource("constraints/juice_botle.yaml", shipped)

    message = (
        'LC902 there is no shipped file "constraints/juice_botle.yaml". Did you mean "constraints/juice_bottle.yaml"?'
    )
    assert str(error.value) == message
    assert resolve_resource("constraints/juice_bottle.yaml", shipped).is_file()


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "data/../../x", "data\\..\\x", "logicls/cli.py", "data/\0"]
)
def test_unsafe_names_are_refused(shipped: Path, name: str) -> None:
    """Only plain paths below the four folders are valid."""
    with pytest.raises(LogiClsError) as error:
        resolve_resource(name, shipped)

    message = (
        "is not the name of a shipped file. Start with one of constraints, data, synth, train, and do not use `..`."
    )
    assert str(error.value) == f'LC901 "{name}" {message}'
