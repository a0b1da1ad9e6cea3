"""The name of a result: the same photo in a folder, bundle, thresholds and second look have the same one, whenever."""

from __future__ import annotations

import hashlib

from logicls.records import Verdict

DIGITS = 12
"""Of the SHA-256: two of a million results share a name once in 500 times."""


def result_id(verdict: Verdict) -> str:
    """Twelve hexadecimal digits made of the photo's path in its folder, its hash, and the ids of bundle and thresholds.

    Where a second look made the verdict, the name of the reasoner counts, too.
    Photos with the same bytes have a result each; one that could not be opened has no hash.
    """
    look = verdict.second_look
    again = (look.reasoner,) if look is not None and look.taken else ()
    made_of = "\0".join((verdict.photo, verdict.sha256, verdict.bundle, verdict.thresholds, *again))
    return hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
