"""Interruption of `logicls predict`: by Ctrl-C, by a kill, by a watch limit; the same command continues."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

MAIN = "from logicls.cli.app import main; main()"


def command_line(*args: object) -> list[str]:
    """Return the command line of a process that runs `logicls`."""
    return [sys.executable, "-c", MAIN, *map(str, args)]


def run(*args: object) -> tuple[int, str, str]:
    """Run the command; returns exit code, stdout and stderr."""
    process = subprocess.run(command_line(*args), capture_output=True, text=True, check=False, timeout=300)
    return process.returncode, process.stdout, process.stderr


def interrupt(number: signal.Signals, verdicts: int, out: Path, *args: object) -> tuple[int, str, list[int]]:
    """Run the command, send a signal after some verdicts; returns exit code, stderr and remaining processes."""
    process = subprocess.Popen(command_line(*args), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    end = time.monotonic() + 200
    while len(read_photos(out)) < verdicts and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children != []
    process.send_signal(number)
    stderr = process.communicate(timeout=100)[1]
    _, alive = psutil.wait_procs(children, timeout=20)
    return process.returncode, stderr, [child.pid for child in alive]


def read_photos(out: Path) -> list[str]:
    """Read the photos of the complete lines."""
    try:
        lines = (out / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line)["photo"] for line in lines if line.endswith(b"\n")]


@pytest.mark.slow
def test_ctrl_c_and_kill_lose_and_repeat_no_photo(bundle, tmp_path):
    """Ctrl-C exits with 130 and advises how to continue, `kill -9` leaves half a line; a third run completes."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "line 1").mkdir(parents=True)
    Image.effect_noise((48, 32), 50).save(tmp_path / "one.png")
    for number in range(400):
        (photos / ("line 1" if number % 2 else "") / f"{number:05d}.png").symlink_to(tmp_path / "one.png")
    args = ("predict", bundle.path, photos, "--out", out, "--batch", "4", "--workers", "1")

    interrupted = interrupt(signal.SIGINT, 20, out, *args)
    first = len(read_photos(out))
    killed = interrupt(signal.SIGKILL, first + 40, out, *args)
    second = len(read_photos(out))
    with (out / "verdicts.jsonl").open("ab") as file:
        file.write(b'{"photo":"00399.png","outc')
    code, stdout, _ = run(*args)

    assert (interrupted[0], killed[0], code) == (130, -signal.SIGKILL, 1)
    assert (interrupted[2], killed[2]) == ([], [])
    assert f"stopped; finished verdicts are in {out}. Run the same command again to continue." in interrupted[1]
    assert "Traceback" not in interrupted[1]
    assert 20 <= first < second < 400
    names = [path.relative_to(photos).as_posix() for path in photos.rglob("*.png")]
    assert sorted(read_photos(out)) == sorted(names)
    assert "predict: 400 to do" in stdout
    assert len((out / "verdicts.csv").read_text().splitlines()) == 401
    assert not list(out.glob(".*.tmp"))


@pytest.mark.slow
def test_watch_reports_photos_that_do_not_pass(bundle, tmp_path):
    """A photo that arrives later is inspected; the command ends when none arrives, and writes the report."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "torn\n.jpg").write_bytes(b"")
    source = tmp_path / "one.png"
    Image.effect_noise((48, 32), 50).save(source)
    args = ("predict", bundle.path, photos, "--out", tmp_path / "out", "--watch", "--idle", "6", "--workers", "0")

    process = subprocess.Popen(command_line(*args), stdout=subprocess.PIPE, text=True)
    line = next(line for line in iter(process.stdout.readline, "") if not line.startswith("warning: "))
    shutil.copy(source, photos / "late.png")
    rest = process.communicate(timeout=200)[0]

    assert line == f"watching {photos}; press Ctrl-C to stop\n"
    assert "review 'torn\\n.jpg': \"torn\n.jpg\" is empty: 0 bytes." in rest.replace('\\n.jpg" is', '\n.jpg" is')
    assert "watch: 2 photos inspected" in rest
    assert process.returncode == 1
    assert (tmp_path / "out" / "report" / "index.html").exists()
    assert sorted(read_photos(tmp_path / "out")) == ["late.png", "torn\n.jpg"]


def test_time_limits_need_watch(tmp_path):
    """An option without effect is an error before anything is read."""
    code, _, stderr = run("predict", tmp_path, tmp_path, "--out", tmp_path / "out", "--for", "9")

    assert code == 2
    assert "LC608 --for has no effect without --watch. Add --watch, or remove the option." in stderr
    assert os.listdir(tmp_path) == []
