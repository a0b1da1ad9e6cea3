"""The name of a result: the same photo in a folder, bundle, thresholds and plug-ins have the same one, whenever."""

from __future__ import annotations

import hashlib

from logicls.records import Verdict

DIGITS = 12
"""Of the SHA-256: two of a million results share a name once in 500 times."""


def result_id(verdict: Verdict) -> str:
    """Twelve hexadecimal digits made of the photo's path in its folder, its hash, and the ids of bundle and thresholds.

    What was plugged in counts, too: by name, by what it knew, and by its settings.
    Photos with the same bytes have a result each; one that could not be opened has no hash.
    """
    plugged = (plug.said for plug in verdict.plugged)
    made_of = "\0".join((verdict.photo, verdict.sha256, verdict.bundle, verdict.thresholds, *plugged))
    return hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
