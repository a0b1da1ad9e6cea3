"""Time of an example relative to decoding, augmenting and encoding a photo; memory relative to their number.

python tests/bench/synth_speed.py [SPEC DATASET] [COUNT]

Variants alternate in blocks on one core, so that other load slows all alike: the baseline (decode a photo, augment it,
encode it) with albumentations' own photometric transforms, and with the faster ones of `logicls.synth.photometric`; and
examples as synthesis generates them, including edits and text. Then the time of each part, and two complete runs of
`logicls synth` with two workers, one with ten times the examples of the other, each in its own process.
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

import albumentations
import cv2
import numpy as np

from logicls.data.image_io import read_photo
from logicls.io.resources import resource_path
from logicls.synth import augmentation, compositor, dataset, editor, example_generator, violation_sampler
from logicls.synth import pipeline as workers
from logicls.synth.example_generator import ExampleGenerator, RenderedExample
from logicls.synth.geometric import sample_transform, warp_photo
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.photometric import apply_photometric_transform, build_photometric_transform
from logicls.synth.pipeline import SynthesisRequest, build_dataset, load_source
from logicls.synth.settings import AugmentationSettings

BLOCK = 20


def run_baseline(
    generator: ExampleGenerator, number: int, transform: Callable[[AugmentationSettings], albumentations.Compose]
) -> None:
    """Decode, augment and encode a photo: the minimum cost of any synthesis."""
    rng = np.random.default_rng(number)
    scene, s = generator.bank.dataset.scenes[number % len(generator.bank.dataset.scenes)], generator.augmenter.settings
    photo = read_photo(generator.bank.dataset.image_path(scene))
    if rng.random() < s.geometric:
        size = scene.width, scene.height
        homography = sample_transform(
            size, rng, shift=s.shift, scale=s.scale, rotation=s.rotation, perspective=s.perspective
        )
        photo = warp_photo(photo, homography)
    quality = int(rng.integers(generator.jpeg_quality[0], generator.jpeg_quality[1] + 1))
    bgr = cv2.cvtColor(apply_photometric_transform(photo, transform(s), number), cv2.COLOR_RGB2BGR)
    cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def build_own(s: AugmentationSettings) -> albumentations.Compose:
    """Photometric transform of synthesis."""
    return build_photometric_transform(
        brightness=s.brightness,
        contrast=s.contrast,
        colour_cast=s.colour_cast,
        hue=s.hue,
        illumination=s.illumination,
        gradient=s.gradient,
        vignette=s.vignette,
        blur=s.blur,
        noise=s.noise,
    )


@cache
def _build_reference(settings_json: str) -> albumentations.Compose:
    """The same from albumentations' transforms, for settings as JSON."""
    s = AugmentationSettings.model_validate_json(settings_json)
    cast, hue, p = (-s.colour_cast, s.colour_cast), (-s.hue, s.hue), s.illumination / 2
    return albumentations.Compose(
        [
            albumentations.RandomBrightnessContrast(s.brightness, s.contrast, p=1),
            albumentations.RGBShift(cast, cast, cast, p=0.5),
            albumentations.HueSaturationValue(hue, (0, 0), (0, 0), p=1 if s.hue else 0),
            albumentations.Illumination("linear", (0.01, s.gradient), "both", p=p),
            albumentations.Illumination("corner", (0.01, s.vignette), "darken", p=p),
            albumentations.GaussianBlur((3, 3), p=s.blur),
            albumentations.GaussNoise(std_range=(0.01, 0.03), p=s.noise),
        ]
    )


def build_reference(s: AugmentationSettings) -> albumentations.Compose:
    """Photometric transform from albumentations' own transforms."""
    return _build_reference(s.model_dump_json())


