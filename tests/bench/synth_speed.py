"""What an example costs beside decoding, augmenting and encoding a photo, and whether memory grows with their number.

python tests/bench/synth_speed.py [SPEC DATASET] [COUNT]

In turns, a block of each at a time, so that whatever else runs slows all alike, and on one core: the bare cost (decode
a photo, the same augmentations, encode it), once with albumentations' own transforms for the light and once with those
of synthesis, which do the same in less time; and examples as synthesis makes them, rule edits and text included.
Then where the rest of the time goes, and two whole runs of `logicls synth`, one ten times as long as the other, each in
a process of its own with two workers.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from logicls.data.image_io import read_photo
from logicls.io.resources import resource_path
from logicls.synth import (
    augmentation as augment,
)
from logicls.synth import (
    compositor as canvas,
)
from logicls.synth import (
    dataset as row,
)
from logicls.synth import (
    editor as edit,
)
from logicls.synth import (
    example_generator as make,
)
from logicls.synth import (
    violation_sampler as draft,
)
from logicls.synth.augmentation import AugmentationSettings
from logicls.synth.geometric import sample_transform, warp_photo
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.photometric import build_photometric_transform, apply_photometric_transform
from logicls.synth.pipeline import SynthesisRequest, build_dataset, load_source
from logicls.synth.torchless import albumentations

BLOCK = 20


def bare(
    maker: make.ExampleGenerator, number: int, light: Callable[[AugmentationSettings], albumentations.Compose]
) -> None:
    """A photo, varied and encoded: what every synthesis has to pay."""
    rng = np.random.default_rng(number)
    scene, s = maker.bank.dataset.scenes[number % len(maker.bank.dataset.scenes)], maker.augmenter.settings
    photo = read_photo(maker.bank.dataset.image_path(scene))
    if rng.random() < s.geometric:
        size = scene.width, scene.height
        map_ = sample_transform(size, rng, shift=s.shift, scale=s.scale, rotation=s.rotation, perspective=s.perspective)
        photo = warp_photo(photo, map_)
    quality = int(rng.integers(maker.jpeg_quality[0], maker.jpeg_quality[1] + 1))
    bgr = cv2.cvtColor(apply_photometric_transform(photo, light(s), number), cv2.COLOR_RGB2BGR)
    cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def ours(s: AugmentationSettings) -> albumentations.Compose:
    """The light of synthesis."""
    return build_photometric_transform(
        brightness=s.brightness, contrast=s.contrast, colour_cast=s.colour_cast, hue=s.hue, illumination=s.illumination, gradient=s.gradient,
        vignette=s.vignette, blur=s.blur, noise=s.noise,
    )  # fmt: skip


@cache
def _theirs(s: str) -> albumentations.Compose:
    """The same in albumentations' own transforms, of settings as JSON."""
    given = AugmentationSettings.model_validate_json(s)
    cast, hue, share = (-given.colour_cast, given.colour_cast), (-given.hue, given.hue), given.illumination / 2
    return albumentations.Compose(
        [
            albumentations.RandomBrightnessContrast(given.brightness, given.contrast, p=1),
            albumentations.RGBShift(cast, cast, cast, p=0.5),
            albumentations.HueSaturationValue(hue, (0, 0), (0, 0), p=1 if given.hue else 0),
            albumentations.Illumination("linear", (0.01, given.gradient), "both", p=share),
            albumentations.Illumination("corner", (0.01, given.vignette), "darken", p=share),
            albumentations.GaussianBlur((3, 3), p=given.blur),
            albumentations.GaussNoise(std_range=(0.01, 0.03), p=given.noise),
        ]
    )


def theirs(s: AugmentationSettings) -> albumentations.Compose:
    """The light as albumentations has it."""
    return _theirs(s.model_dump_json())


def side_by_side(maker: make.ExampleGenerator, count: int) -> None:
    """CPU time of both in turns, once the photos and outlines that they need are in memory."""
    ways: dict[str, Callable[[int], object]] = {
        "bare, theirs": lambda number: bare(maker, number, theirs),
        "bare, ours": lambda number: bare(maker, number, ours),
        "make": lambda number: maker.generate(0, number),
        "make and write": lambda number: row.generate_row(maker, 0, number),
    }
    spent = dict.fromkeys(ways, 0.0)
    for number in range(count):
        maker.generate(0, number)
    for start in range(0, count, BLOCK):
        for name, way in ways.items():
            began = time.process_time()
            for number in range(start, start + BLOCK):
                way(number)
            spent[name] += time.process_time() - began
    for name, seconds in spent.items():
        rate, shares = count / seconds, [spent[f"bare, {whose}"] / seconds for whose in ("theirs", "ours")]
        share = "{:4.0%} of the bare speed with their light, {:4.0%} with ours".format(*shares)
        print(f"{name:15s} {1000 / rate:6.2f} ms   {rate:6.1f} a second   {share}")


def parts(maker: make.ExampleGenerator, count: int) -> None:
    """Where the time goes: of each part without the parts within it."""
    spent: dict[str, float] = defaultdict(float)
    within: list[float] = []

    def timed(owner: Any, name: str, label: str) -> None:
        inner = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            within.append(0.0)
            result = inner(*args, **kwargs)
            took = time.process_time() - began
            spent[label] += took - within.pop()
            if within:
                within[-1] += took
            return result

        setattr(owner, name, outer)

    timed(make, "look", "answers and verdict")
    for owner in (draft, augment):
        for name in ("read_off", "broken_names", "near"):
            timed(owner, name, "answers and verdict")
    timed(draft, "violate", "finding an edit")
    timed(canvas.Canvas.photo, "func", "pixels of edits")
    timed(edit.Editor, "edit", "finding an edit")
    timed(InstanceBank, "photo", "decode")
    timed(InstanceBank, "mask", "outlines")
    timed(augment, "warped", "augment")
    timed(augment, "lit", "augment")
    timed(augment, "is_washed", "is everything still seen")
    timed(make.RenderedExample, "encoded", "encode")
    timed(row, "chain", "text")
    timed(row, "row", "text")
    timed(make.ExampleGenerator, "make", "the rest")
    for number in range(count):
        row.generate_row(maker, 0, number)
    whole = sum(spent.values())
    for label, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {label:20s} {1000 * seconds / count:6.2f} ms   {seconds / whole:4.0%}")


def whole_run(spec: Path, data: Path, count: int) -> None:
    """`logicls synth`, run in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        build_dataset(SynthesisRequest(spec, data, Path(out) / "set", count, 0), workers=2)
        seconds = time.perf_counter() - began
    peaks = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    rate = f"{count / seconds:.1f} a second"
    print(f"{count} examples with 2 workers: {rate}; peak {peaks[0]} MiB, of the larger worker {peaks[1]} MiB")


def main() -> None:
    """Measure one product."""
    given = sys.argv[1:]
    if len(given) > 3 and given[3] == "only":
        whole_run(Path(given[0]), Path(given[1]), int(given[2]))
        return
    named = len(given) >= 2
    spec, data = map(Path, given[:2]) if named else (resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"))
    count = int(given[-1]) if len(given) % 2 else 400
    cv2.setNumThreads(1)
    maker = load_source(SynthesisRequest(spec, data, Path(), count, 0)).create_generator()
    side_by_side(maker, count)
    parts(maker, count)
    for times in (1, 10):
        command = [sys.executable, __file__, str(spec), str(data), str(times * count), "only"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
