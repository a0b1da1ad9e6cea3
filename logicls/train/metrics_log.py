"""Progress of a training run: metrics as CSV files and plots, and the callbacks of `fit`, `fit_hub`, `fit_grpo`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logicls.io.atomic import write_text

StepCallback = Callable[[int, float], None]
"""Takes the number of a finished step, counted from 1, and its training loss (its mean reward in the stage `grpo`)."""


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class TrainingObserver:
    """Callbacks of a training run; each does nothing unless it is given.

    With several processes only the first one notifies. An exception that a callback raises ends the run.
    """

    on_message: Callable[[str], None] = _ignore
    """Takes a line of text for people."""
    on_examples: Callable[[int], None] = _ignore
    """Takes the number of examples prepared since the last call: checked by preflight, or rendered for base weights."""
    on_crop_step: Callable[[int, int], None] = _ignore
    """Takes the finished steps of crop pretraining, and their total."""
    on_plan: Callable[[int], None] = _ignore
    """Takes the number of steps of the run, once, before the first one."""
    on_step: StepCallback = _ignore


SILENT = TrainingObserver()
"""Ignores everything."""
PRINTING = TrainingObserver(on_message=print)
"""Prints messages to standard output and ignores the rest."""


HEADER = "step,loss"
"""Columns of training.csv."""


class MetricsLog:
    """Appends rows to a CSV file whose first column is a step.

    With `start` above 0 the rows of a resumed run stay up to that step; later ones, which are computed again, are
    dropped.
    """

    def __init__(self, path: Path, start: int, header: str = HEADER) -> None:
        rows = [",".join(row.values()) for row in read_rows(path) if int(row["step"]) <= start] if start else []
        write_text(path, "\n".join([header, *rows]) + "\n")
        self._file = path.open("a", encoding="utf-8")

    def add(self, step: int, *values: float | str) -> None:
        """Append a row and write it to the file at once; numbers get five decimals."""
        cells = [value if isinstance(value, str) else f"{value:.5f}" for value in values]
        self._file.write(",".join([str(step), *cells]) + "\n")
        self._file.flush()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class NullMetricsLog:
    """Log that writes nothing, for processes other than the first."""

    def add(self, step: int, *values: float | str) -> None:
        """Ignore the row."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the complete rows of a CSV file by column name; none where there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def read_metric(path: Path, column: str = "loss") -> list[tuple[int, float]]:
    """Read (step, value) of a column from each complete row; none where there is no file."""
    return [(int(row["step"]), float(row[column])) for row in read_rows(path)]


def plot_loss(path: Path, out: Path, validation: Path | None = None) -> None:
    """Plot the training loss with its running mean, and the validation loss if there is one, as a PNG.

    Args:
        path: training.csv.
        out: PNG file to write.
        validation: CSV of the evaluations.
    """
    import numpy as np

    steps, losses = np.array(read_metric(path)).reshape(-1, 2).T
    span = max(len(losses) // 50, 1)
    mean = np.convolve(losses, np.ones(span) / span, mode="valid")
    figure, (axes,) = _make_figure(1)
    axes.plot(steps, losses, linewidth=0.6, alpha=0.4, marker="." if len(losses) < 30 else "")
    axes.plot(steps[span - 1 :], mean, linewidth=1.5, label="training")
    validation_points = read_metric(validation) if validation else []
    if validation_points:
        axes.plot(*zip(*validation_points, strict=True), linewidth=1, marker=".", label="validation")
        axes.legend(fontsize=8)
    axes.set(xlabel="step", ylabel="loss", yscale="log", title="loss")
    _save_figure(figure, [axes], out)


def plot_rewards(path: Path, validation: Path, out: Path) -> None:
    """Plot the rewards of training and validation, and the exact match of validation, as a PNG."""
    figure, (rewards, exact) = _make_figure(2)
    rewards.plot(*_split_points(read_metric(path, "reward")), linewidth=1, alpha=0.6, label="training (sampled)")
    rewards.plot(*_split_points(read_metric(validation, "reward")), marker=".", label="validation")
    rewards.legend(fontsize=8)
    rewards.set(xlabel="step", title="mean reward")
    exact.plot(*_split_points(read_metric(validation, "exact_match")), marker=".")
    exact.set(xlabel="step", title="validation: exact match")
    _save_figure(figure, [rewards, exact], out)


def _split_points(rows: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Split (step, value) pairs into steps and values."""
    return [step for step, _ in rows], [value for _, value in rows]


def plot_by_class(path: Path, out: Path, columns: Iterable[tuple[str, str]]) -> None:
    """Plot columns of a table that has a row per step and class: a panel per (column, title), a line per class."""
    rows, panels = read_rows(path), list(columns)
    figure, all_axes = _make_figure(len(panels))
    for axes, (column, title) in zip(all_axes, panels, strict=True):
        for class_ in dict.fromkeys(row["class"] for row in rows):
            points = [(int(row["step"]), float(row[column])) for row in rows if row["class"] == class_]
            axes.plot(*zip(*points, strict=True), linewidth=1, label=class_, marker="." if len(points) < 3 else "")
        axes.set(xlabel="step", title=title)
    if rows:
        all_axes[-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save_figure(figure, all_axes, out)


def _make_figure(count: int) -> tuple[Any, list[Any]]:
    """Create a figure with `count` panels side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(6 if count == 1 else 4 * count + 1, 3.2), dpi=110, squeeze=False)
    return figure, list(axes[0])


def _save_figure(figure: Any, axes: list[Any], out: Path) -> None:
    """Add a grid to each panel, write the figure and close it."""
    from matplotlib import pyplot as plt

    for panel in axes:
        panel.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(out)
    plt.close(figure)
