"""Export of a generated dataset to the formats of other trainers, with a README for each.

Photos become files beside one conversation each. The user's turn is the photo and the questions; the assistant's turn
is the complete response: answers, reasoning, verdict. Boxes are written in the convention of a model family
(`logicls.models.box_formats`).

Sources: TRL 1.16, "Dataset formats" (vision); LLaMA-Factory 0.9.5, data/README.md (sharegpt, multimodal); ms-swift 4.6,
"Custom dataset" (grounding).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from logicls.constraints.families.context import name_to_text
from logicls.constraints.spec.loader import load_spec
from logicls.io.atomic import open_atomic, write_bytes, write_text
from logicls.models.box_formats import BOX_FORMATS, PIXELS, BoxFamily, Size, encode_boxes, rewrite_boxes
from logicls.records import Box
from logicls.synth.dataset import read_rows
from logicls.synth.export_format import ExportFormat

_USAGE = {
    "trl": """`SFTTrainer` of TRL reads this folder:

```python
from datasets import load_dataset

rows = load_dataset("imagefolder", data_dir=".", split="train")
# SFTTrainer(model=..., train_dataset=rows, args=SFTConfig(max_length=None, assistant_only_loss=True))
```

`max_length=None` prevents truncation of the image tokens; with `assistant_only_loss` only the answers are learned.
""",
    "llamafactory": """LLaMA-Factory reads this folder (`data` is the default of `dataset_dir`):

```yaml
dataset: {product}
dataset_dir: data
image_max_pixels: 12845056    # default 589824: larger photos would be downscaled before the model's own processor
```
""",
    "swift": """ms-swift reads this folder; paths of photos are relative to `ROOT_IMAGE_DIR`:

```sh
ROOT_IMAGE_DIR=. swift sft --dataset train.jsonl
```
""",
}
_SWIFT_BOXES = """\
Boxes are in `objects`, in pixels of the photo; the text contains `<bbox>` in their place. ms-swift converts them to the
model's convention, after its own resizing. `<ref-object>` stands for the component that a question asks for.
"""
_RESIZED_BOXES = """
These are pixels of the photo as resized by the model's processor: sides are multiples of {factor}, the area is
{least} to {most} pixels. Train with these limits (`min_pixels`, `max_pixels`), otherwise the boxes are wrong.
"""


def render_readme(export_format: ExportFormat, product: str, boxes: BoxFamily | None) -> str:
    """Render the README of an exported folder."""
    # Without metadata, the datasets library warns on every load.
    header = "---\ntags: [logicls]\n---\n" if export_format == "trl" else ""
    lines = [
        f"{header}# {product}, for {export_format}\n",
        _USAGE[export_format].replace("{product}", product),
        "## Boxes\n",
    ]
    if export_format == "swift" and boxes is None:
        return "\n".join([*lines, _SWIFT_BOXES])
    family = BOX_FORMATS[boxes or BoxFamily.pixels]
    template = family.template.format(x1="x1", y1="y1", x2="x2", y2="y2")
    unit = "pixels of the photo"
    if family.bins:
        unit = f"0 to {family.max_value}: each side of the photo is divided into {family.bins} bins"
    text = f"Convention of `{family.name}`: `{template}`; {unit}.\n"
    if family.resize:
        limits = family.resize
        text = text.replace(unit, "pixels of the resized photo")
        text += _RESIZED_BOXES.format(factor=limits.factor, least=limits.min_pixels, most=limits.max_pixels)
    text += "\nDistances in the reasoning are in pixels of the original photo.\n"
    return "\n".join([*lines, text])


COLUMNS = ("image", "width", "height", "queries", "questions", "response")
IMAGE = "<image>"
BOX = "<bbox>"
REF = "<ref-object>"
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One example as a conversation, with boxes in pixels of the photo."""

    image: str
    """Path of the photo, relative to the file of conversations."""
    size: Size
    components: tuple[str, ...]
    """Component that each question asks to locate, in words; empty for other questions."""
    questions: tuple[str, ...]
    response: str


