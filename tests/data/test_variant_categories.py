"""Categories named like variants of the spec become components with attributes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.data.coco import annotation_vocabulary, read_dataset_for
from logicls.data.dataset_lint import check_against_spec

SPEC = """logicls: 1
product: {name: throw}
components:
  die: {attributes: {face: [one, two, three], colour: [red, white]}}
variants:
  one: {of: die, with: {face: one}}
  low: {of: die, with: {face: [one, two]}}
  white_two: {of: die, with: {face: [two], colour: white}}
constraints:
  - {id: some-ones, quantity: {of: one, between: [1, 3]}}
  - {id: some-low-ones, quantity: {of: low, between: [1, 3]}}
  - {id: few-white-twos, quantity: {of: white_two, between: [0, 3]}}
"""


@pytest.fixture
def spec(tmp_path):
    """Dice, with variants of one value, of several, and of two attributes."""
    path = tmp_path / "throw.yaml"
    path.write_text(SPEC)
    return load_spec(path)


def write_dataset(root: Path, *boxes: tuple[str, dict[str, Any]]) -> Path:
    """A photo with a box for each category and its attributes."""
    (root / "images").mkdir()
    Image.new("L", (90, 30)).save(root / "images" / "a.png")
    names = list(dict.fromkeys(name for name, _ in boxes))
    rows = [
        {"id": n, "image_id": 1, "category_id": names.index(name), "bbox": [9 * n, 2, 8, 8], "attributes": attributes}
        for n, (name, attributes) in enumerate(boxes)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 90, "height": 30}],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": rows,
    }
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def test_variant_becomes_its_component(spec, tmp_path):
    """Its attributes are added to the annotated ones; an annotation of the component is unchanged."""
    boxes = ("one", {"colour": "red"}), ("white_two", {}), ("die", {"face": "three", "colour": "red"})

    dataset = read_dataset_for(spec, write_dataset(tmp_path, *boxes))

    instances = [(i.component, dict(i.attributes)) for i in dataset.scenes[0].instances]
    assert instances == [
        ("die", {"colour": "red", "face": "one"}),
        ("die", {"face": "two", "colour": "white"}),
        ("die", {"face": "three", "colour": "red"}),
    ]
    assert dataset.categories == ("die",)
    assert not check_against_spec(dataset, spec.components)


def test_variant_with_several_values_is_unknown(spec, tmp_path):
    """A low die may be a one or a two."""
    dataset = read_dataset_for(spec, write_dataset(tmp_path, ("low", {"colour": "red"})))

    assert [i.component for i in dataset.scenes[0].instances] == ["low"]
    assert "LC120" in {problem.code for problem in check_against_spec(dataset, spec.components)}


def test_annotation_vocabulary(spec):
    """Components and single-valued variants, with the attributes of the component."""
    vocabulary = annotation_vocabulary(spec)

    assert list(vocabulary) == ["die", "one", "white_two"]
    assert vocabulary["one"] == vocabulary["die"]
