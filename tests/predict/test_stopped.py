"""The command that predicts: it is stopped in every way there is, and the same command goes on."""

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


def command(*words: object) -> list[str]:
    """The words after `logicls` as a process of its own would be given them."""
    return [sys.executable, "-c", MAIN, *map(str, words)]


def run(*words: object) -> tuple[int, str, str]:
    """Exit code, and what was printed and complained of."""
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout, done.stderr


def stopped(how: signal.Signals, lines: int, out: Path, *words: object) -> tuple[int, str, list[int]]:
    """Start the command, send it a signal after so many verdicts; exit code, complaints, processes left over."""
    process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    end = time.monotonic() + 200
    while len(photos_in(out)) < lines and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children != []
    process.send_signal(how)
    complaints = process.communicate(timeout=100)[1]
    _, alive = psutil.wait_procs(children, timeout=20)
    return process.returncode, complaints, [child.pid for child in alive]


def photos_in(out: Path) -> list[str]:
    """The photos of the whole lines."""
    try:
        lines = (out / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line)["photo"] for line in lines if line.endswith(b"\n")]


@pytest.mark.slow
def test_ctrl_c_and_kill_lose_no_photo_and_double_none(bundle, tmp_path):
    """Ctrl-C says how to go on and leaves with 130, `kill -9` leaves half a line; the third command ends the work."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "line 1").mkdir(parents=True)
    Image.effect_noise((48, 32), 50).save(tmp_path / "one.png")
    for number in range(400):
        (photos / ("line 1" if number % 2 else "") / f"{number:05d}.png").symlink_to(tmp_path / "one.png")
    words = ("predict", bundle.path, photos, "--out", out, "--batch", "4", "--workers", "1")

    interrupted = stopped(signal.SIGINT, 20, out, *words)
    first = len(photos_in(out))
    killed = stopped(signal.SIGKILL, first + 40, out, *words)
    second = len(photos_in(out))
    with (out / "verdicts.jsonl").open("ab") as file:
        file.write(b'{"photo":"00399.png","outc')
    code, said, _ = run(*words)

    assert (interrupted[0], killed[0], code) == (130, -signal.SIGKILL, 1)
    assert (interrupted[2], killed[2]) == ([], [])
    assert f"stopped; what is finished is in {out}, and the same command goes on from there" in interrupted[1]
    assert "Traceback" not in interrupted[1]
    assert 20 <= first < second < 400
    names = [path.relative_to(photos).as_posix() for path in photos.rglob("*.png")]
    assert sorted(photos_in(out)) == sorted(names)
    assert "predict: 400 to do" in said
    assert len((out / "verdicts.csv").read_text().splitlines()) == 401
    assert not list(out.glob(".*.tmp"))


@pytest.mark.slow
def test_watch_tells_of_what_does_not_pass(bundle, tmp_path):
    """A photo that comes later is looked at; the command ends when nothing comes, and the page is there."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "torn\n.jpg").write_bytes(b"")
    source = tmp_path / "one.png"
    Image.effect_noise((48, 32), 50).save(source)
    words = ("predict", bundle.path, photos, "--out", tmp_path / "out", "--watch", "--idle", "6", "--workers", "0")

    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True)
    line = next(line for line in iter(process.stdout.readline, "") if not line.startswith("warning: "))
    shutil.copy(source, photos / "late.png")
    rest = process.communicate(timeout=200)[0]

    assert line == f"watching {photos}; Ctrl-C ends it\n"
    assert "review 'torn\\n.jpg': \"torn\n.jpg\" is empty: 0 bytes." in rest.replace('\\n.jpg" is', '\n.jpg" is')
    assert "watch: 2 done" in rest
    assert process.returncode == 1
    assert (tmp_path / "out" / "report" / "index.html").exists()
    assert sorted(photos_in(tmp_path / "out")) == ["late.png", "torn\n.jpg"]


def test_limits_need_a_watch(tmp_path):
    """An option that would do nothing is refused, before anything is read."""
    code, _, complaints = run("predict", tmp_path, tmp_path, "--out", tmp_path / "out", "--for", "9")

    assert code == 2
    assert "LC608 --for has no effect without --watch. Add --watch, or remove the option." in complaints
    assert os.listdir(tmp_path) == []
