"""Finds the files that ship with LogiCls: specs, templates, the sample product, recipes.

A wheel carries them in `logicls/_share/`; in a checkout they lie in the repository's root.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from logicls.errors import LogiClsError, Problem, suggest_name

FOLDERS = ("constraints", "data", "synth", "train")
_PACKAGE = Path(__file__).resolve().parent.parent


def resource_path(name: str) -> Path:
    """The shipped file or folder of that name, such as `constraints/juice_bottle.yaml`.

    Raises:
        LogiClsError: The name is not a plain path below one of the four folders (LC901), or nothing there has it
            (LC902).
    """
    return resolve_resource(name, resource_root(_PACKAGE))


def resource_root(package: Path) -> Path:
    """The folder that holds the four: inside the installed `package`, or around it in a checkout.

    Raises:
        LogiClsError: There is neither (LC903).
    """
    if (package / "_share").is_dir():
        return package / "_share"
    # All four must be there: next to an installed package may lie other people's `data`.
    if all((package.parent / folder).is_dir() for folder in FOLDERS):
        return package.parent
    advice = "Install LogiCls again."
    raise LogiClsError(Problem("LC903", "the shipped files are missing.", str(package), advice=advice))


def resolve_resource(name: str, root: Path) -> Path:
    """The file or folder `name` below `root`; raises as `share` does."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in FOLDERS or ".." in parts or "\\" in name or "\0" in name:
        advice = f"Start with one of {', '.join(FOLDERS)}, and leave out `..`."
        raise LogiClsError(Problem("LC901", f'"{name}" is not the name of a shipped file.', advice=advice))
    path = root.joinpath(*parts)
    if not path.exists():
        known = (p.relative_to(root).as_posix() for p in (root / parts[0]).rglob("*") if p.is_file())
        raise LogiClsError(Problem("LC902", f'no shipped file "{name}".', advice=suggest_name(name, known)))
    return path
