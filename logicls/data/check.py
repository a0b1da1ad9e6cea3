"""A spec held against itself and against a dataset: everything that `logicls check` says."""

from __future__ import annotations

from pathlib import Path

from logicls.constraints.against_data import hold
from logicls.constraints.lint import lint
from logicls.constraints.load import Sheet
from logicls.data.coco import dataset_problems, read_dataset
from logicls.errors import Problem


def check(sheet: Sheet, data: Path | None = None) -> list[Problem]:
    """Problems with the rules, then with the annotations, then good photos that break a rule.

    Raises:
        DataError: The dataset cannot be read.
    """
    found = [sheet.problem(f.code, f.message, f.path, f.advice) for f in lint(sheet.spec)]
    if data is not None:
        dataset = read_dataset(data)
        found += dataset_problems(dataset, sheet.spec.vocabulary)
        found += [sheet.problem(f.code, f.message, f.path, f.advice) for f in hold(sheet.spec, dataset.scenes)]
    return found
