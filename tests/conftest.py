"""What every test stands on: no network, no leftovers, and shapes that are checked."""

import atexit
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

_cache = tempfile.TemporaryDirectory(prefix="logicls-tests-")
atexit.register(_cache.cleanup)
os.environ.update(
    HF_HOME=_cache.name,
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
    NO_ALBUMENTATIONS_UPDATE="1",
    TOKENIZERS_PARALLELISM="false",
)

# Ctrl-C is tried, too; a shell that began the tests in the background has it ignored, which children inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Shapes and types in signatures are checked on every call; only where the tensors are, for speed.
install_import_hook(["logicls.models", "logicls.predict", "logicls.train", "logicls.plugins"], "beartype.beartype")

# The same examples on every run, and no deadline: a shared machine is slow at times and wrong at none.
settings.register_profile(
    "logicls", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("logicls")


@pytest.fixture(scope="session")
def tiny_nano() -> Callable[..., tuple[Any, Any]]:
    """Gives a tiny model for a spec, and its processor."""
    maker: Callable[..., tuple[Any, Any]] = runpy.run_path(str(Path(__file__).with_name("tiny.py")))["nano"]
    return maker


@pytest.fixture(scope="session")
def box_spec() -> Path:
    """The rules of a small product: two pins, and a lid of the shape that goes with their colour; read only."""
    return Path(__file__).with_name("box.yaml")


@pytest.fixture(scope="session")
def old_bundle() -> Path:
    """Give a small bundle that version 0.1 trained, before its fields were renamed; read only."""
    return Path(__file__).parent / "fixtures" / "bundle_0_1"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout. A test that uses it is marked `checkout`."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny model of a family, made once; read only."""
    makers = runpy.run_path(str(Path(__file__).with_name("checkpoints.py")))["FAMILIES"]

    @cache
    def made(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        makers[family](folder)
        return folder

    return made


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs `logicls` in this process and returns exit code, stdout and stderr."""
    from logicls.cli import app as cli  # after the import hook, and only where it is needed

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["logicls", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call
