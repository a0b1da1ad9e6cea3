"""Exported datasets load as each trainer documents, and their parts match."""

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
"""Prompt, response, and photos."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset."""
    out = tmp_path_factory.mktemp("made") / "set"
    build_dataset(
        SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), out, COUNT, 5),
        workers=1,
    )
    return out


def read_dataset_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of the dataset."""
    return [
        dict(row) for row in read_rows(folder, ("width", "height", "queries", "questions", "response", "violations"))
    ]


def load_llamafactory(out: Path) -> list[Chat]:
    """Load as LLaMA-Factory does: `dataset_info.json` names file, columns and tags; photos are below the folder."""
    info = json.loads((out / "data" / "dataset_info.json").read_text())
    assert list(info) == ["dosing_kit"]
    attributes = info["dosing_kit"]
    assert attributes["formatting"] == "sharegpt"
    columns, tags = attributes["columns"], attributes["tags"]
    conversations = []
    for row in json.loads((out / "data" / attributes["file_name"]).read_text()):
        prompt, response = row[columns["messages"]]
        assert (prompt[tags["role_tag"]], response[tags["role_tag"]]) == (tags["user_tag"], tags["assistant_tag"])
        photos = tuple(str(out / "data" / name) for name in row[columns["images"]])
        conversations.append((prompt[tags["content_tag"]], response[tags["content_tag"]], photos))
    return conversations


def load_swift(out: Path) -> list[dict[str, Any]]:
    """Load as ms-swift does: JSON Lines, photos below `ROOT_IMAGE_DIR`."""
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def parse_response(text: str, family: str, row: dict[str, Any]) -> tuple[Answer, ...]:
    """Answers of a response whose boxes are in the family's convention; every answer line must be valid."""
    parsed = answer_format.parse_answers(decode_boxes(text, BOX_FORMATS[family], (row["width"], row["height"])))
    assert parsed.invalid_lines == ()
    return parsed.answers


def assert_same_answers(parsed: tuple[Answer, ...], row: dict[str, Any]) -> None:
    """Compare with the answers of the example, boxes to two pixels."""
    row_true = answer_format.parse_answers(row["response"]).answers
    assert [(a.query, a.values, len(a.boxes)) for a in parsed] == [(a.query, a.values, len(a.boxes)) for a in row_true]
    pairs = [pair for a, b in zip(parsed, row_true, strict=True) for pair in zip(a.boxes, b.boxes, strict=True)]
    assert all(abs(one - other) < 2 for a, b in pairs for one, other in zip(box_edges(a), box_edges(b), strict=True))


def size_of(photo: Path | str) -> tuple[int, int]:
    """Width and height of a photo."""
    with Image.open(photo) as image:
        return image.size


def box_edges(box: Box) -> tuple[float, ...]:
    """The four coordinates."""
    return box.x1, box.y1, box.x2, box.y2


@pytest.mark.parametrize("family", [None, *BoxFamily])
def test_llamafactory_format(dataset: Path, family: BoxFamily | None) -> None:
    """One placeholder per photo, photos open, and the turns hold the questions and the response."""
    conversations, row_true = (
        load_llamafactory(export_dataset(dataset, ExportFormat.llamafactory, family)),
        read_dataset_rows(dataset),
    )

    assert len(conversations) == len(row_true) == COUNT
    for (prompt, response, photos), row in zip(conversations, row_true, strict=True):
        assert (prompt + response).count("<image>") == len(photos) == 1
        assert prompt.splitlines() == ["<image>", *row["questions"]]
        assert size_of(photos[0]) == (row["width"], row["height"])
        assert_same_answers(parse_response(response, family or "pixels", row), row)


@pytest.mark.parametrize("family", [None, BoxFamily.qwen2_5_vl])
def test_trl_format(dataset: Path, tmp_path: Path, family: BoxFamily | None) -> None:
    """`load_dataset` returns messages in parts, and decoded photos."""
    out = export_dataset(dataset, ExportFormat.trl, family)

    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path))

    assert sorted(loaded.column_names) == ["images", "messages"]
    assert len(loaded) == COUNT
    for row, row_true in zip(loaded, read_dataset_rows(dataset), strict=True):
        prompt, response = row["messages"]
        assert (prompt["role"], response["role"]) == ("user", "assistant")
        parts = [part["type"] for turn in row["messages"] for part in turn["content"]]
        assert (parts, len(row["images"])) == (["image", "text", "text"], 1)
        assert row["images"][0].size == (row_true["width"], row_true["height"])
        assert prompt["content"][1]["text"].splitlines() == row_true["questions"]
        assert_same_answers(parse_response(response["content"][0]["text"], family or "pixels", row_true), row_true)


def test_trl_inserts_images(dataset: Path, tmp_path: Path) -> None:
    """TRL's own function matches placeholders and photos."""
    trl = pytest.importorskip("trl.data_utils")
    loaded = datasets.load_dataset(str(export_dataset(dataset, ExportFormat.trl)), cache_dir=str(tmp_path))["train"]

    messages = trl.prepare_multimodal_messages(loaded[0]["messages"], loaded[0]["images"])

    assert messages[0]["content"][0]["image"] is not None


