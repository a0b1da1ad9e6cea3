"""The name of a result: the same photo, bundle, thresholds and second look have the same one, wherever and whenever."""

from __future__ import annotations

import hashlib

from logicls.records import Verdict

DIGITS = 12
"""Of the SHA-256: two of a million results share a name once in 500 times."""


def result_id(verdict: Verdict) -> str:
    """Twelve hexadecimal digits made of the photo's hash, the bundle's id and that of the thresholds.

    Where a second look made the verdict, the name of the reasoner counts, too.
    Photos with the same bytes share it. The name stands for the hash of one that could not be read.
    """
    photo = verdict.sha256 or f"unread {verdict.photo}"
    look = verdict.second_look
    again = (look.reasoner,) if look is not None and look.taken else ()
    made_of = "\n".join((photo, verdict.bundle, verdict.thresholds, *again))
    return hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
