"""Locate the files that ship with LogiCls: specs, templates, the sample product, recipes.

A wheel holds them in `logicls/_share/`; a checkout holds them in the repository root.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from logicls.errors import LogiClsError, Problem, suggest_name

FOLDERS = ("constraints", "data", "synth", "train")
_PACKAGE = Path(__file__).resolve().parent.parent


def resource_path(name: str) -> Path:
    """Return the path of a shipped file or folder, for example `constraints/juice_bottle.yaml`.

    Raises:
        LogiClsError: The name is not a plain path below one of the four folders (LC901), or there is no such file
            (LC902).
    """
    return resolve_resource(name, resource_root(_PACKAGE))


def resource_root(package: Path) -> Path:
    """Return the folder that holds the four folders: inside the installed `package`, or around it in a checkout.

    Raises:
        LogiClsError: Neither exists (LC903).
    """
    if (package / "_share").is_dir():
        return package / "_share"
    # All four must exist: an installed package may have an unrelated folder `data` beside it.
    if all((package.parent / folder).is_dir() for folder in FOLDERS):
        return package.parent
    advice = "Reinstall LogiCls."
    raise LogiClsError(Problem("LC903", "the shipped files are missing.", str(package), advice=advice))


def resolve_resource(name: str, root: Path) -> Path:
    """Return the path of the file or folder `name` below `root`. Raises as `resource_path` does."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in FOLDERS or ".." in parts or "\\" in name or "\0" in name:
        advice = f"Start with one of {', '.join(FOLDERS)}, and do not use `..`."
        raise LogiClsError(Problem("LC901", f'"{name}" is not the name of a shipped file.', advice=advice))
    path = root.joinpath(*parts)
    if not path.exists():
        names = (p.relative_to(root).as_posix() for p in (root / parts[0]).rglob("*") if p.is_file())
        raise LogiClsError(Problem("LC902", f'there is no shipped file "{name}".', advice=suggest_name(name, names)))
    return path
