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
from logicls.synth.dataset import rows

_LOAD = {
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
_SWIFT = """\
Boxes are in `objects`, in pixels of the photo, and stand in the text as `<bbox>`. ms-swift writes them as the
model wants them, after its own resizing. `<ref-object>` stands for the component that a question is about.
"""
_RESIZED = """
These pixels are those of the picture that the model's processor makes of the photo: sides that are multiples of
{factor}, {least} to {most} pixels in all. Train with these limits (`min_pixels`, `max_pixels`), or the boxes will be
wrong.
"""


def note(trainer: Trainer, product: str, boxes: BoxFamily | None) -> str:
    """The text of the README in the folder."""
    # Without a block of metadata, datasets says on every load that there is none.
    head = "---\ntags: [logicls]\n---\n" if trainer == "trl" else ""
    lines = [f"{head}# {product}, for {trainer}\n", _LOAD[trainer].replace("{product}", product), "## Boxes\n"]
    if trainer == "swift" and boxes is None:
        return "\n".join([*lines, _SWIFT])
    family = BOX_FORMATS[boxes or BoxFamily.pixels]
    form = family.template.format(x1="x1", y1="y1", x2="x2", y2="y2")
    unit = "pixels of the photo"
    if family.bins:
        unit = f"0 to {family.max_value}, of {family.bins} to a side of the photo, whatever its size"
    told = f"As `{family.name}` writes them: `{form}`; {unit}.\n"
    if family.resize:
        limits = family.resize
        told = told.replace(unit, "pixels of the resized photo")
        told += _RESIZED.format(factor=limits.factor, least=limits.min_pixels, most=limits.max_pixels)
    told += "\nDistances that the reasoning speaks of are in pixels of the photo.\n"
    return "\n".join([*lines, told])


COLUMNS = ("image", "width", "height", "queries", "questions", "trail")
IMAGE = "<image>"
BOX = "<bbox>"
REF = "<ref-object>"
Record = Mapping[str, Any]


class Trainer(StrEnum):
    """Whose format: LogiCls' own, which is a Hugging Face dataset, or that of another trainer."""

    hf = "hf"
    trl = "trl"
    llamafactory = "llamafactory"
    swift = "swift"


@dataclass(frozen=True, slots=True)
class Talk:
    """One example as a conversation, with boxes as the trail has them."""

    image: str
    """Path of the photo, relative to the file that the conversation is in."""
    size: Size
    components: tuple[str, ...]
    """What each question is about, as words; empty for a question about no component's place."""
    questions: tuple[str, ...]
    chain: str


def export(
    folder: Path, trainer: Trainer, boxes: BoxFamily | None = None, *, done: Callable[[int], None] = lambda _: None
) -> Path:
    """Write the examples of a synth folder for a trainer; returns the folder below it where they are.

    Photos that are there already are left alone, so that a killed run goes on; the conversations are written last, as a
    whole. `boxes` left out is the trainer's own way where it has one (ms-swift), pixels of the photo elsewhere. `done`
    is told of each example.

    Raises:
        DataError: There is no training data in the folder (LC402).
    """
    out = folder / trainer
    product = load_spec(folder / "spec.yaml").product.name
    match trainer:
        case Trainer.hf:
            return folder
        case Trainer.trl:
            # The name by which the `imagefolder` loader of datasets finds it.
            _lines(out / "metadata.jsonl", (_trl(talk, boxes) for talk in _talks(folder, out, done)))
        case Trainer.llamafactory:
            out = out / "data"
            _list(out / f"{product}.json", (_llamafactory(talk, boxes) for talk in _talks(folder, out, done)))
            write_text(
                out / "dataset_info.json", json.dumps({product: _INFO | {"file_name": f"{product}.json"}}, indent=1)
            )
            out = out.parent
        case Trainer.swift:
            _lines(out / "train.jsonl", (_swift(talk, boxes) for talk in _talks(folder, out, done)))
        case _:
            assert_never(trainer)
    write_text(out / "README.md", note(trainer, product, boxes))
    return out


def _talks(folder: Path, out: Path, done: Callable[[int], None]) -> Iterator[Talk]:
    """Every example as a conversation, its photo written below `out`."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows(folder, COLUMNS)):
        name = f"images/{number:08d}.jpg"
        data = row["image"]["bytes"]
        path = out / name
        if not path.exists() or path.stat().st_size != len(data):
            write_bytes(path, data)
        kinds = [query.partition(":") for query in row["queries"]]
        components = tuple(name_to_text(about) if kind == "locate" else "" for kind, _, about in kinds)
        questions = tuple(_harmless(question) for question in row["questions"])
        yield Talk(name, (row["width"], row["height"]), components, questions, _harmless(row["trail"]))
        done(1)


def _harmless(text: str) -> str:
    """The text without what a trainer would take for one of its marks, as `<image>` in the reason of a rule."""
    return re.sub(r"<(?=[|/a-z])", "< ", text)


def _chain(talk: Talk, boxes: BoxFamily | None) -> str:
    return encode_boxes(talk.chain, BOX_FORMATS[boxes or BoxFamily.pixels], talk.size)


def _turns(asked: object, told: object) -> list[Record]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]


def _trl(talk: Talk, boxes: BoxFamily | None) -> Record:
    """`images` are loaded from the names; each stands for one part of the content that is an image."""
    asked = [{"type": "image"}, _text("\n".join(talk.questions))]
    return {"images_file_names": [talk.image], "messages": _turns(asked, [_text(_chain(talk, boxes))])}


def _text(text: str) -> Record:
    return {"type": "text", "text": text}


_INFO = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def _llamafactory(talk: Talk, boxes: BoxFamily | None) -> Record:
    """As many `<image>` in the messages as there are images."""
    asked = "\n".join([IMAGE, *talk.questions])
    return {"messages": _turns(asked, _chain(talk, boxes)), "images": [talk.image]}


def _swift(talk: Talk, boxes: BoxFamily | None) -> Record:
    """The same; where no family is asked for, boxes are left to ms-swift, which knows the model and its resizing."""
    if boxes is not None:
        return _llamafactory(talk, boxes)
    refs: list[str] = []
    questions = [_referred(*pair, refs) for pair in zip(talk.questions, talk.components, strict=True)]
    found: list[Box] = []
    told = rewrite_boxes(talk.chain, partial(PIXELS.text_to_boxes, size=talk.size), partial(_placeholders, found))
    places = [[round(edge, 1) for edge in (box.x1, box.y1, box.x2, box.y2)] for box in found]
    return {
        "messages": _turns("\n".join([IMAGE, *questions]), told),
        "images": [talk.image],
        "objects": {"ref": refs, "bbox": places},
    }


def _referred(question: str, component: str, refs: list[str]) -> str:
    """The question with its component as a reference, which is added to `refs`."""
    asked, count = re.subn(rf"\b{re.escape(component)}\b", REF, question, count=1) if component else (question, 0)
    refs += [component] * count
    return asked


def _placeholders(found: list[Box], boxes: Sequence[Box]) -> str:
    """As many marks as there are boxes, which are added to `found`."""
    found += boxes
    return " ".join([BOX] * len(boxes))


def _lines(path: Path, records: Iterator[Record]) -> None:
    with open_atomic(path) as file:
        file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def _list(path: Path, records: Iterator[Record]) -> None:
    with open_atomic(path) as file:
        before = "["
        for record in records:
            file.write(f"{before}\n{json.dumps(record, ensure_ascii=False)}")
            before = ","
        file.write("\n]\n")
