"""Worker processes generate the same dataset, whatever their number and however the run ends."""

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
from logicls.io.resources import resource_path
from logicls.synth import pipeline as module
from logicls.synth.pipeline import SynthesisRequest, build_dataset

CHILD = """
import signal
import sys
from pathlib import Path
from logicls.diagnostics.console import handle_errors
from logicls.synth import pipeline as module

if __name__ == "__main__":
    module.SHARD_SIZE = module.ROW_GROUP_SIZE = 4
    request = module.SynthesisRequest(*map(Path, sys.argv[1:4]), int(sys.argv[4]), 5)
    with handle_errors():
        module.build_dataset(request, workers=2, on_progress=lambda more: print("done", more, flush=True))
"""


@pytest.fixture
def request_of_120(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SynthesisRequest:
    """Thirty shards of four examples, from a copy of the photos."""
    monkeypatch.setattr(module, "SHARD_SIZE", 4)
    monkeypatch.setattr(module, "ROW_GROUP_SIZE", 4)
    shutil.copytree(resource_path("data/dosing_kit"), tmp_path / "photos", ignore=shutil.ignore_patterns("heldout"))
    return SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), tmp_path / "photos", tmp_path / "set", 120, 5)


@pytest.fixture
def child(request_of_120: SynthesisRequest, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start the request in a process group of its own, with two workers."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    warnings_options = ["-W", "ignore", "-W", "default:resource_tracker"]
    command = [
        sys.executable,
        *warnings_options,
        str(script),
        *map(str, (request_of_120.spec, request_of_120.data, request_of_120.out, request_of_120.count)),
    ]
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        process.communicate()


def read_files(folder: Path) -> dict[str, bytes]:
    """Bytes of every file."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_shards(folder: Path) -> dict[str, bytes]:
    """Bytes of the finished shards."""
    return {name: data for name, data in read_files(folder).items() if name.endswith(".parquet")}


def build_uninterrupted(request_of_120: SynthesisRequest) -> dict[str, bytes]:
    """The complete dataset, generated without workers in one go."""
    uninterrupted = replace(request_of_120, out=request_of_120.out.with_name("whole"))
    build_dataset(uninterrupted, workers=1)
    return read_files(uninterrupted.out)


def fail_midway(request_of_120: SynthesisRequest, workers: int, after: Callable[[], object]) -> str:
    """Message of a run that `after`, called when two shards are finished, makes fail."""
    warnings_options: list[int] = []

    def on_progress(count: int) -> None:
        warnings_options.append(count)
        if sum(warnings_options) == 12:
            after()

    with pytest.raises(DataError) as caught:
        build_dataset(request_of_120, workers=workers, on_progress=on_progress)
    assert len(read_shards(request_of_120.out)) >= 2
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_nothing(request_of_120: SynthesisRequest, workers: int) -> None:
    """Byte by byte the dataset is the one generated without workers; no process is left."""
    build_dataset(request_of_120, workers=workers)

    assert read_files(request_of_120.out) == build_uninterrupted(request_of_120)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_run_ends_without_warnings(child: Callable[[], subprocess.Popen[str]]) -> None:
    """Python has nothing to warn of at exit: no semaphores, no open files."""
    process = child()

    message = process.communicate(timeout=120)[1]

    assert (process.returncode, message) == (0, "")


@pytest.mark.slow
def test_a_repeatedly_killed_run_resumes(
    request_of_120: SynthesisRequest, child: Callable[[], subprocess.Popen[str]]
) -> None:
    """`kill -9` of all processes at any moment: finished shards stay, and the final dataset is the same."""
    rng = np.random.default_rng(int(os.environ.get("LOGICLS_KILL_SEED", "0")))
    for _ in range(4):
        before = read_shards(request_of_120.out)
        process = child()
        for _ in range(1 + int(rng.integers(3))):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        after = read_shards(request_of_120.out)
        assert {name: after.get(name) for name in before} == before

    build_dataset(request_of_120, workers=2)

    assert read_files(request_of_120.out) == build_uninterrupted(request_of_120)


@pytest.mark.slow
def test_workers_end_with_their_parent(
    request_of_120: SynthesisRequest, child: Callable[[], subprocess.Popen[str]]
) -> None:
    """`kill -9` of the parent alone: its workers exit, so that their end of the pipe closes."""
    process = child()
    process.stdout.readline()
    process.stdout.readline()

    process.kill()
    started = time.monotonic()
    process.communicate(timeout=30)

    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_ctrl_c_stops_a_run(request_of_120: SynthesisRequest, child: Callable[[], subprocess.Popen[str]]) -> None:
    """One line and no traceback from any process; finished shards stay."""
    process = child()
    for _ in range(4):
        process.stdout.readline()

    os.killpg(process.pid, signal.SIGINT)
    message = process.communicate(timeout=60)[1]

    assert (process.returncode, message) == (130, "stopped; run the same command again to continue\n")
    assert 1 <= len(read_shards(request_of_120.out)) < 30
    assert build_dataset(request_of_120, workers=1) == 120
    assert read_files(request_of_120.out) == build_uninterrupted(request_of_120)


@pytest.mark.slow
def test_a_killed_worker_ends_the_run(request_of_120: SynthesisRequest) -> None:
    """The kernel kills workers if memory is short: the run reports it, and does not hang."""
    message = fail_midway(request_of_120, 2, lambda: multiprocessing.active_children()[0].kill())

    assert message == (
        "LC404 a worker process was terminated; most likely the machine ran out of memory. "
        "Use fewer workers. Then run the same command again; finished work is kept."
    )
    assert build_dataset(request_of_120, workers=1) == 120
    assert read_files(request_of_120.out) == build_uninterrupted(request_of_120)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_photo_ends_the_run(request_of_120: SynthesisRequest, workers: int) -> None:
    """The message names the photo; once it is restored, the run resumes to the same dataset."""
    photos = request_of_120.data / "images"
    photos_before = read_files(photos)

    message = fail_midway(request_of_120, workers, lambda: [os.truncate(path, 200) for path in photos.iterdir()])
    for name, data in photos_before.items():
        (photos / name).write_bytes(data)

    name = Path(message.split()[0]).name
    assert message.startswith(f'{photos / name} LC306 "{name}" is damaged or truncated: ')
    assert message.endswith("Copy it again. Then run the same command again; finished work is kept.")
    assert build_dataset(request_of_120, workers=workers) == 120
    assert read_files(request_of_120.out) == build_uninterrupted(request_of_120)


def test_a_full_disk_ends_the_run(request_of_120: SynthesisRequest) -> None:
    """The message names the file, and no partial file is left; with space again, the run resumes."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    try:
        message = fail_midway(request_of_120, 1, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    files = sorted(read_files(request_of_120.out))
    assert message == (
        f"{request_of_120.out / 'data' / 'train-00002-of-00030.parquet'} LC253 cannot be written: "
        f"{os.strerror(errno.EFBIG)}. Free some disk space, or choose another path; then run the same command again: "
        "finished work is kept."
    )
    assert files == [*(f"data/train-0000{number}-of-00030.parquet" for number in range(2)), "spec.yaml", "synth.json"]
    assert build_dataset(request_of_120, workers=1) == 120
    assert read_files(request_of_120.out) == build_uninterrupted(request_of_120)


def test_albumentations_makes_no_network_request() -> None:
    """Its check for updates is off in every process that imports synthesis."""
    code = (
        "import os, socket\n"
        "def refuse(*args, **kwargs): raise SystemExit('network request')\n"
        "socket.create_connection = socket.getaddrinfo = refuse\n"
        "os.environ.pop('NO_ALBUMENTATIONS_UPDATE', None)\n"
        "import logicls.synth.pipeline\n"
        "assert os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1'\n"
    )

    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
