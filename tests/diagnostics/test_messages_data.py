"""Messages about files, datasets, ground truth and photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from logicls.cli.environment import create_project
from logicls.constraints.lint.data_audit import audit_photos
from logicls.constraints.mining.infer import infer
from logicls.constraints.spec.loader import load_spec, load_spec_file
from logicls.constraints.spec.models import Component
from logicls.data.coco import read_dataset
from logicls.data.dataset_lint import lint_dataset
from logicls.data.defects import check_declarations, read_dataset_with_defects
from logicls.data.image_io import read_photo
from logicls.data.repair import repair_file
from logicls.data.segmentation import read_segmentations
from logicls.diagnostics.codes import find_code
from logicls.evaluation import compute_metrics, read_truth
from logicls.io import atomic, jsonl
from logicls.io.resources import resolve_resource, resource_root
from logicls.predict.input.listing import list_photos, no_photos_error
from logicls.predict.serialization import verdict_from_json
from logicls.records import Box, Instance, Scene, Verdict

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: pins, quantity: {of: pin, exactly: 4}}
"""
COMPONENTS = {"pin": Component(attributes={"colour": ["red", "blue"]}), "tray": Component()}
Trigger = Callable[[], object]
NOTHING: Mapping[str, Any] = MappingProxyType({})