def export_dataset(
    folder: Path,
    export_format: ExportFormat,
    boxes: BoxFamily | None = None,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write the examples of a dataset folder in another trainer's format; returns the subfolder.

    Photos that exist are skipped, so that a killed run resumes. The conversations are written last, atomically.

    Args:
        folder: A dataset folder of `logicls synth`.
        export_format: Format to write.
        boxes: Box convention. Default: the trainer's own if it has one (ms-swift), otherwise pixels of the photo.
        on_progress: Called with 1 for each example.

    Raises:
        DataError: The folder has no examples (LC402).
    """
    output = folder / export_format
    product = load_spec(folder / "spec.yaml").product.name
    root = output / "data" if export_format is ExportFormat.llamafactory else output
    conversations = _read_conversations(folder, root, on_progress)
    match export_format:
        case ExportFormat.hf:
            return folder
        case ExportFormat.trl:
            # File name that the `imagefolder` loader of datasets requires.
            _write_jsonl(root / "metadata.jsonl", (_to_trl(one, boxes) for one in conversations))
        case ExportFormat.llamafactory:
            file = f"{product}.json"
            _write_json_array(root / file, (_to_llamafactory(one, boxes) for one in conversations))
            info = {product: _DATASET_INFO | {"file_name": file}}
            write_text(root / "dataset_info.json", json.dumps(info, indent=1))
        case ExportFormat.swift:
            _write_jsonl(root / "train.jsonl", (_to_swift(one, boxes) for one in conversations))
        case _:
            assert_never(export_format)
    write_text(output / "README.md", render_readme(export_format, product, boxes))
    return output


def _read_conversations(folder: Path, out: Path, on_progress: Callable[[int], None]) -> Iterator[Conversation]:
    """Read every example as a conversation, and write its photo below `out`."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(read_rows(folder, COLUMNS)):
        name = f"images/{number:08d}.jpg"
        data = row["image"]["bytes"]
        path = out / name
        if not path.exists() or path.stat().st_size != len(data):
            write_bytes(path, data)
        parsed_queries = [query.partition(":") for query in row["queries"]]
        components = tuple(name_to_text(about) if kind == "locate" else "" for kind, _, about in parsed_queries)
        questions = tuple(_escape_tags(question) for question in row["questions"])
        yield Conversation(name, (row["width"], row["height"]), components, questions, _escape_tags(row["response"]))
        on_progress(1)


def _escape_tags(text: str) -> str:
    """Break up tags that a trainer would interpret, such as `<image>` in the reason of a rule."""
    return re.sub(r"<(?=[|/a-z])", "< ", text)


def _format_response(conversation: Conversation, boxes: BoxFamily | None) -> str:
    return encode_boxes(conversation.response, BOX_FORMATS[boxes or BoxFamily.pixels], conversation.size)


def _build_messages(prompt: object, text: object) -> list[Record]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]


def _to_trl(conversation: Conversation, boxes: BoxFamily | None) -> Record:
    """Convert to TRL's format; each of `images` fills one part of the content of type image."""
    prompt = [{"type": "image"}, _text_part("\n".join(conversation.questions))]
    return {
        "images_file_names": [conversation.image],
        "messages": _build_messages(prompt, [_text_part(_format_response(conversation, boxes))]),
    }


def _text_part(text: str) -> Record:
    return {"type": "text", "text": text}


_DATASET_INFO = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def _to_llamafactory(conversation: Conversation, boxes: BoxFamily | None) -> Record:
    """Convert to LLaMA-Factory's format, with one `<image>` in the messages for each image."""
    prompt = "\n".join([IMAGE, *conversation.questions])
    return {"messages": _build_messages(prompt, _format_response(conversation, boxes)), "images": [conversation.image]}


def _to_swift(conversation: Conversation, boxes: BoxFamily | None) -> Record:
    """Convert to ms-swift's format; without `boxes`, boxes are left to ms-swift, which knows the model's resizing."""
    if boxes is not None:
        return _to_llamafactory(conversation, boxes)
    references: list[str] = []
    questions = [
        _insert_reference(*pair, references)
        for pair in zip(conversation.questions, conversation.components, strict=True)
    ]
    boxes_in_order: list[Box] = []
    text = rewrite_boxes(
        conversation.response,
        partial(PIXELS.text_to_boxes, size=conversation.size),
        partial(_insert_placeholders, boxes_in_order),
    )
    objects = [[round(edge, 1) for edge in (box.x1, box.y1, box.x2, box.y2)] for box in boxes_in_order]
    return {
        "messages": _build_messages("\n".join([IMAGE, *questions]), text),
        "images": [conversation.image],
        "objects": {"ref": references, "bbox": objects},
    }


def _insert_reference(question: str, component: str, references: list[str]) -> str:
    """Replace the component in a question by a reference, which is appended to `references`."""
    prompt, count = re.subn(rf"\b{re.escape(component)}\b", REF, question, count=1) if component else (question, 0)
    references += [component] * count
    return prompt


def _insert_placeholders(collected: list[Box], boxes: Sequence[Box]) -> str:
    """One placeholder for each box; the boxes are appended to `collected`."""
    collected += boxes
    return " ".join([BOX] * len(boxes))


def _write_jsonl(path: Path, records: Iterator[Record]) -> None:
    with open_atomic(path) as file:
        file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def _write_json_array(path: Path, records: Iterator[Record]) -> None:
    with open_atomic(path) as file:
        separator = "["
        for record in records:
            file.write(f"{separator}\n{json.dumps(record, ensure_ascii=False)}")
            separator = ","
        file.write("\n]\n")
