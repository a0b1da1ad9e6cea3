"""Training data for other trainers: photos as files beside a conversation each, as the trainer's documentation has it.

The user's turn is the photo and the questions, the assistant's is the whole chain: answers, reasoning, verdict. Boxes
are in the convention of a model family (`logicls.models.box_formats`).

Sources: TRL 1.16, "Dataset formats" (vision); LLaMA-Factory 0.9.5, data/README.md (sharegpt, multimodal); ms-swift 4.6,
"Custom dataset" (grounding).

What stands beside exported training data: how its trainer reads it, and what must be set there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from logicls.constraints.families.context import name_to_text
from logicls.constraints.spec.loader import load_spec
from logicls.io.atomic import open_atomic, write_bytes, write_text
from logicls.models.box_formats import BOX_FORMATS, PIXELS, BoxFamily, Size, encode_boxes, rewrite_boxes
from logicls.records import Box
from logicls.synth.dataset import read_rows

_USAGE = {
    "trl": """Read by `SFTTrainer` of TRL, from this folder:

```python
from datasets import load_dataset

rows = load_dataset("imagefolder", data_dir=".", split="train")
# SFTTrainer(model=..., train_dataset=rows, args=SFTConfig(max_length=None, assistant_only_loss=True))
```

`max_length=None` keeps the tokens of the photo from being cut off; `assistant_only_loss` learns the answers alone.
""",
    "llamafactory": """Read by LLaMA-Factory, from this folder (`dataset_dir` is `data` where it is left out):

```yaml
dataset: {product}
dataset_dir: data
image_max_pixels: 12845056    # 589824 if left out: larger photos would be shrunk before the model's own processor
```
""",
    "swift": """Read by ms-swift, from this folder; `ROOT_IMAGE_DIR` is where the paths of photos begin:

```sh
ROOT_IMAGE_DIR=. swift sft --dataset train.jsonl
```
""",
}
_SWIFT_BOXES = """\
Boxes are in `objects`, in pixels of the photo, and stand in the text as `<bbox>`. ms-swift writes them as the
model wants them, after its own resizing. `<ref-object>` stands for the component that a question is about.
"""
_RESIZED_BOXES = """
These pixels are those of the picture that the model's processor makes of the photo: sides that are multiples of
{factor}, {least} to {most} pixels in all. Train with these limits (`min_pixels`, `max_pixels`), or the boxes will be
wrong.
"""


def render_readme(export_format: ExportFormat, product: str, boxes: BoxFamily | None) -> str:
    """The text of the README in the folder."""
    # Without a block of metadata, datasets says on every load that there is none.
    head = "---\ntags: [logicls]\n---\n" if export_format == "trl" else ""
    lines = [
        f"{head}# {product}, for {export_format}\n",
        _USAGE[export_format].replace("{product}", product),
        "## Boxes\n",
    ]
    if export_format == "swift" and boxes is None:
        return "\n".join([*lines, _SWIFT_BOXES])
    family = BOX_FORMATS[boxes or BoxFamily.pixels]
    form = family.template.format(x1="x1", y1="y1", x2="x2", y2="y2")
    unit = "pixels of the photo"
    if family.bins:
        unit = f"0 to {family.max_value}, of {family.bins} to a side of the photo, whatever its size"
    told = f"As `{family.name}` writes them: `{form}`; {unit}.\n"
    if family.resize:
        limits = family.resize
        told = told.replace(unit, "pixels of the resized photo")
        told += _RESIZED_BOXES.format(factor=limits.factor, least=limits.min_pixels, most=limits.max_pixels)
    told += "\nDistances that the reasoning speaks of are in pixels of the photo.\n"
    return "\n".join([*lines, told])


COLUMNS = ("image", "width", "height", "queries", "questions", "trail")
IMAGE = "<image>"
BOX = "<bbox>"
REF = "<ref-object>"
Record = Mapping[str, Any]


class ExportFormat(StrEnum):
    """Whose format: LogiCls' own, which is a Hugging Face dataset, or that of another trainer."""

    hf = "hf"
    trl = "trl"
    llamafactory = "llamafactory"
    swift = "swift"


@dataclass(frozen=True, slots=True)
class Conversation:
    """One example as a conversation, with boxes as the trail has them."""

    image: str
    """Path of the photo, relative to the file that the conversation is in."""
    size: Size
    components: tuple[str, ...]
    """What each question is about, as words; empty for a question about no component's place."""
    questions: tuple[str, ...]
    response: str