def test_swift_format(dataset: Path) -> None:
    """Each `<bbox>` and `<ref-object>` has its object, in order; filled in they are the questions and the response."""
    out = export_dataset(dataset, ExportFormat.swift)
    parsed = load_swift(out)

    assert len(parsed) == COUNT
    for row, row_true in zip(parsed, read_dataset_rows(dataset), strict=True):
        prompt, response = (turn["content"] for turn in row["messages"])
        assert (prompt + response).count("<image>") == len(row["images"]) == 1
        assert size_of(out / row["images"][0]) == (row_true["width"], row_true["height"])
        assert response.count("<bbox>") == len(row["objects"]["bbox"]) > 0
        assert prompt.count("<ref-object>") == len(row["objects"]["ref"]) == 6
        assert all(len(box) == 4 and box[0] <= box[2] and box[1] <= box[3] for box in row["objects"]["bbox"])
        assert (
            fill_placeholders(prompt, "<ref-object>", row["objects"]["ref"]).splitlines()[1:] == row_true["questions"]
        )
        boxes = [BOX_FORMATS["pixels"].boxes_to_text((Box(*box),), (1, 1)) for box in row["objects"]["bbox"]]
        assert fill_placeholders(response, "<bbox>", boxes) == row_true["response"]


def fill_placeholders(text: str, placeholder: str, values: list[str]) -> str:
    """The text with each placeholder replaced by the next value."""
    remaining = iter(values)
    return re.sub(re.escape(placeholder), lambda _: next(remaining), text)


def test_swift_format_with_boxes_as_text(dataset: Path) -> None:
    """With a box family, boxes are text and there are no objects."""
    for row, row_true in zip(
        load_swift(export_dataset(dataset, ExportFormat.swift, BoxFamily.qwen3_vl)),
        read_dataset_rows(dataset),
        strict=True,
    ):
        assert "objects" not in row
        assert_same_answers(parse_response(row["messages"][1]["content"], "qwen3_vl", row_true), row_true)


@pytest.mark.parametrize("export_format", [ExportFormat.trl, ExportFormat.llamafactory, ExportFormat.swift])
def test_a_killed_export_resumes(dataset: Path, tmp_path: Path, export_format: ExportFormat) -> None:
    """Missing or truncated files are written again, complete ones are not touched, and the bytes are the same."""
    folder = Path(shutil.copytree(dataset, tmp_path / "set"))
    out = export_dataset(folder, export_format)
    written = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    photos = sorted(out.rglob("*.jpg"))
    stamp = photos[0].stat().st_mtime_ns
    photos[1].unlink()
    photos[2].write_bytes(photos[2].read_bytes()[:100])

    export_dataset(folder, export_format)

    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == written
    assert photos[0].stat().st_mtime_ns == stamp
    assert len(photos) == COUNT


def test_photos_are_not_encoded_again(dataset: Path) -> None:
    """Exported photos have the bytes of the dataset."""
    out = export_dataset(dataset, ExportFormat.swift)

    made_bytes = [row["image"]["bytes"] for row in read_rows(dataset, ("image",))]

    assert [path.read_bytes() for path in sorted((out / "images").iterdir())] == made_bytes


def test_tags_in_free_text_are_escaped() -> None:
    """Free text of a spec cannot contain tags of a trainer or a model."""
    assert module._escape_tags("see <image> and <|im_end|>, 3 < 4") == "see < image> and < |im_end|>, 3 < 4"


def test_references_replace_whole_words() -> None:
    """A question without the word stays as it is."""
    references: list[str] = []

    assert module._insert_reference("where is the bee on the beehive?", "bee", references) == (
        "where is the <ref-object> on the beehive?"
    )
    assert module._insert_reference("show all of it", name_to_text("top_label"), references) == "show all of it"
    assert references == ["bee"]


def test_a_folder_without_examples_is_an_error(tmp_path: Path) -> None:
    """The error says how to create examples."""
    shutil.copy(resource_path("constraints/dosing_kit.yaml"), tmp_path / "spec.yaml")

    with pytest.raises(DataError, match="LC402 no examples in this folder"):
        export_dataset(tmp_path, ExportFormat.swift)


@pytest.mark.parametrize("export_format", [ExportFormat.trl, ExportFormat.llamafactory, ExportFormat.swift])
@pytest.mark.parametrize("family", [None, *BoxFamily])
def test_the_readme_describes_the_box_convention(
    dataset: Path, export_format: ExportFormat, family: BoxFamily | None
) -> None:
    """It says how to load the data, how boxes are written, and within which limits photos are resized."""
    text = (export_dataset(dataset, export_format, family) / "README.md").read_text()

    assert "{" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert ("12845056\npixels" in text or "12845056 pixels" in text) == (family is BoxFamily.qwen2_5_vl)
    assert (family.value if family else "bbox" if export_format == "swift" else "pixels") in text
