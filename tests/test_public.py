"""What other people's code may rely on: the names, the version, the files that ship."""

import importlib
import importlib.metadata
import pkgutil
import types

import pytest

import logicls
from logicls.io import resources as assets

MODULES = ["logicls", *sorted(m.name for m in pkgutil.walk_packages(logicls.__path__, "logicls."))]
PACKAGES = ["logicls", *sorted(m.name for m in pkgutil.walk_packages(logicls.__path__, "logicls.") if m.ispkg)]
SHIPPED = ["constraints", "synth", "data", "train"]


def bound(module: types.ModuleType) -> set[str]:
    """The public names that a package's own file binds; its modules are not among them."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }


def test_there_is_something_to_walk():
    """The lists that the tests below walk hold the command line and the rules."""
    assert {"logicls.cli.app", "logicls.records", "logicls.constraints.spec.loader"} <= set(MODULES)
    assert {"logicls", "logicls.constraints", "logicls.models"} <= set(PACKAGES)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_alone(name):
    """Each module imports without a warning, and names in its `__all__` exist."""
    module = importlib.import_module(name)

    assert [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_the_public_names(name):
    """What a package binds is what its `__all__` names; a package without one binds nothing."""
    package = importlib.import_module(name)

    assert bound(package) <= set(getattr(package, "__all__", ()))


def test_a_name_missing_from_all_is_seen():
    """The check above can fail: a public name is noticed, private names and modules are not."""
    package = types.ModuleType("package")
    vars(package).update(public=1, _private=2, module=types, annotations=3)

    assert bound(package) == {"public"}


def test_version_is_the_installed_one():
    """The version in the code is the one that pip shows."""
    assert importlib.metadata.version("logicls") == logicls.__version__


def test_command_is_installed():
    """`logicls` on the command line is `logicls.cli.app.main`."""
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="logicls")

    assert command.value == "logicls.cli.app:main"
    assert callable(command.load())


@pytest.mark.parametrize("folder", SHIPPED)
def test_what_people_write_ships(folder):
    """Each top-level folder is found, in a checkout and in a wheel, and is not empty."""
    found = assets.resource_path(folder)

    assert [path for path in found.rglob("*") if path.is_file()] != []


def test_shipped_files_are_never_compiled_python():
    """No cache travels with the files that people write."""
    strays = [path for folder in SHIPPED for path in assets.resource_path(folder).rglob("*.py*")]

    assert strays == []
