"""Exported training data is loaded the way each trainer documents, and its parts fit one another."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from logicls import answer_format
from logicls.constraints.families.context import name_to_text
from logicls.errors import DataError
from logicls.io.resources import resource_path
from logicls.models.box_formats import BOX_FORMATS, BoxFamily, decode_boxes
from logicls.records import Answer, Box
from logicls.synth import export as module
from logicls.synth.dataset import read_rows
from logicls.synth.export import ExportFormat, export_dataset
from logicls.synth.pipeline import SynthesisRequest, build_dataset

COUNT = 12
Chat = tuple[str, str, tuple[str, ...]]
"""What is asked, what is told, and the photos."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set."""
    out = tmp_path_factory.mktemp("made") / "set"
    build_dataset(
        SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), out, COUNT, 5),
        workers=1,
    )
    return out


def true(folder: Path) -> list[dict[str, Any]]:
    """The rows that were made."""
    return [dict(row) for row in read_rows(folder, ("width", "height", "queries", "questions", "trail", "violations"))]


def llamafactory(out: Path) -> list[Chat]:
    """As LLaMA-Factory loads it: `dataset_info.json` names file, columns and tags; photos lie below the folder."""
    info = json.loads((out / "data" / "dataset_info.json").read_text())
    assert list(info) == ["dosing_kit"]
    attributes = info["dosing_kit"]
    assert attributes["formatting"] == "sharegpt"
    columns, tags = attributes["columns"], attributes["tags"]
    chats = []
    for row in json.loads((out / "data" / attributes["file_name"]).read_text()):
        asked, told = row[columns["messages"]]
        assert (asked[tags["role_tag"]], told[tags["role_tag"]]) == (tags["user_tag"], tags["assistant_tag"])
        photos = tuple(str(out / "data" / name) for name in row[columns["images"]])
        chats.append((asked[tags["content_tag"]], told[tags["content_tag"]], photos))
    return chats


def swift(out: Path) -> list[dict[str, Any]]:
    """As ms-swift loads it: JSON Lines, photos below `ROOT_IMAGE_DIR`."""
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def answers(text: str, family: str, row: dict[str, Any]) -> tuple[Answer, ...]:
    """The answers in a chain whose boxes are in the family's convention; nothing in it may be strange."""
    found = answer_format.parse_answers(decode_boxes(text, BOX_FORMATS[family], (row["width"], row["height"])))
    assert found.invalid_lines == ()
    return found.answers


def same_answers(found: tuple[Answer, ...], row: dict[str, Any]) -> None:
    """They are those of the example, boxes to two pixels."""
    wanted = answer_format.parse_answers(row["trail"]).answers
    assert [(a.query, a.values, len(a.boxes)) for a in found] == [(a.query, a.values, len(a.boxes)) for a in wanted]
    pairs = [pair for a, b in zip(found, wanted, strict=True) for pair in zip(a.boxes, b.boxes, strict=True)]
    assert all(abs(one - other) < 2 for a, b in pairs for one, other in zip(edges(a), edges(b), strict=True))


def size_of(photo: Path | str) -> tuple[int, int]:
    """Width and height of a photo that can be opened."""
    with Image.open(photo) as image:
        return image.size


def edges(box: Box) -> tuple[float, ...]:
    """Its four numbers."""
    return box.x1, box.y1, box.x2, box.y2


@pytest.mark.parametrize("family", [None, *BoxFamily])
def test_llamafactory_loads_it(made: Path, family: BoxFamily | None) -> None:
    """As many placeholders as photos, each photo opens, the questions are asked, the chain is told."""
    chats, wanted = llamafactory(export_dataset(made, ExportFormat.llamafactory, family)), true(made)

    assert len(chats) == len(wanted) == COUNT
    for (asked, told, photos), row in zip(chats, wanted, strict=True):
        assert (asked + told).count("<image>") == len(photos) == 1
        assert asked.splitlines() == ["<image>", *row["questions"]]
        assert size_of(photos[0]) == (row["width"], row["height"])
        same_answers(answers(told, family or "pixels", row), row)


@pytest.mark.parametrize("family", [None, BoxFamily.qwen2_5_vl])
def test_trl_loads_it(made: Path, tmp_path: Path, family: BoxFamily | None) -> None:
    """`load_dataset` gives messages in parts and opened photos; TRL's own function puts the one into the other."""
    out = export_dataset(made, ExportFormat.trl, family)

    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path))

    assert sorted(loaded.column_names) == ["images", "messages"]
    assert len(loaded) == COUNT
    for row, wanted in zip(loaded, true(made), strict=True):
        asked, told = row["messages"]
        assert (asked["role"], told["role"]) == ("user", "assistant")
        parts = [part["type"] for turn in row["messages"] for part in turn["content"]]
        assert (parts, len(row["images"])) == (["image", "text", "text"], 1)
        assert row["images"][0].size == (wanted["width"], wanted["height"])
        assert asked["content"][1]["text"].splitlines() == wanted["questions"]
        same_answers(answers(told["content"][0]["text"], family or "pixels", wanted), wanted)