def compare_variants(generator: ExampleGenerator, count: int) -> None:
    """Print the CPU time of each variant, in alternating blocks, with photos and masks cached."""
    variants: dict[str, Callable[[int], object]] = {
        "baseline, reference": lambda number: run_baseline(generator, number, build_reference),
        "baseline, own": lambda number: run_baseline(generator, number, build_own),
        "generate": lambda number: generator.generate(0, number),
        "generate a row": lambda number: workers.generate_row(generator, 0, number),
    }
    seconds = dict.fromkeys(variants, 0.0)
    for number in range(count):
        generator.generate(0, number)
    for start in range(0, count, BLOCK):
        for name, run in variants.items():
            started = time.process_time()
            for number in range(start, start + BLOCK):
                run(number)
            seconds[name] += time.process_time() - started
    for name, total in seconds.items():
        shares = [seconds[f"baseline, {transforms}"] / total for transforms in ("reference", "own")]
        share = "{:4.0%} of the baseline's speed with reference transforms, {:4.0%} with own".format(*shares)
        print(f"{name:20s} {1000 * total / count:6.2f} ms   {count / total:6.1f} per second   {share}")


def profile_parts(generator: ExampleGenerator, count: int) -> None:
    """Print the CPU time of each part, without the parts nested in it."""
    seconds: dict[str, float] = defaultdict(float)
    nested: list[float] = []

    def instrument(owner: Any, name: str, label: str) -> None:
        inner = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            nested.append(0.0)
            result = inner(*args, **kwargs)
            elapsed = time.process_time() - started
            seconds[label] += elapsed - nested.pop()
            if nested:
                nested[-1] += elapsed
            return result

        setattr(owner, name, outer)

    instrument(example_generator, "compute_answers", "answers and verdict")
    for module in (violation_sampler, augmentation):
        for name in ("build_context", "find_violations", "find_near_limits"):
            instrument(module, name, "answers and verdict")
    instrument(violation_sampler, "find_counterexample", "finding an edit")
    instrument(compositor.Canvas.photo, "func", "pixels of edits")
    instrument(editor.Editor, "apply", "finding an edit")
    instrument(InstanceBank, "load_photo", "decode")
    instrument(InstanceBank, "load_mask", "masks")
    instrument(augmentation, "warp_photo", "augment")
    instrument(augmentation, "apply_photometric_transform", "augment")
    instrument(augmentation, "is_newly_clipped", "clipping test")
    instrument(RenderedExample, "encode", "encode")
    instrument(dataset, "build_response", "text")
    instrument(workers, "build_row", "text")
    instrument(ExampleGenerator, "generate", "other")
    for number in range(count):
        workers.generate_row(generator, 0, number)
    total = sum(seconds.values())
    for label, part in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {label:20s} {1000 * part / count:6.2f} ms   {part / total:4.0%}")


def run_pipeline(spec: Path, data: Path, count: int) -> None:
    """Print rate and peak memory of `logicls synth`; run it in its own process."""
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        build_dataset(SynthesisRequest(spec, data, Path(out) / "set", count, 0), workers=2)
        seconds = time.perf_counter() - started
    peaks = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    rate = f"{count / seconds:.1f} per second"
    print(f"{count} examples with 2 workers: {rate}; peak {peaks[0]} MiB, of the larger worker {peaks[1]} MiB")


def main() -> None:
    """Measure one product."""
    arguments = sys.argv[1:]
    if len(arguments) > 3 and arguments[3] == "only":
        run_pipeline(Path(arguments[0]), Path(arguments[1]), int(arguments[2]))
        return
    spec, data = resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit")
    if len(arguments) >= 2:
        spec, data = map(Path, arguments[:2])
    count = int(arguments[-1]) if len(arguments) % 2 else 400
    cv2.setNumThreads(1)
    generator = load_source(SynthesisRequest(spec, data, Path(), count, 0)).create_generator()
    compare_variants(generator, count)
    profile_parts(generator, count)
    for factor in (1, 10):
        command = [sys.executable, __file__, str(spec), str(data), str(factor * count), "only"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
