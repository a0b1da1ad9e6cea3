"""Before the whole network learns: what looks at things closely learns by itself what this product's values look like.

It is a small network, and a square of 32 pixels is seen in a thousandth of the time of a photo: in a minute it sees as
many things as the whole network does in an hour. The whole then begins with it (`logicls.models.nano.crop_encoder`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from logicls.io.atomic import write_bytes
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import Edges
from logicls.models.nano.crop_encoder import BACKBONE_FILE, CropBackbone, add_highlights, normalize, extract_crops
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.synth.dataset import read_rows
from logicls.synth.invariances import is_orientation_free
from logicls.train.batching import lit
from logicls.train.distributed import ALONE
from logicls.train.lightning_module import one_cycle, run_loop, seed_step
from logicls.train.metrics_log import Listener
from logicls.train.preflight import Flight
from logicls.train.run import Run

STEPS, BATCH = 2400, 32
LR, WEIGHT_DECAY = 2e-3, 0.05
MOST = 12_000
"""Things that are cut out; more fill the memory, not the model."""
CUT = 64
"""Pixels of what is cut out around a thing on a side, which is `AROUND` times the thing's longer side."""
AROUND = 2.0
SOFT, SOFTEST = 0.5, 0.55
"""Share of the things that are out of focus while learning, and what is left of their pixels on a side, at least."""
MOST_AT_ONCE = 256
"""Things that are looked at together when nothing is learned."""
Batch = dict[str, Tensor]
Word = tuple[str, int]
"""An attribute's question, and the token of one of its values."""


@dataclass(frozen=True, slots=True)
class Cuttings:
    """Things that bear an attribute, each cut out of its photo with what is around it."""

    pixels: UInt8[np.ndarray, "things side side 3"]
    boxes: Float[np.ndarray, "things 4"]
    """x1, y1, x2, y2 as shares of the cutting's side."""
    values: Int[np.ndarray, " things"]
    """Number of the value of each in `words`."""
    words: tuple[Word, ...]
    any_way: bool
    """They are the same however they lie."""

    @property
    def among(self) -> list[Bool[np.ndarray, " words"]]:
        """Of each attribute that things here bear, in order, which words are its values."""
        asked = np.array([query for query, _ in self.words])
        return [asked == query for query in sorted({self.words[value][0] for value in self.values.tolist()})]


class MarkReader(lightning.LightningModule):
    """Tells marks apart; only the part that looks is kept."""

    def __init__(self, width: int, steps: int, seed: int, *, kinds: int) -> None:
        """`kinds`: how many there are to be told apart."""
        super().__init__()
        self.steps, self.seed = steps, seed
        self.look = CropBackbone(width)
        self.head = nn.Linear(width, kinds)

    def forward(self, batch: Batch) -> Float[Tensor, "batch kinds"]:
        """Logits of what is in the boxes of a batch, of those `among` which it is to be told, where it says so."""
        any_way = bool(batch["any_way"])
        cut = extract_crops(
            batch["pixels"], batch["boxes"][:, None], augment=self.training, orientation_invariant=any_way
        )
        cut = add_highlights(cut) if self.training else cut
        logits: Tensor = self.head(self.look(cut[:, :, 0]))
        return logits.masked_fill(~batch["among"], -torch.inf) if "among" in batch else logits

    def training_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """`loss`: mean cross-entropy."""
        seed_step(self.seed, self.global_step)
        return {"loss": F.cross_entropy(self(batch), batch["marks"])}

    def configure_optimizers(self) -> Any:
        """See `one_cycle`."""
        return one_cycle(self, steps=self.steps, lr=LR, weight_decay=WEIGHT_DECAY)


def learn_closely(model: NanoForImageTextToText, run: Run, heard: Listener) -> None:
    """Give what looks closely in the model what `STEPS` steps of `BATCH` things of the run's examples teach it.

    Nothing happens where things are not looked at closely, or where the examples have no two values to tell apart. The
    first process learns, and the others read what it wrote to the run's folder; so does a run that goes on.
    """
    glimpse, path = model.detection_head.crop_encoder, run.work / BACKBONE_FILE
    if glimpse is None:
        return
    if run.rank.is_first and not path.exists():
        learned, aside = (run.split.learned, run.split.heldout)
        known = cuttings(run.flight, run.synth, learned, run.recipe.seed)
        if len(known.words) > 1:
            heard.say(f"{len(known.values)} things are cut out and looked at by themselves first, {STEPS} steps")
            reader = _learned(glimpse.backbone, known, run, heard)
            write_bytes(path, save(reader.look.state_dict()))
            others = cuttings(run.flight, run.synth, aside, run.recipe.seed, known.words)
            if len(others.values):
                heard.say(f"of {len(others.values)} kept aside {right(reader, others):.1%} are told rightly")
    run.rank.wait()
    if path.exists():
        glimpse.backbone.load_state_dict(load_file(path))


