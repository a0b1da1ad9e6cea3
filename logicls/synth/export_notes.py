"""What stands beside exported training data: how its trainer reads it, and what must be set there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logicls.models.coordinates import FAMILIES, Family

if TYPE_CHECKING:
    from logicls.synth.export import Trainer

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


def note(trainer: Trainer, product: str, boxes: Family | None) -> str:
    """The text of the README in the folder."""
    # Without a block of metadata, datasets says on every load that there is none.
    head = "---\ntags: [logicls]\n---\n" if trainer == "trl" else ""
    lines = [f"{head}# {product}, for {trainer}\n", _LOAD[trainer].replace("{product}", product), "## Boxes\n"]
    if trainer == "swift" and boxes is None:
        return "\n".join([*lines, _SWIFT])
    family = FAMILIES[boxes or Family.pixels]
    form = family.form.format(x1="x1", y1="y1", x2="x2", y2="y2")
    unit = "pixels of the photo"
    if family.bins:
        unit = f"0 to {family.most}, of {family.bins} to a side of the photo, whatever its size"
    told = f"As `{family.name}` writes them: `{form}`; {unit}.\n"
    if family.resizing:
        limits = family.resizing
        told = told.replace(unit, "pixels of the resized photo")
        told += _RESIZED.format(factor=limits.factor, least=limits.least, most=limits.most)
    told += "\nDistances that the reasoning speaks of are in pixels of the photo.\n"
    return "\n".join([*lines, told])
