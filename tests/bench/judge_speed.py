"""Benchmark of `logicls judge`: CPU time and memory for stored verdicts of the sample product.

python tests/bench/judge_speed.py [VERDICTS ...]

Predicts the photos of the sample product with the bundle of the tests, repeats their verdicts under other names until
there are as many as given (1,000 and 10,000 by default), and judges them by a spec in which every kind of rule has
changed, in a new process on one core. Prints the CPU seconds of the whole process, the milliseconds for each verdict,
the peak memory, and the bytes of a verdict.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUNDLE = Path(__file__).parents[1] / "fixtures" / "bundle_0_1"
COUNTS = (1_000, 10_000)
CHANGES = (
    ("exactly: 4", "at_least: 3"),
    ("between: [0.6, 0.72]", "between: [0.62, 0.7]"),
    ("tolerance: [0.35, 0.13]", "tolerance: [0.3, 0.1]"),
    ("tolerance: 0.1", "tolerance: 0.15"),
    ("violation: wrong_mark\n    severity: critical", "violation: mixup\n    severity: major"),
)
JUDGE = """
import atexit, resource, sys
def report():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
atexit.register(report)
sys.argv[1:] = {command!r}
from logicls.cli.app import main
main()
"""
"""Program that judges, and prints the CPU seconds and the peak memory in MiB of its process."""
HEAD, ROW = "verdicts   CPU s   ms each   peak MiB   bytes each", "{:>8,} {:>7.2f} {:>9.3f} {:>10.0f} {:>12,.0f}"


def write_spec(path: Path) -> None:
    """Write the bundle's spec with other limits, names and severities, without its examples."""
    text = (BUNDLE / "spec.yaml").read_text(encoding="utf-8").partition("\nexamples:")[0] + "\n"
    for old, new in CHANGES:
        if old not in text:
            raise ValueError(f"no {old!r} in the spec")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def predict(folder: Path) -> list[str]:
    """Predict the photos of the sample product, and return the lines of their verdicts."""
    from logicls.io.resources import resource_path
    from logicls.models.bundle import load_bundle
    from logicls.predict.folder.runner import predict_folder

    data = resource_path("data/dosing_kit")
    (folder / "photos").mkdir()
    for path in (*(data / "images").glob("*.jpg"), *(data / "heldout" / "images").glob("*.jpg")):
        shutil.copy(path, folder / "photos")
    predict_folder(load_bundle(BUNDLE), folder / "photos", folder / "verdicts")
    return (folder / "verdicts" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()


def repeat_verdicts(folder: Path, lines: list[str], count: int) -> int:
    """Write `count` verdicts beside the rules of the run; return their bytes."""
    for name in ("rules", "run.json"):
        source = folder / "verdicts" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / str(count) / name)
    file = folder / str(count) / "verdicts.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(count):
            record = json.loads(lines[number % len(lines)])
            record = {**record, "photo": f"{number}/{record['photo']}"}
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
    return file.stat().st_size


def judge(folder: Path, count: int) -> tuple[float, float]:
    """Judge in a new process; return its CPU seconds and its peak memory in MiB."""
    out = str(folder / f"judged_{count}")
    command = ["judge", str(folder / str(count)), "--spec", str(folder / "new.yaml"), "--out", out]
    code = JUDGE.format(command=command)
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    seconds, peak = done.stderr.splitlines()[-1].split()
    return float(seconds), float(peak)


def main() -> None:
    """Run the benchmark."""
    counts = [int(word) for word in sys.argv[1:]] or COUNTS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_spec(folder / "new.yaml")
        lines = predict_apart(folder)
        print(HEAD)
        for count in sorted(counts):
            (folder / str(count)).mkdir()
            size = repeat_verdicts(folder, lines, count)
            seconds, peak = judge(folder, count)
            print(ROW.format(count, seconds, 1e3 * seconds / count, peak, size / count))


def predict_apart(folder: Path) -> list[str]:
    """Predict in a process of its own, so that its memory does not count as that of judging."""
    code = f"import runpy, pathlib; runpy.run_path({__file__!r})['predict'](pathlib.Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return (folder / "verdicts" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
