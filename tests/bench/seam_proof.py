"""Test whether seams of edits reveal a violation: two small classifiers try to tell edited photos from unedited ones.

python tests/bench/seam_proof.py SYNTH_DIR [TOKENS]

1. Untouched photos against control edits (edited, no rule broken), at the input resolution: accuracy on unseen source
   photos, where guessing gives 50 %. More than 60 % would mean that compositing is visible.
2. Trained to tell edited photos from untouched ones: AUROC of its score for broken photos among edited ones, compared
   with the prior of kind of edit and rule, which does not use the photo. Guessing gives 0.5.
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

from logicls.evaluation.metrics import compute_auroc
from logicls.models.nano.config import TOKEN_STRIDE, choose_input_size
from logicls.models.nano.processor import NanoImageProcessor
from logicls.synth.dataset import read_rows

EPOCHS = 8
BATCH = 64
COLUMNS = ("image", "photo", "edits", "violations", "width", "height")


def load_photos(folder: Path, tokens: int) -> tuple[torch.Tensor, list[dict]]:
    """Load photos at the model's input size, float32 [n 3 height width], and the facts about each."""
    photos, facts, processor = [], [], None
    for row in read_rows(folder, COLUMNS):
        if processor is None:
            processor = NanoImageProcessor(choose_input_size(row["height"] / row["width"], tokens))
        photo = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
        photos.append(processor.letterbox(photo))
        edits = json.loads(row["edits"])
        facts.append(
            {
                "photo": row["photo"],
                "category": "untouched" if not edits else "broken" if row["violations"] else "control",
                "kinds": tuple(sorted({f"{kind} {constraint}" for kind, _, constraint, _ in edits})),
            }
        )
    pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, facts


def is_held_out(photo: str) -> bool:
    """Hold out a third of the source photos."""
    return zlib.crc32(photo.encode()) % 3 == 0


def build_classifier() -> nn.Module:
    """Build four strided convolutions and global average pooling: 60,000 weights."""
    widths, layers = (3, 24, 48, 64, 64), []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(widths[-1], 1))


def train_classifier(pixels: torch.Tensor, labels: torch.Tensor, numbers: torch.Tensor) -> nn.Module:
    """Train a classifier with random flips and balanced class weights."""
    torch.manual_seed(0)
    model = build_classifier()
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
def compute_logits(model: nn.Module, pixels: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Logit of each photo."""
    return torch.cat([model(pixels[part])[:, 0] for part in numbers.split(256)])


def balanced_accuracy(is_correct: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of the two classes' accuracies."""
    return float((is_correct[labels == 0].float().mean() + is_correct[labels == 1].float().mean()) / 2)


def compute_prior(facts: list[dict], numbers: list[int], test: list[int]) -> torch.Tensor:
    """Share of broken photos among training photos with the same kinds of edits about the same rules."""
    by_kind: dict[tuple, list[int]] = defaultdict(list)
    for number in numbers:
        by_kind[facts[number]["kinds"]].append(facts[number]["category"] == "broken")
    return torch.tensor([float(np.mean(by_kind[facts[n]["kinds"]] or [0.5])) for n in test])


def main() -> None:
    """Print both results."""
    folder, tokens = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 128
    pixels, facts = load_photos(folder, tokens)
    print(f"{len(facts)} examples at {pixels.shape[3]} x {pixels.shape[2]} pixels, stride {TOKEN_STRIDE}", flush=True)
    held_out = [is_held_out(fact["photo"]) for fact in facts]
    unbroken = [n for n, fact in enumerate(facts) if fact["category"] != "broken"]
    edited = torch.tensor([float(fact["category"] != "untouched") for fact in facts])
    learn, test = (torch.tensor([n for n in unbroken if held_out[n] == is_test]) for is_test in (False, True))
    model = train_classifier(pixels, edited, learn)
    predicted = compute_logits(model, pixels, test) > 0
    accuracy = balanced_accuracy(predicted == edited[test].bool(), edited[test])
    print(f"1. control edits against untouched: {accuracy:.1%} of {len(test)}")
    learn, test = (torch.tensor([n for n in range(len(facts)) if held_out[n] == is_test]) for is_test in (False, True))
    model = train_classifier(pixels, edited, learn)
    edited_test = [n for n in test.tolist() if facts[n]["category"] != "untouched"]
    broken = [facts[n]["category"] == "broken" for n in edited_test]
    seams = compute_auroc(compute_logits(model, pixels, torch.tensor(edited_test)).tolist(), broken)
    edited_train = [n for n in learn.tolist() if facts[n]["category"] != "untouched"]
    prior = compute_auroc(compute_prior(facts, edited_train, edited_test).tolist(), broken)
    print(
        f"2. broken among {len(edited_test)} edited: AUROC {seams:.3f} by seams, {prior:.3f} by kind of edit and rule"
    )


if __name__ == "__main__":
    main()
