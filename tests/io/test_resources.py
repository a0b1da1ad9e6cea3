"""Shipped files are found in a checkout and in a wheel, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.errors import LogiClsError
from logicls.io.resources import FOLDERS, resolve_resource, resource_path, resource_root


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A folder with the four folders and one spec."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "constraints" / "juice_bottle.yaml").touch()
    return tmp_path


def test_the_four_folders_are_found() -> None:
    """Whether installed or checked out, each of them is there."""
    assert all(resource_path(folder).is_dir() for folder in FOLDERS)


def test_a_wheel_carries_its_own(shipped: Path) -> None:
    """What lies in the package comes before what lies around it."""
    package = shipped / "logicls"
    package.mkdir()

    around = resource_root(package)
    (package / "_share").mkdir()

    assert around == shipped
    assert resource_root(package) == package / "_share"


def test_other_peoples_data_is_not_ours(tmp_path: Path) -> None:
    """Beside an installed package may lie a folder `data` of somebody else."""
    (tmp_path / "data").mkdir()

    with pytest.raises(LogiClsError, match=r"LC903 the shipped files are missing\. Install LogiCls again\."):
        resource_root(tmp_path / "logicls")


def test_a_name_that_is_nearly_right(shipped: Path) -> None:
    """The closest file is named."""
    with pytest.raises(LogiClsError) as caught:
        resolve_resource("constraints/juice_botle.yaml", shipped)

    said = 'LC902 no shipped file "constraints/juice_botle.yaml". Did you mean "constraints/juice_bottle.yaml"?'
    assert str(caught.value) == said
    assert resolve_resource("constraints/juice_bottle.yaml", shipped).is_file()


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "data/../../x", "data\\..\\x", "logicls/cli.py", "data/\0"]
)
def test_names_that_lead_elsewhere(shipped: Path, name: str) -> None:
    """Only plain paths below the four folders are looked for."""
    with pytest.raises(LogiClsError) as caught:
        resolve_resource(name, shipped)

    said = "is not the name of a shipped file. Start with one of constraints, data, synth, train, and leave out `..`."
    assert str(caught.value) == f'LC901 "{name}" {said}'
