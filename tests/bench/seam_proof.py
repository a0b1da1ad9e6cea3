"""Do seams say anything? Two small classifiers try to tell made photos from real ones.

python tests/bench/seam_proof.py SYNTH_DIR [TOKENS]

1. Given only untouched photos and twins (edited, and nothing broken), at the input resolution: how often is it
   right on source photos that it never saw, where chance is 50 %? More than 60 % would mean that the paste shows.
2. Trained to tell edited photos from untouched ones: does its score tell the broken among the edited ones, and better
   than the kind of edit and the rule that it is about do, without looking at the photo? AUROC, chance is 0.5.
"""

import io
import json
import sys
import zlib
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchmetrics.functional.classification import binary_auroc

from logicls.models.nano.config import TOKEN_STRIDE, choose_input_size
from logicls.models.nano.processor import NanoImageProcessor
from logicls.synth.dataset import read_rows

EPOCHS = 8
BATCH = 64
COLUMNS = ("image", "photo", "fate", "edits", "violations", "width", "height")


def pictures(folder: Path, tokens: int) -> tuple[torch.Tensor, list[dict]]:
    """Photos at the model's input size, float32 [n 3 height width], and what is known of them."""
    found, facts, processor = [], [], None
    for row in read_rows(folder, COLUMNS):
        if processor is None:
            processor = NanoImageProcessor(choose_input_size(row["height"] / row["width"], tokens))
        photo = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
        found.append(processor.letterbox(photo))
        edits = json.loads(row["edits"])
        facts.append(
            {
                "photo": row["photo"],
                "fate": "untouched" if not edits else "broken" if row["violations"] else "twin",
                "kinds": tuple(sorted({f"{kind} {constraint}" for kind, _, constraint, _ in edits})),
            }
        )
    pixels = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, facts


def is_held_out(photo: str) -> bool:
    """A third of the source photos."""
    return zlib.crc32(photo.encode()) % 3 == 0


def classifier() -> nn.Module:
    """Four strided convolutions and a mean: 60,000 weights."""
    widths, layers = (3, 24, 48, 64, 64), []
    for one, other in pairwise(widths):
        layers += [nn.Conv2d(one, other, 3, 2, 1), nn.BatchNorm2d(other), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(widths[-1], 1))


def trained(pixels: torch.Tensor, labels: torch.Tensor, numbers: torch.Tensor) -> nn.Module:
    """A classifier after some epochs, mirrored at random; the classes count alike."""
    torch.manual_seed(0)
    model = classifier()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    weight = (labels[numbers] == 0).sum() / (labels[numbers] == 1).sum()
    for _ in range(EPOCHS):
        model.train()
        for part in numbers[torch.randperm(len(numbers))].split(BATCH):
            batch = pixels[part]
            batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
            loss = nn.functional.binary_cross_entropy_with_logits(model(batch)[:, 0], labels[part], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def scores(model: nn.Module, pixels: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """How sure it is of each."""
    return torch.cat([model(pixels[part])[:, 0] for part in numbers.split(256)])


def balanced(right: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of the two classes' shares of right answers."""
    return float((right[labels == 0].float().mean() + right[labels == 1].float().mean()) / 2)


def prior(facts: list[dict], numbers: list[int], test: list[int]) -> torch.Tensor:
    """Share of broken ones among edits of the same kinds about the same rules, from the training photos."""
    seen: dict[tuple, list[int]] = defaultdict(list)
    for number in numbers:
        seen[facts[number]["kinds"]].append(facts[number]["fate"] == "broken")
    return torch.tensor([float(np.mean(seen[facts[n]["kinds"]] or [0.5])) for n in test])


def main() -> None:
    """Print both figures."""
    folder, tokens = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 128
    pixels, facts = pictures(folder, tokens)
    print(f"{len(facts)} examples at {pixels.shape[3]} x {pixels.shape[2]} pixels, stride {TOKEN_STRIDE}", flush=True)
    held = [is_held_out(fact["photo"]) for fact in facts]
    alike = [n for n, fact in enumerate(facts) if fact["fate"] != "broken"]
    edited = torch.tensor([float(fact["fate"] != "untouched") for fact in facts])
    learn, test = (torch.tensor([n for n in alike if held[n] == wanted]) for wanted in (False, True))
    model = trained(pixels, edited, learn)
    found = scores(model, pixels, test) > 0
    print(f"1. twins against untouched: {balanced(found == edited[test].bool(), edited[test]):.1%} of {len(test)}")
    learn, test = (torch.tensor([n for n in range(len(facts)) if held[n] == wanted]) for wanted in (False, True))
    model = trained(pixels, edited, learn)
    made = [n for n in test.tolist() if facts[n]["fate"] != "untouched"]
    broken = torch.tensor([int(facts[n]["fate"] == "broken") for n in made])
    seams = binary_auroc(scores(model, pixels, torch.tensor(made)), broken)
    known = binary_auroc(prior(facts, [n for n in learn.tolist() if facts[n]["fate"] != "untouched"], made), broken)
    print(f"2. broken among {len(made)} edited: AUROC {seams:.3f} by seams, {known:.3f} by kind of edit and rule")


if __name__ == "__main__":
    main()
