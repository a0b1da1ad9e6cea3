"""Boxes that are called as a spec's variants are its components, with their attributes."""

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


def dataset(root: Path, *boxes: tuple[str, dict[str, Any]]) -> Path:
    """A photo with a box for each category and its attributes."""
    (root / "images").mkdir()
    Image.new("L", (90, 30)).save(root / "images" / "a.png")
    names = list(dict.fromkeys(name for name, _ in boxes))
    rows = [
        {"id": n, "image_id": 1, "category_id": names.index(name), "bbox": [9 * n, 2, 8, 8], "attributes": told}
        for n, (name, told) in enumerate(boxes)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 90, "height": 30}],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": rows,
    }
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def test_a_variant_is_its_component(spec, tmp_path):
    """Its attributes are added to those annotated, and what is called as the component stays as it is."""
    boxes = ("one", {"colour": "red"}), ("white_two", {}), ("die", {"face": "three", "colour": "red"})

    found = read_dataset_for(spec, dataset(tmp_path, *boxes))

    told = [(i.component, dict(i.attributes)) for i in found.scenes[0].instances]
    assert told == [
        ("die", {"colour": "red", "face": "one"}),
        ("die", {"face": "two", "colour": "white"}),
        ("die", {"face": "three", "colour": "red"}),
    ]
    assert found.categories == ("die",)
    assert not check_against_spec(found, spec.components)


def test_a_variant_that_leaves_a_choice_is_not_known(spec, tmp_path):
    """Nobody can say whether a low die is a one or a two."""
    found = read_dataset_for(spec, dataset(tmp_path, ("low", {"colour": "red"})))

    assert [i.component for i in found.scenes[0].instances] == ["low"]
    assert "LC120" in {problem.code for problem in check_against_spec(found, spec.components)}


def test_names_that_may_be_annotated(spec):
    """Components and plain variants, with the attributes of the component."""
    known = annotation_vocabulary(spec)

    assert list(known) == ["die", "one", "white_two"]
    assert known["one"] == known["die"]