def cuttings(flight: Flight, synth: Path, numbers: Sequence[int], seed: int, words: Sequence[Word] = ()) -> Cuttings:
    """Things of those examples that bear an attribute, at most `MOST`, drawn by chance; `words`, if they are known."""
    queries = [row["queries"] for row in islice(read_rows(synth, ("queries",)), len(flight.examples))]
    found: list[tuple[int, Edges, Word]] = [
        (number, edges, (query, value))
        for number in numbers
        for query, things in zip(queries[number], flight.examples[number].things, strict=True)
        for edges, value in things
        if value != IGNORE_INDEX
    ]
    order = np.random.default_rng([seed, 23]).permutation(len(found))[:MOST]
    some = sorted((found[place] for place in order), key=lambda one: one[0])
    known = tuple(words) or tuple(sorted({word for _, _, word in some}))
    some = [one for one in some if one[2] in known]
    detail = flight.processor.image_processor.detail
    cut = [_cut(flight.pixels[number], np.multiply(edges, detail)) for number, edges, _ in some]
    return Cuttings(
        np.array([pixels for pixels, _ in cut], np.uint8).reshape(-1, CUT, CUT, 3),
        np.array([box for _, box in cut], np.float32).reshape(-1, 4),
        np.array([known.index(word) for _, _, word in some], np.int64),
        known,
        any_way=is_orientation_free(flight.spec),
    )


def _cut(
    photo: UInt8[np.ndarray, "height across 3"], box: Float[np.ndarray, " 4"]
) -> tuple[UInt8[np.ndarray, "side side 3"], Float[np.ndarray, " 4"]]:
    """What is around a box (x1, y1, x2, y2 in pixels of the photo), `CUT` pixels wide, and where the box is in it."""
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    side = max(float(size.max()), 1.0) * AROUND
    x, y = np.round(middle - side / 2).astype(int)
    span = max(round(side), 2)
    inside = photo[max(y, 0) : y + span, max(x, 0) : x + span]
    top, left = max(-y, 0), max(-x, 0)
    margins = top, span - inside.shape[0] - top, left, span - inside.shape[1] - left
    whole = cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE)
    seen = cv2.resize(whole, (CUT, CUT), interpolation=cv2.INTER_AREA if span > CUT else cv2.INTER_LINEAR)
    return np.asarray(seen, np.uint8), (box - np.array([x, y, x, y])) / span


class Shown(IterableDataset[Batch]):
    """Batches of cuttings, attributes in turns, each value as often as any other; each depends on its step and seed."""

    def __init__(self, known: Cuttings, *, seed: int, jitter: float) -> None:
        super().__init__()
        self.known, self.seed, self.jitter = known, seed, jitter
        self.among = known.among
        self.things = [np.flatnonzero(known.values == number) for number in range(len(known.words))]

    def __iter__(self) -> Iterator[Batch]:
        for step in range(STEPS):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """As `Marks.batch`, and `among`: the values of the attribute that it is about."""
        rng = np.random.default_rng([self.seed, step, 23])
        among = self.among[step % len(self.among)]
        chosen = [int(rng.choice(self.things[value])) for value in rng.choice(np.flatnonzero(among), BATCH)]
        shown = np.stack([_softened(pixels, rng) for pixels in lit(self.known.pixels[chosen], self.jitter, rng)])
        return _batch(self.known, chosen, shown, among)


def _softened(pixels: UInt8[np.ndarray, "side side 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Fewer pixels, and as many again; or, by chance, the same."""
    left = round(CUT * float(rng.uniform(SOFTEST, 1)))
    if rng.random() >= SOFT:
        return pixels
    fewer = cv2.resize(pixels, (left, left), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(fewer, (CUT, CUT), interpolation=cv2.INTER_LINEAR), np.uint8)


def _batch(known: Cuttings, chosen: Sequence[int], pixels: np.ndarray, among: Bool[np.ndarray, " words"]) -> Batch:
    return {
        "pixels": normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()),
        "boxes": torch.from_numpy(known.boxes[chosen]),
        "marks": torch.from_numpy(known.values[chosen]),
        "any_way": torch.tensor(known.any_way),
        "among": torch.from_numpy(among),
    }


class Heard(Callback):
    """Tells how far it is."""

    def __init__(self, heard: Listener) -> None:
        self.heard = heard

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        self.heard.looked(trainer.global_step, STEPS)


def _learned(look: CropBackbone, known: Cuttings, run: Run, heard: Listener) -> MarkReader:
    """What tells the values of those cuttings apart, on from that `look`; ready to be asked."""
    seed = run.recipe.seed
    reader = MarkReader(look.width, STEPS, seed, kinds=len(known.words))
    reader.look.load_state_dict(look.state_dict())
    batches = Shown(known, seed=seed, jitter=run.recipe.jitter)
    run_loop(reader, batches, [Heard(heard)], steps=STEPS, checkpoint=None, rank=ALONE)
    reader.train(mode=False)
    return reader


def right(reader: MarkReader, known: Cuttings) -> float:
    """Share of the things that are told rightly, looked at upright."""
    hits = 0
    for among in known.among:
        things = np.flatnonzero(among[known.values])
        for some in np.array_split(things, -(-len(things) // MOST_AT_ONCE)):
            batch = _batch(known, some.tolist(), known.pixels[some], among)
            with torch.inference_mode():
                told = reader(batch).argmax(-1)
            hits += int((told == batch["marks"]).sum())
    return hits / len(known.values)
