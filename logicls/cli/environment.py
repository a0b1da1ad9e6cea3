"""What a newcomer needs: a folder to start from, and what the machine can do."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from logicls.constraints.spec.json_schema import schema_to_text
from logicls.errors import DataError, LogiClsError, Problem
from logicls.io.atomic import write_text

SCHEMA_FILE = "spec.schema.json"
SPEC_TEMPLATE = (
    f"# yaml-language-server: $schema={SCHEMA_FILE}"
    + """
logicls: 1
product: {{name: {name}, version: "1", owner: ""}}

components:                # the things that are annotated on the photos: COCO categories
  label: {{}}

constraints:               # what a good product obeys
  - id: one-label
    quantity: {{of: label, exactly: 1}}
    violation: {{below: missing_label, above: additional_label}}

examples:                  # tests of the rules themselves, run by `logicls check`
  - {{scene: {{label: 1}}}}
  - {{scene: {{label: 0}}, breaks: [missing_label]}}
  - {{scene: {{label: 2}}, breaks: [additional_label]}}
"""
)


def create_project(folder: Path) -> list[Path]:
    """Make `folder` with a spec, its schema for editors and empty places for photos.

    Raises:
        DataError: The folder exists (LC902).
    """
    if folder.exists():
        raise DataError(Problem("LC902", "exists already.", str(folder), advice="Choose another name."))
    name = "".join(c if c.isalnum() or c == "_" else "_" for c in folder.name.lower())
    spec = folder / f"{name}.yaml"
    write_text(spec, SPEC_TEMPLATE.format(name=name))
    write_text(folder / SCHEMA_FILE, schema_to_text())
    folders = [folder / "data" / "images", folder / "photos"]
    for subfolder in folders:
        subfolder.mkdir(parents=True)
    return [spec, folder / SCHEMA_FILE, *folders]


def collect_facts() -> list[tuple[str, str]]:
    """Name and value of what decides how fast things are."""
    facts = [("python", platform.python_version()), ("cores", str(os.cpu_count()))]
    for name in ("logicls", "torch", "transformers", "lightning", "albumentations"):
        try:
            facts.append((name, version(name)))
        except PackageNotFoundError:
            facts.append((name, "not installed"))
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: the default model needs none"
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [*facts, ("GPU", gpu), ("disk free", f"{free:.0f} GiB"), ("torch threads", str(torch.get_num_threads()))]


def require_extra(*modules: str, extra: str) -> None:
    """Make sure that what an extra of the package brings is here.

    Raises:
        LogiClsError: It is not (LC670).
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        advice = f'Install the extra: pip install "logicls[{extra}]".'
        raise LogiClsError(Problem("LC670", f"not installed: {', '.join(missing)}.", advice=advice))
