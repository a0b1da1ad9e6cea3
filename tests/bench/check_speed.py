"""Benchmark of `logicls check --data`: time per part, and growth of time and memory with the number of photos.

python tests/bench/check_speed.py [PHOTOS ...]

Creates datasets of these sizes (one small JPEG, linked) with 10 annotations per photo, and a spec of 200 constraints
that all photos satisfy. Checks each in a new process, and prints the seconds for reading, data lint and rules, the
milliseconds per photo, and the peak resident memory.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from PIL import Image

PHOTOS = (1_000, 2_000, 5_000, 10_000)
CONSTRAINTS = 200
KINDS = 5
ROW = "{photos:>8} {reading:>10.2f} {lint:>10.2f} {rules:>10.2f} {each:>12.3f} {start:>10.0f} {peak:>10.0f}"
HEAD = ("photos", "reading s", "lint s", "rules s", "ms per photo", "start MiB", "peak MiB")


def write_photos(root: Path, count: int) -> None:
    """Write a dataset of `count` photos of 640 x 480 pixels with two components of every kind, in rows."""
    rng = random.Random(0)
    (root / "images").mkdir()
    photo = root / "photo.jpg"
    Image.effect_noise((640, 480), 30).convert("RGB").save(photo, quality=60)
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"photo_{number:06d}.jpg"
        os.link(photo, root / "images" / name)
        images.append({"id": number, "file_name": name, "width": 640, "height": 480})
        for place in range(2 * KINDS):
            x, y = 40 + 300 * (place % 2) + rng.random() * 20, 10 + 90 * (place // 2) + rng.random() * 10
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": place // 2 + 1,
                "bbox": [round(x, 2), round(y, 2), 200.5, 60.25], "area": 12080.125, "iscrowd": 0, "segmentation": [],
                "attributes": {"colour": "red", "occluded": False},
            })  # fmt: skip
    categories = [{"id": number + 1, "name": f"part_{number}"} for number in range(KINDS)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (root / "annotations.json").write_text(json.dumps(content))


def write_spec(path: Path) -> None:
    """Write a spec of 200 constraints of the families quantity, layout, match and measure."""
    rules: list[dict[str, object]] = []
    for number in range(CONSTRAINTS):
        kind, turn = number % KINDS, number // KINDS % 4
        part, other = f"part_{kind}", f"part_{(kind + 1) % KINDS}"
        top, bottom = sorted((part, other))
        rules.append({"id": f"rule-{number}"} | [
            {"quantity": {"of": part, "exactly": 2}},
            {"layout": {"subject": top, "relation": "above", "object": bottom}},
            {"match": {"left": f"{part}.colour", "right": f"{other}.colour", "pairs": {"red": "red", "blue": "blue"}}},
            {"measure": {"width": part, "between": [0.2, 0.5]}},
        ][turn])  # fmt: skip
    spec = {
        "logicls": 1,
        "product": {"name": "bench"},
        "components": {f"part_{kind}": {"attributes": {"colour": ["red", "blue"]}} for kind in range(KINDS)},
        "constraints": rules,
    }
    path.write_text(json.dumps(spec))


def peak_memory() -> float:
    """Return the peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(root: Path) -> None:
    """Check one dataset and print a row; runs in a new process."""
    from logicls.constraints.lint.data_audit import audit_photos
    from logicls.constraints.spec.loader import load_spec
    from logicls.data.coco import read_dataset
    from logicls.data.dataset_lint import lint_dataset

    spec, start = load_spec(root / "spec.yaml"), peak_memory()
    times = [time.perf_counter()]
    dataset = read_dataset(root)
    times.append(time.perf_counter())
    problems = len(lint_dataset(dataset, spec.components))
    times.append(time.perf_counter())
    problems += sum(fault.code == "LC050" for fault in audit_photos(spec, dataset.scenes))
    times.append(time.perf_counter())
    assert not problems, f"{problems} problems on photos that satisfy every rule"
    reading, lint, rules = (end - begin for begin, end in pairwise(times))
    count, each = len(dataset.scenes), 1000 * (times[-1] - times[0]) / len(dataset.scenes)
    print(ROW.format(photos=count, reading=reading, lint=lint, rules=rules, each=each, start=start, peak=peak_memory()))


def main() -> None:
    """Measure each size of dataset."""
    if sys.argv[1:2] == ["make"]:
        write_photos(Path(sys.argv[2]), int(sys.argv[3]))
        write_spec(Path(sys.argv[2]) / "spec.yaml")
        return
    if sys.argv[1:2] == ["only"]:
        measure(Path(sys.argv[2]))
        return
    print("{:>8} {:>10} {:>10} {:>10} {:>12} {:>10} {:>10}".format(*HEAD), flush=True)
    for count in [int(word) for word in sys.argv[1:]] or PHOTOS:
        with tempfile.TemporaryDirectory() as folder:
            # Created in another process as well, because on Linux a child starts with the peak memory of its parent.
            for words in (["make", folder, str(count)], ["only", folder]):
                subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
