"""A spec held against itself and against a dataset: everything that `logicls check` says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from logicls.constraints.against_data import hold
from logicls.constraints.lint import lint
from logicls.constraints.load import Sheet
from logicls.data.lint import dataset_problems
from logicls.data.named import read_for
from logicls.errors import Problem


def check(sheet: Sheet, data: Path | None = None, annotations: Path | None = None) -> Iterator[Problem]:
    """Problems with the rules, then with the annotations, then good photos that break a rule.

    `annotations` is another file than the dataset's own, such as a healed copy.

    Raises:
        DataError: The dataset cannot be read; what was found before has been yielded.
    """
    yield from (sheet.problem(f.code, f.message, f.path, f.advice) for f in lint(sheet.spec))
    if data is not None:
        dataset = read_for(sheet.spec, data, annotations)
        yield from dataset_problems(dataset, sheet.spec.components)
        found = hold(sheet.spec, dataset.scenes)
        yield from (sheet.problem(f.code, f.message, f.path, f.advice) for f in found)
