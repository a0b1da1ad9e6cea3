"""Examples made by processes: the same ones, however many processes there are and however the run ends."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logicls.errors import DataError
from logicls.io.resources import share
from logicls.synth import pipeline as module
from logicls.synth.pipeline import SynthesisRequest, build_dataset

CHILD = """
import signal
import sys
from pathlib import Path
from logicls.report.complaints import errors_shown
from logicls.synth import build as module

if __name__ == "__main__":
    module.SHARD = module.GROUP = 4
    order = module.Order(*map(Path, sys.argv[1:4]), int(sys.argv[4]), 5)
    with errors_shown():
        module.build(order, workers=2, done=lambda more: print("done", more, flush=True))
"""


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SynthesisRequest:
    """Thirty shards of four examples, of photos of one's own."""
    monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(module, "GROUP", 4)
    shutil.copytree(share("data/dosing_kit"), tmp_path / "photos", ignore=shutil.ignore_patterns("heldout"))
    return SynthesisRequest(share("constraints/dosing_kit.yaml"), tmp_path / "photos", tmp_path / "set", 120, 5)


@pytest.fixture
def child(order: SynthesisRequest, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Begins the order in a process group of its own, with two workers."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    told = ["-W", "ignore", "-W", "default:resource_tracker"]
    command = [sys.executable, *told, str(script), *map(str, (order.spec, order.data, order.out, order.count))]
    begun: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        begun.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.communicate()


def content(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shards(folder: Path) -> dict[str, bytes]:
    """The bytes of the finished shards."""
    return {name: data for name, data in content(folder).items() if name.endswith(".parquet")}


def made(order: SynthesisRequest) -> dict[str, bytes]:
    """The whole set, made beside it without processes and in one go."""
    beside = replace(order, out=order.out.with_name("whole"))
    build_dataset(beside, workers=1)
    return content(beside.out)


def failing(order: SynthesisRequest, workers: int, after: Callable[[], object]) -> str:
    """What is said where `after`, called when two shards are finished, makes the run fail."""
    told: list[int] = []

    def done(more: int) -> None:
        told.append(more)
        if sum(told) == 12:
            after()

    with pytest.raises(DataError) as caught:
        build_dataset(order, workers=workers, on_progress=done)
    assert len(shards(order.out)) >= 2
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_nothing(order: SynthesisRequest, workers: int) -> None:
    """Byte by byte the set is the one made without processes; nobody is left behind."""
    build_dataset(order, workers=workers)

    assert content(order.out) == made(order)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_run_ends_without_a_word(child: Callable[[], subprocess.Popen[str]]) -> None:
    """Nothing is left behind that Python would warn of at its end: no locks of processes, no files."""
    process = child()

    said = process.communicate(timeout=120)[1]

    assert (process.returncode, said) == (0, "")


@pytest.mark.slow
def test_a_run_killed_again_and_again_goes_on(
    order: SynthesisRequest, child: Callable[[], subprocess.Popen[str]]
) -> None:
    """`kill -9` of all its processes at any moment: what is finished stays as it is, and in the end nothing differs."""
    rng = np.random.default_rng(int(os.environ.get("LOGICLS_KILL_SEED", "0")))
    for _ in range(4):
        before = shards(order.out)
        process = child()
        for _ in range(1 + int(rng.integers(3))):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        after = shards(order.out)
        assert {name: after.get(name) for name in before} == before

    build_dataset(order, workers=2)

    assert content(order.out) == made(order)


@pytest.mark.slow
def test_nobody_outlives_a_killed_run(order: SynthesisRequest, child: Callable[[], subprocess.Popen[str]]) -> None:
    """`kill -9` of the first process alone: its workers end by themselves, so that their end of the pipe closes."""
    process = child()
    process.stdout.readline()
    process.stdout.readline()

    process.kill()
    began = time.monotonic()
    process.communicate(timeout=30)

    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_ctrl_c_ends_a_run(order: SynthesisRequest, child: Callable[[], subprocess.Popen[str]]) -> None:
    """A line and no traceback, from none of its processes; what is finished stays."""
    process = child()
    for _ in range(4):
        process.stdout.readline()

    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]

    assert (process.returncode, said) == (130, "stopped; the same command goes on from here\n")
    assert 1 <= len(shards(order.out)) < 30
    assert build_dataset(order, workers=1) == 120
    assert content(order.out) == made(order)


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_run(order: SynthesisRequest) -> None:
    """It is killed where memory is short: the run says so and does not wait for it for ever."""
    said = failing(order, 2, lambda: multiprocessing.active_children()[0].kill())

    assert said == (
        "LC404 a process that makes examples died; most likely the memory was used up. "
        "Use fewer workers. Then run the same command again: what is finished stays."
    )
    assert build_dataset(order, workers=1) == 120
    assert content(order.out) == made(order)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_photo_that_is_damaged_meanwhile_ends_the_run(order: SynthesisRequest, workers: int) -> None:
    """The photo is named; when it is there again, the run goes on to the set that it would have been."""
    photos = order.data / "images"
    kept = content(photos)

    said = failing(order, workers, lambda: [os.truncate(path, 200) for path in photos.iterdir()])
    for name, data in kept.items():
        (photos / name).write_bytes(data)

    name = Path(said.split()[0]).name
    assert said.startswith(f'{photos / name} LC306 "{name}" is damaged or cut short: ')
    assert said.endswith("Copy it again. Then run the same command again: what is finished stays.")
    assert build_dataset(order, workers=workers) == 120
    assert content(order.out) == made(order)


def test_a_full_disk_ends_the_run(order: SynthesisRequest) -> None:
    """The file is named, and nothing half-written is left; with room again, the run goes on."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    try:
        said = failing(order, 1, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    left = sorted(content(order.out))
    assert said == (
        f"{order.out / 'data' / 'train-00002-of-00030.parquet'} LC253 cannot be written: {os.strerror(errno.EFBIG)}. "
        "Make room, or choose another place; then run the same command again: what is finished stays."
    )
    assert left == [*(f"data/train-0000{number}-of-00030.parquet" for number in range(2)), "spec.yaml", "synth.json"]
    assert build_dataset(order, workers=1) == 120
    assert content(order.out) == made(order)


def test_workers_do_not_load_torch() -> None:
    """It would cost each of them seconds and as much memory as all the rest; where it is loaded already, it stays."""
    code = "import sys; import logicls.synth.workers; assert 'torch' not in sys.modules; import torch.nn"

    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
