"""A folder that holds one run."""

import json
from pathlib import Path

import pytest

from logicls.errors import DataError, Problem
from logicls.io.run_manifest import ManifestDifference, check_manifest, read_manifest


def refusal(differences):
    """An error that says the differences."""
    return DataError(Problem("LC401", repr(list(differences))))


def test_the_same_run_goes_on(tmp_path):
    """What it was begun with is written, notes beside it; notes may change."""
    mark = tmp_path / "run" / "mark.json"

    check_manifest(mark, {"seed": 1, "limits": [1, 2]}, refusal, place="here")
    check_manifest(mark, {"seed": 1, "limits": [1, 2]}, refusal, place="there")

    assert read_manifest(mark) == {"seed": 1, "limits": [1, 2], "place": "there"}


def test_another_run_is_refused(tmp_path):
    """With each difference, also of a setting that was not known then; the folder is not touched."""
    mark = tmp_path / "mark.json"
    check_manifest(mark, {"seed": 1, "count": 9}, refusal)
    before = mark.read_bytes()

    with pytest.raises(DataError) as caught:
        check_manifest(mark, {"seed": 2, "count": 9, "colour": "red"}, refusal)

    differences = [ManifestDifference("seed", 1, 2), ManifestDifference("colour", None, "red")]
    assert caught.value.problems == refusal(differences).problems
    assert mark.read_bytes() == before


@pytest.mark.parametrize("text", [None, "", "{", "[1]", json.dumps("run")])
def test_a_mark_that_says_nothing_is_none(tmp_path: Path, text):
    """A new folder, or one whose mark cannot be read, is anybody's."""
    mark = tmp_path / "mark.json"
    if text is not None:
        mark.write_text(text)

    assert read_manifest(mark) == {}
