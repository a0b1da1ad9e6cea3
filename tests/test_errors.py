"""Errors report all problems, also across process boundaries."""

import pickle

from logicls.errors import DataError, Problem, suggest_name


def test_error_survives_pickling():
    """Class, problems and text stay the same."""
    error = DataError([Problem("LC101", "one.", "a.json", 3, 4, "Correct it."), Problem("LC102", "two.")])

    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), copy.problems, str(copy)) == (DataError, error.problems, str(error))


def test_suggestion_is_the_closest_name_or_a_list():
    """Without a similar name all valid ones are listed; without names there is no advice."""
    assert suggest_name("tabelt", ["vial", "tablet"]) == 'Did you mean "tablet"?'
    assert suggest_name("xyz", ["vial", "tablet"]) == "Available: tablet, vial."
    assert suggest_name("xyz", []) == ""
