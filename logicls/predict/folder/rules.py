"""Rules of a folder of verdicts: everything besides the answers that its verdicts depend on.

`rules/` in the folder holds the spec that answers were judged with, the one that the model was trained with if they
differ, calibration and thresholds, as they are in the bundle. So verdicts are judged again, and reports written, on a
machine without the bundle.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from logicls.constraints.checker.spec_changes import SPEC_FILE, TRAINED_SPEC_FILE, find_trained_spec
from logicls.constraints.spec.yaml_reader import read_text
from logicls.io.atomic import write_text
from logicls.predict.uncertainty.calibration import CALIBRATION_FILE
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle

RULES_FOLDER = "rules"
"""Name of the folder below that of the verdicts."""


def find_spec(verdicts: Path, bundle: Path) -> Path:
    """Return the file of the spec that the verdicts in a folder were judged with: their own, or else the bundle's."""
    own = verdicts / RULES_FOLDER / SPEC_FILE
    return own if own.exists() else bundle / SPEC_FILE


def write_bundle_rules(bundle: Bundle, verdicts: Path) -> None:
    """Write the rules of a bundle to a folder of verdicts. Raises `DataError`, `SpecError`.

    A model that is not the bundle's own has neither its calibration nor its thresholds.
    """
    trained = find_trained_spec(bundle.path) if bundle.path.is_dir() else bundle.path
    is_own = not bundle.is_external and bundle.path.is_dir()
    write_rules(
        verdicts, bundle.spec_file, bundle.spec_file if bundle.is_external else trained,
        bundle.path if is_own else None,
    )  # fmt: skip


def write_rules(verdicts: Path, spec: Path, trained_spec: Path, fits: Path | None) -> None:
    """Write the rules of a folder of verdicts. Raises `DataError`, `SpecError`.

    `fits`: folder with calibration and thresholds, which may lack either; None for none.
    """
    folder = verdicts / RULES_FOLDER
    texts = {SPEC_FILE: read_text(spec), TRAINED_SPEC_FILE: read_text(trained_spec)}
    if texts[SPEC_FILE] == texts[TRAINED_SPEC_FILE]:
        del texts[TRAINED_SPEC_FILE]
    for name in (CALIBRATION_FILE, THRESHOLDS_FILE):
        if fits is not None and (fits / name).exists():
            texts[name] = (fits / name).read_text(encoding="utf-8")
    for name, text in texts.items():
        write_text(folder / name, text)
    for name in {TRAINED_SPEC_FILE, CALIBRATION_FILE, THRESHOLDS_FILE} - set(texts):
        (folder / name).unlink(missing_ok=True)