def write_file(name: str, content: str | bytes) -> Path:
    """Write a file in the working directory."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def spec(content: str | bytes) -> Trigger:
    """Return a trigger that loads a spec with this content."""
    return lambda: load_spec(write_file("box.yaml", content))


def annotations(content: str | bytes) -> Trigger:
    """Return a trigger that reads a dataset with these annotations and one photo."""

    def read() -> object:
        write_file("data/annotations.json", content)
        (Path("data") / "images").mkdir(exist_ok=True)
        Image.new("L", (40, 30)).save("data/images/a.png")
        return read_dataset(Path("data"))

    return read


def coco(
    image: Mapping[str, Any] = NOTHING, pin: Mapping[str, Any] = NOTHING, categories: Sequence[Mapping[str, Any]] = ()
) -> Trigger:
    """Return a trigger that reads valid annotations of one photo and one pin, with these changes."""
    file = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30, **image}],
        "categories": [{"id": 5, "name": "pin"}, *categories],
        "annotations": [{"id": 9, "image_id": 1, "category_id": 5, "bbox": [1, 2, 10, 20], **pin}],
    }
    return annotations(json.dumps(file))


def lint_instances(component: str = "pin", **attributes: str) -> Trigger:
    """Return a trigger that checks a pin, a tray and one more instance against the spec."""
    parts = (("pin", {"colour": "red"}), ("tray", {}), (component, attributes))
    instances = tuple(
        Instance(number, name, Box(number * 11 - 10, 2, number * 11, 22), tuple(facts.items()))
        for number, (name, facts) in enumerate(parts, 1)
    )
    scenes = (Scene("a.png", 40, 30, instances),)

    def check() -> object:
        annotations(json.dumps({"images": [], "categories": [], "annotations": []}))()
        dataset = read_dataset(Path("data"))
        return lint_dataset(type(dataset)(dataset.root, scenes, ""), COMPONENTS)

    return check


def two_pins(second: Sequence[float]) -> Trigger:
    """Return a trigger that checks two pins, one of them at (1, 2) with 10 x 20 pixels, against the spec."""

    def check() -> object:
        box = (1, 2, 10, 20)
        rows = [{"id": n, "image_id": 1, "category_id": 5, "bbox": b} for n, b in enumerate((box, second), 7)]
        tray = {"id": 3, "image_id": 1, "category_id": 6, "bbox": [0, 0, 40, 30]}
        categories = [{"id": 5, "name": "pin"}, {"id": 6, "name": "tray"}]
        image = {"id": 1, "file_name": "a.png", "width": 40, "height": 30}
        content = {"images": [image], "categories": categories, "annotations": [*rows, tray]}
        annotations(json.dumps(content))()
        return lint_dataset(read_dataset(Path("data")), {"pin": Component(), "tray": Component()})

    return check


def read_segmentation(segmentation: object) -> Trigger:
    """Return a trigger that reads the segmentation of a pin."""

    def read() -> object:
        coco(pin={"segmentation": segmentation})()
        return read_segmentations(read_dataset(Path("data")))

    return read


def read_without_angle() -> object:
    """Read a plain box of a component whose angle a rule needs."""
    coco()()
    return read_dataset(Path("data"), needed_angles={"pin": 360})


def lint_photo_without_annotation() -> object:
    """Check two photos, one of them without annotations."""
    pin = Instance(1, "pin", Box(1, 2, 11, 22))
    scenes = (Scene("a.png", 40, 30, (pin,)), Scene("b.png", 40, 30, ()))
    annotations(json.dumps({"images": [], "categories": [], "annotations": []}))()
    return lint_dataset(type(read_dataset(Path("data")))(Path("data"), scenes, ""), {"pin": Component()})


def repair(content: str, out: str) -> Trigger:
    """Return a trigger that repairs annotations with this content."""

    def run() -> object:
        write_file("data/annotations.json", content)
        return repair_file(Path("data"), Path(out), {"pin": {}})

    return run


def truth(content: str | bytes) -> Trigger:
    """Return a trigger that reads a ground-truth table."""
    return lambda: read_truth(write_file("truth.csv", content))


def evaluate(*photos: str) -> Trigger:
    """Return a trigger that scores verdicts on these photos against the ground truth of kit_001.jpg."""
    return lambda: compute_metrics([Verdict(photo, "pass") for photo in photos], {"kit_001.jpg": ()})


def photo(content: bytes, name: str = "kit_001.jpg") -> Trigger:
    """Return a trigger that reads a photo with this content."""
    return lambda: read_photo(write_file(name, content))


def read_saved(name: str, image: Image.Image, *, max_pixels: int = 10_000, **options: object) -> Trigger:
    """Return a trigger that saves an image and reads it with a limit on its pixels."""

    def read() -> object:
        image.save(name, **options)
        return read_photo(Path(name), max_pixels=max_pixels)

    return read


def audit_missing_pin() -> object:
    """Audit a good photo with three pins; the rule requires four."""
    pins = tuple(Instance(n, "pin", Box(5 * n, 5, 5 * n + 4, 9)) for n in range(1, 4))
    return audit(SPEC, Scene("good_017.jpg", 40, 30, pins))


def audit(text: str, *scenes: Scene) -> object:
    """Audit good photos with a spec."""
    sheet = load_spec_file(write_file("box.yaml", text))
    return [sheet.make_problem(f.code, f.message, f.path, f.advice) for f in audit_photos(sheet.spec, scenes)]


def audit_full_photo() -> object:
    """Audit a photo that a component fills."""
    pin = Instance(1, "pin", Box(2, 2, 78, 58))
    violation = "violation: {below: missing_pin, above: additional_pin}"
    text = SPEC.replace("exactly: 4}", "exactly: 1}, " + violation)
    return audit(text, Scene("good_001.jpg", 80, 60, (pin,)))


def audit_without_lid() -> object:
    """Audit photos without a lid with a rule about lids."""
    lid = "  - {id: lids, quantity: {of: pin, exactly: 4}, when: {quantity: {of: lid, at_least: 1}}}\n"
    pins = tuple(Instance(n, "pin", Box(9 * n, 5, 9 * n + 8, 9)) for n in range(4))
    return audit(SPEC.replace("{pin: {}}", "{pin: {}, lid: {}}") + lid, Scene("good_001.jpg", 80, 60, pins))


def lint_without_tray() -> object:
    """Check a dataset that lacks a component of the spec."""
    coco(pin={"attributes": {"colour": "red"}})()
    return lint_dataset(read_dataset(Path("data")), COMPONENTS)


def read_truncated() -> object:
    """Read a photo whose second half is missing."""
    Image.fromarray(np.arange(4800, dtype=np.uint8).reshape(40, 40, 3)).save("intact.bmp")
    return photo(Path("intact.bmp").read_bytes()[:2000], "kit_001.bmp")()


def list_empty_folder() -> object:
    """List a folder without photos."""
    Path("photos").mkdir()
    return no_photos_error(Path("photos")).problems


def list_removed_folder() -> object:
    """List a folder that is removed in the meantime."""
    Path("photos").mkdir()
    names = list_photos(Path("photos"))
    Path("photos").rmdir()
    return list(names)


def append_twice() -> object:
    """Open the same verdicts for appending twice."""
    with jsonl.Appender(Path("verdicts.jsonl")):
        return jsonl.Appender(Path("verdicts.jsonl"))


def create_twice() -> object:
    """Create a project in an existing folder."""
    create_project(Path("gear"))
    return create_project(Path("gear"))


def check_unknown_declaration() -> object:
    """Check a truth.csv that names no violation of the spec."""
    coco()()
    write_file("data/truth.csv", "image,violations\na.png,missing_pim\n")
    file = load_spec_file(write_file("box.yaml", SPEC.replace("exactly: 4}", "exactly: 4}, violation: missing_pin")))
    return list(check_declarations(read_dataset_with_defects(file.spec, Path("data")), file.spec.violations))


def audit_declared(name: str, pins: int = 3) -> Trigger:
    """Return a trigger that audits a photo with that many pins, which is declared to have a violation."""

    def audit() -> object:
        file = load_spec_file(write_file("box.yaml", SPEC))
        boxes = [Box(10.0 * n, 2, 10.0 * n + 8, 20) for n in range(pins)]
        scene = Scene("bad_003.jpg", 200, 100, tuple(Instance(n, "pin", box) for n, box in enumerate(boxes, 1)))
        faults = audit_photos(file.spec, [scene], {"bad_003.jpg": [name]})
        return [file.make_problem(f.code, f.message, f.path, f.advice) for f in faults if f.code in ("LC057", "LC058")]

    return audit


TRIGGERS: dict[str, Trigger] = {
    "LC001": lambda: load_spec(Path("box.yaml")),
    "LC002": spec("#" * 1_000_001),
    "LC003": spec(SPEC.replace("name: box", "name: box, owner: Müller").encode("cp1252")),
    "LC048": audit_full_photo,
    "LC050": audit_missing_pin,
    "LC051": audit_without_lid,
    "LC056": check_unknown_declaration,
    "LC057": audit_declared("pins"),
    "LC058": audit_declared("pins", pins=4),
    "LC101": lambda: read_dataset(Path("data")),
    "LC102": annotations('{"images": nothing}'),
    "LC103": annotations('{"images": [{"id": 1, "file_name": "a.png", "width": "40"}], "annotations": []}'),
    "LC104": coco(categories=({"id": 5, "name": "tray"},)),
    "LC105": coco(pin={"image_id": 7}),
    "LC106": coco(image={"file_name": "../other/a.png"}),
    "LC107": coco(image={"file_name": "good_017.jpg"}),
    "LC108": coco(image={"width": 30, "height": 40}, pin={"bbox": [1, 2, 10, 20]}),
    "LC109": coco(pin={"bbox": [12, 20, 0, 18]}),
    "LC110": coco(pin={"bbox": [30, 20, 38, 28]}),
    "LC111": coco(pin={"attributes": ["red"]}),
    "LC112": read_segmentation([[10, 5, 20, 5]]),
    "LC113": read_without_angle,
    "LC120": lint_instances("trey"),
    "LC121": lint_without_tray,
    "LC122": lint_instances(colour="rad"),
    "LC123": lint_instances(color="red"),
    "LC124": two_pins((1, 2, 10, 20)),
    "LC125": two_pins((4, 2, 10, 20)),
    "LC126": lint_photo_without_annotation,
    "LC130": repair('{"images": [{"id": 1', "data/annotations.fixed.json"),
    "LC131": lambda: infer([]),
    "LC132": repair('{"images": [], "categories": [], "annotations": [],}', "data/annotations.json"),
    "LC240": truth("image,violations\nkit_001.jpg,zu_groß\n".encode("cp1252")),
    "LC241": truth("photo,violations\nkit_001.jpg,\n"),
    "LC242": truth("image,violations\nkit_001.jpg,missing_pin,extra_tray\n"),
    "LC243": truth("image,violations\n,missing_pin\n"),
    "LC244": truth("image,violations\nkit_001.jpg,missing_pin\nkit_001.jpg,extra_tray\n"),
    "LC245": truth("image,violations\nkit_001.jpg,good\n"),
    "LC246": truth("image,violations\n"),
    "LC247": evaluate("kit_002.jpg"),
    "LC248": evaluate("kit_001.jpg", "kit_001.jpg"),
    "LC250": lambda: list(jsonl.read_records(write_file("verdicts.jsonl", '{"photo": "kit_001.jpg", "outc\n{}\n'))),
    "LC251": lambda: list(jsonl.read_records(Path("verdicts.jsonl"))),
    "LC252": lambda: verdict_from_json({"photo": "kit_001.jpg", "outcome": "maybe"}),
    "LC253": lambda: atomic.write_text(write_file("out", "") / "truth.csv", "image,violations\n"),
    "LC301": lambda: read_photo(Path("kit_001.jpg")),
    "LC302": photo(b""),
    "LC303": photo(b"<html>"),
    "LC304": read_saved("scan.png", Image.new("L", (40, 30)), max_pixels=1000),
    "LC305": read_saved("scan.tif", Image.new("L", (4, 3)), save_all=True, append_images=[Image.new("L", (4, 3))]),
    "LC306": read_truncated,
    "LC307": read_saved("scan.tif", Image.new("F", (4, 3))),
    "LC311": lambda: list_photos(Path("photos")),
    "LC312": list_empty_folder,
    "LC603": lambda: no_photos_error(Path("photos"), ["line3/*.png"]).problems,
    "LC604": list_removed_folder,
    "LC606": append_twice,
    "LC901": lambda: resolve_resource("../secrets.txt", Path("share")),
    "LC902": create_twice,
    "LC903": lambda: resource_root(Path("logicls")),
    "LC904": lambda: find_code("LC21"),
}  # fmt: skip


@pytest.mark.parametrize("code", TRIGGERS)
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])


def test_a_different_message_is_detected(check_message, monkeypatch):
    """The check above can fail: a message that differs from the golden file is noticed."""
    monkeypatch.delenv("LOGICLS_REWRITE_GOLDEN", raising=False)

    with pytest.raises(AssertionError):
        check_message("LC904", lambda: find_code("LC22"))
