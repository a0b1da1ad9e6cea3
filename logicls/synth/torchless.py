"""albumentations without its part for torch, which is not used and costs every worker process 1.7 s and 180 MB."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Nobody can import that module meanwhile; one that is loaded already stays."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no network at run time; must stand before the import
with _hidden("torch"):
    import albumentations

__all__ = ["albumentations"]