def export_dataset(
    folder: Path,
    export_format: ExportFormat,
    boxes: BoxFamily | None = None,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write the examples of a synth folder for a trainer; returns the folder below it where they are.

    Photos that are there already are left alone, so that a killed run goes on; the conversations are written last, as a
    whole. `boxes` left out is the trainer's own way where it has one (ms-swift), pixels of the photo elsewhere. `done`
    is told of each example.

    Raises:
        DataError: There is no training data in the folder (LC402).
    """
    out = folder / export_format
    product = load_spec(folder / "spec.yaml").product.name
    match export_format:
        case ExportFormat.hf:
            return folder
        case ExportFormat.trl:
            # The name by which the `imagefolder` loader of datasets finds it.
            _write_jsonl(
                out / "metadata.jsonl", (_to_trl(talk, boxes) for talk in _read_conversations(folder, out, on_progress))
            )
        case ExportFormat.llamafactory:
            out = out / "data"
            _write_json_array(
                out / f"{product}.json",
                (_to_llamafactory(talk, boxes) for talk in _read_conversations(folder, out, on_progress)),
            )
            write_text(
                out / "dataset_info.json",
                json.dumps({product: _DATASET_INFO | {"file_name": f"{product}.json"}}, indent=1),
            )
            out = out.parent
        case ExportFormat.swift:
            _write_jsonl(
                out / "train.jsonl", (_to_swift(talk, boxes) for talk in _read_conversations(folder, out, on_progress))
            )
        case _:
            assert_never(export_format)
    write_text(out / "README.md", render_readme(export_format, product, boxes))
    return out


def _read_conversations(folder: Path, out: Path, on_progress: Callable[[int], None]) -> Iterator[Conversation]:
    """Every example as a conversation, its photo written below `out`."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(read_rows(folder, COLUMNS)):
        name = f"images/{number:08d}.jpg"
        data = row["image"]["bytes"]
        path = out / name
        if not path.exists() or path.stat().st_size != len(data):
            write_bytes(path, data)
        kinds = [query.partition(":") for query in row["queries"]]
        components = tuple(name_to_text(about) if kind == "locate" else "" for kind, _, about in kinds)
        questions = tuple(_escape_tags(question) for question in row["questions"])
        yield Conversation(name, (row["width"], row["height"]), components, questions, _escape_tags(row["trail"]))
        on_progress(1)


def _escape_tags(text: str) -> str:
    """The text without what a trainer would take for one of its marks, as `<image>` in the reason of a rule."""
    return re.sub(r"<(?=[|/a-z])", "< ", text)


def _format_response(talk: Conversation, boxes: BoxFamily | None) -> str:
    return encode_boxes(talk.response, BOX_FORMATS[boxes or BoxFamily.pixels], talk.size)


def _build_messages(asked: object, told: object) -> list[Record]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]


def _to_trl(talk: Conversation, boxes: BoxFamily | None) -> Record:
    """`images` are loaded from the names; each stands for one part of the content that is an image."""
    asked = [{"type": "image"}, _text_part("\n".join(talk.questions))]
    return {
        "images_file_names": [talk.image],
        "messages": _build_messages(asked, [_text_part(_format_response(talk, boxes))]),
    }


def _text_part(text: str) -> Record:
    return {"type": "text", "text": text}


_DATASET_INFO = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def _to_llamafactory(talk: Conversation, boxes: BoxFamily | None) -> Record:
    """As many `<image>` in the messages as there are images."""
    asked = "\n".join([IMAGE, *talk.questions])
    return {"messages": _build_messages(asked, _format_response(talk, boxes)), "images": [talk.image]}


def _to_swift(talk: Conversation, boxes: BoxFamily | None) -> Record:
    """The same; where no family is asked for, boxes are left to ms-swift, which knows the model and its resizing."""
    if boxes is not None:
        return _to_llamafactory(talk, boxes)
    refs: list[str] = []
    questions = [_insert_reference(*pair, refs) for pair in zip(talk.questions, talk.components, strict=True)]
    found: list[Box] = []
    told = rewrite_boxes(
        talk.response, partial(PIXELS.text_to_boxes, size=talk.size), partial(_insert_placeholders, found)
    )
    places = [[round(edge, 1) for edge in (box.x1, box.y1, box.x2, box.y2)] for box in found]
    return {
        "messages": _build_messages("\n".join([IMAGE, *questions]), told),
        "images": [talk.image],
        "objects": {"ref": refs, "bbox": places},
    }


def _insert_reference(question: str, component: str, refs: list[str]) -> str:
    """The question with its component as a reference, which is added to `refs`."""
    asked, count = re.subn(rf"\b{re.escape(component)}\b", REF, question, count=1) if component else (question, 0)
    refs += [component] * count
    return asked


def _insert_placeholders(found: list[Box], boxes: Sequence[Box]) -> str:
    """As many marks as there are boxes, which are added to `found`."""
    found += boxes
    return " ".join([BOX] * len(boxes))


def _write_jsonl(path: Path, records: Iterator[Record]) -> None:
    with open_atomic(path) as file:
        file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def _write_json_array(path: Path, records: Iterator[Record]) -> None:
    with open_atomic(path) as file:
        before = "["
        for record in records:
            file.write(f"{before}\n{json.dumps(record, ensure_ascii=False)}")
            before = ","
        file.write("\n]\n")
