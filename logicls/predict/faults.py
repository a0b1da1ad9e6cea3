"""Faults of the machine during inspection: they stop the run, and never become a verdict about a product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from logicls.errors import InferenceError, Problem

_MEMORY_ADVICE = "Use a smaller --batch or fewer --workers; the same command continues the run."
_ADVICE = "Check the machine and its GPU driver; the same command continues the run."


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether main memory or GPU memory is exhausted, without importing torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def to_inference_error(error: BaseException) -> InferenceError:
    """Convert an exception of the model or the machine into one with a code and advice (LC609)."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if is_out_of_memory(error):
        return InferenceError(Problem("LC609", f"out of memory: {reason.rstrip('.')}.", advice=_MEMORY_ADVICE))
    return InferenceError(Problem("LC609", f"the model failed: {reason.rstrip('.')}.", advice=_ADVICE))


@contextmanager
def convert_faults() -> Iterator[None]:
    """Raise `InferenceError` for exceptions of torch, of a GPU or of the operating system in the block.

    `torch.AcceleratorError` and `torch.OutOfMemoryError` are `RuntimeError`s. Errors with a code pass unchanged.
    """
    try:
        yield
    except (RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
        raise to_inference_error(error) from error
