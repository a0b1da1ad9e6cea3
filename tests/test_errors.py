"""Errors: all problems at once, wherever they come from."""

import pickle

from logicls.errors import DataError, Problem


def test_an_error_survives_the_way_out_of_a_process():
    """Its kind, its problems and its text."""
    error = DataError([Problem("LC101", "one.", "a.json", 3, 4, "Mend it."), Problem("LC102", "two.")])

    back = pickle.loads(pickle.dumps(error))

    assert (type(back), back.problems, str(back)) == (DataError, error.problems, str(error))
