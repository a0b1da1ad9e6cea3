"""A run manifest admits runs with the recorded settings only."""

import json
from pathlib import Path

import pytest

from logicls.errors import DataError, Problem
from logicls.io.run_manifest import ManifestDifference, check_manifest, read_manifest


def make_error(differences):
    """An error whose message lists the differences."""
    return DataError(Problem("LC401", repr(list(differences))))


def test_run_with_equal_settings_continues(tmp_path):
    """Settings and metadata are written; metadata may change."""
    path = tmp_path / "run" / "manifest.json"

    check_manifest(path, {"seed": 1, "limits": [1, 2]}, make_error, host="first")
    check_manifest(path, {"seed": 1, "limits": [1, 2]}, make_error, host="second")

    assert read_manifest(path) == {"seed": 1, "limits": [1, 2], "host": "second"}


def test_run_with_other_settings_is_refused(tmp_path):
    """Every difference is reported, also of a setting that was not recorded; the manifest is unchanged."""
    path = tmp_path / "manifest.json"
    check_manifest(path, {"seed": 1, "count": 9}, make_error)
    before = path.read_bytes()

    with pytest.raises(DataError) as error:
        check_manifest(path, {"seed": 2, "count": 9, "colour": "red"}, make_error)

    differences = [ManifestDifference("seed", 1, 2), ManifestDifference("colour", None, "red")]
    assert error.value.problems == make_error(differences).problems
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", [None, "", "{", "[1]", json.dumps("run")])
def test_unreadable_manifest_counts_as_absent(tmp_path: Path, text):
    """A new folder, and one whose manifest is not a JSON object, admit any run."""
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)

    assert read_manifest(path) == {}
