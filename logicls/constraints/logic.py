"""Kleene's three-valued logic, with a fourth value for what does not apply: that one is left out.

S. C. Kleene, Introduction to Metamathematics (1952), section 64, the strong tables.
"""

from __future__ import annotations

from collections.abc import Iterable

from logicls.records import Status


def every(statuses: Iterable[Status]) -> Status:
    """Broken if one is broken, else unknown if one is, else holds; not applicable where none applies."""
    found = set(statuses)
    for status in ("broken", "unknown", "holds"):
        if status in found:
            return status
    return "not_applicable"


def some(statuses: Iterable[Status]) -> Status:
    """Holds if one holds, else unknown if one is, else broken; not applicable where none applies."""
    return opposite(every(opposite(status) for status in statuses))


def opposite(status: Status) -> Status:
    """Holds for broken and the other way round."""
    turned: dict[Status, Status] = {"holds": "broken", "broken": "holds"}
    return turned.get(status, status)


def given(condition: Status, status: Status) -> Status:
    """What a rule comes to under a condition: it does not apply unless that holds.

    Where the condition is unknown, only a rule that is not broken in either case is known.
    """
    if condition in ("broken", "not_applicable"):
        return "not_applicable"
    if condition == "unknown":
        return status if status in ("holds", "not_applicable") else "unknown"
    return status