def test_trl_puts_the_photos_in(made: Path, tmp_path: Path) -> None:
    """TRL counts placeholders and photos, and refuses where they differ."""
    trl = pytest.importorskip("trl.data_utils")
    loaded = datasets.load_dataset(str(export_dataset(made, ExportFormat.trl)), cache_dir=str(tmp_path))["train"]

    messages = trl.prepare_multimodal_messages(loaded[0]["messages"], loaded[0]["images"])

    assert messages[0]["content"][0]["image"] is not None


def test_swift_loads_it(made: Path) -> None:
    """Each `<bbox>` and `<ref-object>` has its object, in order; filled in they are the questions and the answers."""
    out = export_dataset(made, ExportFormat.swift)
    found = swift(out)

    assert len(found) == COUNT
    for row, wanted in zip(found, true(made), strict=True):
        asked, told = (turn["content"] for turn in row["messages"])
        assert (asked + told).count("<image>") == len(row["images"]) == 1
        assert size_of(out / row["images"][0]) == (wanted["width"], wanted["height"])
        assert told.count("<bbox>") == len(row["objects"]["bbox"]) > 0
        assert asked.count("<ref-object>") == len(row["objects"]["ref"]) == 6
        assert all(len(box) == 4 and box[0] <= box[2] and box[1] <= box[3] for box in row["objects"]["bbox"])
        assert filled(asked, "<ref-object>", row["objects"]["ref"]).splitlines()[1:] == wanted["questions"]
        boxes = [BOX_FORMATS["pixels"].boxes_to_text((Box(*box),), (1, 1)) for box in row["objects"]["bbox"]]
        assert filled(told, "<bbox>", boxes) == wanted["trail"]


def filled(text: str, mark: str, values: list[str]) -> str:
    """The text with each mark replaced by the next value."""
    rest = iter(values)
    return re.sub(re.escape(mark), lambda _: next(rest), text)


def test_swift_takes_boxes_as_text_as_well(made: Path) -> None:
    """Where a family is asked for, its text stands there, and there are no objects."""
    for row, wanted in zip(
        swift(export_dataset(made, ExportFormat.swift, BoxFamily.qwen3_vl)), true(made), strict=True
    ):
        assert "objects" not in row
        same_answers(answers(row["messages"][1]["content"], "qwen3_vl", wanted), wanted)


@pytest.mark.parametrize("trainer", [ExportFormat.trl, ExportFormat.llamafactory, ExportFormat.swift])
def test_a_killed_export_goes_on(made: Path, tmp_path: Path, trainer: ExportFormat) -> None:
    """What is missing or was cut short is written again; what is whole is not touched; the bytes are the same."""
    folder = Path(shutil.copytree(made, tmp_path / "set"))
    out = export_dataset(folder, trainer)
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    photos = sorted(out.rglob("*.jpg"))
    stamp = photos[0].stat().st_mtime_ns
    photos[1].unlink()
    photos[2].write_bytes(photos[2].read_bytes()[:100])

    export_dataset(folder, trainer)

    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    assert photos[0].stat().st_mtime_ns == stamp
    assert len(photos) == COUNT


def test_photos_are_the_bytes_that_were_made(made: Path) -> None:
    """They are not encoded anew."""
    out = export_dataset(made, ExportFormat.swift)

    made_bytes = [row["image"]["bytes"] for row in read_rows(made, ("image",))]

    assert [path.read_bytes() for path in sorted((out / "images").iterdir())] == made_bytes


def test_a_reason_holds_no_placeholder() -> None:
    """What a person writes in a spec is not taken for a mark of a trainer or a model."""
    assert module._escape_tags("see <image> and <|im_end|>, 3 < 4") == "see < image> and < |im_end|>, 3 < 4"


def test_a_reference_is_the_word_as_it_stands() -> None:
    """Only a whole word is one; a question without the word stays as it is."""
    refs: list[str] = []

    assert module._insert_reference("where is the bee on the beehive?", "bee", refs) == (
        "where is the <ref-object> on the beehive?"
    )
    assert module._insert_reference("show all of it", name_to_text("top_label"), refs) == "show all of it"
    assert refs == ["bee"]


def test_a_folder_without_examples_is_refused(tmp_path: Path) -> None:
    """The error says where examples come from."""
    shutil.copy(resource_path("constraints/dosing_kit.yaml"), tmp_path / "spec.yaml")

    with pytest.raises(DataError, match="LC402 no examples here"):
        export_dataset(tmp_path, ExportFormat.swift)


@pytest.mark.parametrize("trainer", [ExportFormat.trl, ExportFormat.llamafactory, ExportFormat.swift])
@pytest.mark.parametrize("family", [None, *BoxFamily])
def test_the_note_says_how_boxes_are_written(made: Path, trainer: ExportFormat, family: BoxFamily | None) -> None:
    """Beside the data stands how to load it, the form of a box, and the limits within which photos are resized."""
    text = (export_dataset(made, trainer, family) / "README.md").read_text()

    assert "{" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert ("12845056 pixels in all" in text) == (family is BoxFamily.qwen2_5_vl)
    assert (family.value if family else "bbox" if trainer == "swift" else "pixels") in text
