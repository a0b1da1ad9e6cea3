"""Commands `init` and `doctor`, and checks of the installation."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from logicls.cli.options import print_line
from logicls.errors import DataError, LogiClsError, Problem

SCHEMA_FILE = "spec.schema.json"
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"
"""First line of a spec beside that file, with which an editor completes it."""
SPEC_TEMPLATE = (
    SCHEMA_LINE
    + """
logicls: 1
product: {{name: {name}, version: "1", owner: ""}}

components:                # categories of the annotations (COCO)
  label: {{}}

constraints:               # rules that a good product satisfies
  - id: one-label
    quantity: {{of: label, exactly: 1}}
    violation: {{below: missing_label, above: additional_label}}

examples:                  # tests of the rules, run by `logicls check`
  - {{scene: {{label: 1}}}}
  - {{scene: {{label: 0}}, breaks: [missing_label]}}
  - {{scene: {{label: 2}}, breaks: [additional_label]}}
"""
)


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Folder to create; its name is the product's name.")],
) -> None:
    """Create a project folder with a spec to start from, its JSON Schema, and empty photo folders."""
    for path in create_project(Path(name)):
        print_line(str(path))


def create_project(folder: Path) -> list[Path]:
    """Create a project folder with a spec, its JSON Schema for editors, and empty photo folders.

    Raises:
        DataError: The folder exists (LC902).
    """
    from logicls.constraints.spec.json_schema import schema_to_text
    from logicls.io.atomic import write_text

    if folder.exists():
        raise DataError(Problem("LC902", "already exists.", str(folder), advice="Choose another name."))
    name = "".join(c if c.isalnum() or c == "_" else "_" for c in folder.name.lower())
    spec = folder / f"{name}.yaml"
    write_text(spec, SPEC_TEMPLATE.format(name=name))
    write_text(folder / SCHEMA_FILE, schema_to_text())
    folders = [folder / "data" / "images", folder / "photos"]
    for subfolder in folders:
        subfolder.mkdir(parents=True)
    return [spec, folder / SCHEMA_FILE, *folders]


def doctor() -> None:
    """Print versions and resources: Python, libraries, CPU cores, GPU, memory, disk space."""
    for name, value in collect_facts():
        print_line(f"{name}: {value}")


def collect_facts() -> list[tuple[str, str]]:
    """Return name and value of each version and resource."""
    facts = [("python", platform.python_version()), ("CPU cores", str(os.cpu_count()))]
    for name in ("logicls", "torch", "transformers", "lightning", "albumentations"):
        try:
            facts.append((name, version(name)))
        except PackageNotFoundError:
            facts.append((name, "not installed"))
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none (not needed by the built-in model)"
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    facts += [("GPU", gpu), ("torch threads", str(torch.get_num_threads()))]
    return [*facts, ("memory", _memory_text()), ("free disk space", f"{free:.0f} GiB")]


def _memory_text() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        return "unknown"


def require_extra(*modules: str, extra: str) -> None:
    """Check that the modules of an optional dependency are installed.

    Raises:
        LogiClsError: A module is missing (LC670).
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        advice = f'Install the extra: pip install "logicls[{extra}]".'
        raise LogiClsError(Problem("LC670", f"not installed: {', '.join(missing)}.", advice=advice))


def silence_progress_bars() -> None:
    """Disable the progress bars of datasets and transformers, which would interfere with those of LogiCls."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
