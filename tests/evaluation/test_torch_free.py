"""Reading verdicts and computing metrics load neither torch nor transformers: `report` and `eval` start fast."""

import subprocess
import sys

import pytest

from logicls.io.jsonl import Appender
from logicls.predict.serialization import verdict_to_json

HEAVY = ("torch", "transformers", "lightning", "peft", "datasets")
MODULES = (
    "logicls.evaluation",
    "logicls.evaluation.agreement.statistics",
    "logicls.evaluation.evidence",
    "logicls.evaluation.mvtec_loco_scores",
    "logicls.predict.serialization",
    "logicls.predict.serialization",
    "logicls.predict.uncertainty.calibration",
    "logicls.predict.uncertainty.risk_control",
    "logicls.predict.uncertainty.thresholds",
    "logicls.plugins.reasoning.reinspection_result",
    "logicls.plugins.retrieval.knowledge",
)


def heavy_modules(code, *arguments):
    """Return the heavy modules that are loaded after `code` ran in a fresh interpreter."""
    report = f"\nimport sys\nprint('loaded:', *(set(sys.modules) & set({HEAVY!r})))"
    command = [sys.executable, "-c", code + report, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_light(module):
    """The module and all that it imports."""
    assert heavy_modules(f"import {module}") == []


def test_metrics_are_computed_without_torch(loco, verdicts, tmp_path):
    """Metrics of verdicts.jsonl on a LOCO test set, from reading to JSON."""
    with Appender(tmp_path / "verdicts.jsonl") as file:
        for verdict in verdicts:
            file.append(verdict_to_json(verdict))
    code = """
import sys
from pathlib import Path
from logicls.evaluation import compute_metrics
from logicls.evaluation.mvtec_loco import read_loco
from logicls.evaluation.mvtec_loco_scores import compute_loco_metrics, match_verdicts, rule_truth
from logicls.predict.serialization import read_verdicts

product = read_loco(Path(sys.argv[2]))
matched, _ = match_verdicts(read_verdicts(Path(sys.argv[1])), product)
truth = rule_truth(product, matched)
assert compute_metrics([v for v in matched.values() if v.photo in truth], truth).to_json()["auroc"] == 1
assert compute_loco_metrics(product, matched).mean_auroc == 0.75
"""

    assert heavy_modules(code, tmp_path / "verdicts.jsonl", loco) == []
