"""The loss of every step as CSV, and its picture. A resumed run continues both where its checkpoint was made."""

from __future__ import annotations

import csv
from pathlib import Path

from logicls.jsonl import write_text

HEAD = "step,loss"


class Curve:
    """Appends a row a step to a CSV file; rows after `start`, of steps that are done again, are dropped first."""

    def __init__(self, path: Path, start: int) -> None:
        kept = [f"{step},{loss}" for step, loss in read_curve(path) if step <= start] if start else []
        write_text(path, "\n".join([HEAD, *kept]) + "\n")
        self._file = path.open("a", encoding="utf-8")

    def add(self, step: int, loss: float) -> None:
        """One more step; in the file at once."""
        self._file.write(f"{step},{loss:.5f}\n")
        self._file.flush()

    def __enter__(self) -> Curve:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_curve(path: Path) -> list[tuple[int, float]]:
    """(step, loss) of each complete row; none where there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    return [(int(row["step"]), float(row["loss"])) for row in rows]


def plot_curve(path: Path, out: Path) -> None:
    """Draw the loss over the steps, with its running mean, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    steps, losses = np.array(read_curve(path)).reshape(-1, 2).T
    span = max(len(losses) // 50, 1)
    mean = np.convolve(losses, np.ones(span) / span, mode="valid")
    figure, axes = plt.subplots(figsize=(6, 3.2), dpi=110)
    axes.plot(steps, losses, linewidth=0.6, alpha=0.4, marker="." if len(losses) < 30 else "")
    axes.plot(steps[span - 1 :], mean, linewidth=1.5)
    axes.set(xlabel="step", ylabel="loss", yscale="log", title="training loss")
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(out)
    plt.close(figure)
