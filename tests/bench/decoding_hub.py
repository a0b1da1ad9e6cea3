"""Decoding methods of hub models that `decoding_comparison.py` compares."""

from __future__ import annotations

import runpy
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from forced_generation import VOTES, Method, generate
from transformers import LogitsProcessor, LogitsProcessorList

from logicls.models.bundle import Bundle, load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter
from logicls.models.hub.bundle_io import describe_base
from logicls.models.hub.chat_template import make_inputs, pad_photo, place_photo
from logicls.models.hub.loading import conventions_for, find_checkpoint, load_model, load_processor
from logicls.models.hub.shared_prefix import append_text
from logicls.predict.readers.hub import HubReader
from logicls.prompts.templates import question_phrasings

BATCH = 8
"""Photos per batch; all have one size."""


class GrammarLogitsProcessor(LogitsProcessor):
    """Applies the grammar of one question to `generate` of transformers."""

    def __init__(self, reader: HubReader, matcher: object, begin: int) -> None:
        self.reader, self.matcher, self.read = reader, matcher.deep_copy(), begin

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set tokens that the grammar forbids to minus infinity."""
        for token in ids[0, self.read :].tolist():
            self.matcher.consume_token(token)
        self.read = ids.shape[1]
        forced = [self.reader.decoder.end] if self.matcher.is_stopped() else self.matcher.compute_ff_tokens()
        if forced:
            only = torch.full_like(scores, -torch.inf)
            only[0, forced[0]] = 0.0
            return only
        return scores.masked_fill(~torch.from_numpy(self.reader.decoder._mask(self.matcher)), -torch.inf)


def make_hub_bundle(folder: Path, spec: Path) -> Bundle:
    """Make a bundle of a tiny random model of the Qwen3-VL architecture with these rules."""
    makers = runpy.run_path(str(Path(__file__).parents[1] / "checkpoints.py"))["FAMILIES"]
    makers["qwen3_vl"](folder / "base")
    base = find_checkpoint(str(folder / "base"))
    adapter = add_adapter(load_model(base.path, precision="float32"), rank=2, alpha=4, dropout=0.0, scope="everywhere")
    hub = describe_base(base, merged=True, precision="float32", four_bit=False, boxes=conventions_for("qwen3_vl").boxes)
    write_hub_bundle(folder / "bundle", adapter=adapter, processor=load_processor(base.path), hub=hub, spec_file=spec,
                     max_boxes=2)  # fmt: skip
    return load_bundle(folder / "bundle")


def hub_methods(bundle: Bundle) -> dict[str, Method]:
    """Return the methods by name."""
    reader, twice = HubReader(bundle), HubReader(bundle)
    codec, end = reader.codec, reader.codec.chat_format.end_token
    twice.__dict__["compiled_queries"] = reader.compiled_queries * 2
    prompts = [
        [codec.tokenize(codec.chat_format.format_question(texts[k % len(texts)])) for k in range(VOTES)]
        for texts in (question_phrasings(compiled.query, bundle.spec) for compiled in reader.compiled_queries)
    ]
    tokens_of: dict[int, list[list[int]]] = {}

    def given(photo: np.ndarray, prompt: Sequence[int]) -> dict[str, torch.Tensor]:
        placement = place_photo((photo.shape[1], photo.shape[0]), bundle.processor)
        return append_text(make_inputs(bundle.processor, codec.chat_format, [pad_photo(photo, placement)]), prompt)

    @torch.inference_mode()
    def one_by_one(photos: Sequence[np.ndarray], votes: int = 1) -> list[list[object]]:
        out = []
        for photo in photos:
            answers: list[object] = []
            for compiled, texts in zip(reader.compiled_queries, prompts, strict=True):
                decoded = []
                for prompt in texts[:votes]:
                    inputs = given(photo, prompt)
                    begin = inputs["input_ids"].shape[1]
                    tokens = bundle.model.generate(
                        **inputs, do_sample=False, max_new_tokens=400, eos_token_id=end, pad_token_id=end,
                        logits_processor=LogitsProcessorList([GrammarLogitsProcessor(reader, compiled.matcher, begin)]),
                    )[0, begin:]  # fmt: skip
                    decoded.append(codec.detokenize([token for token in tokens.tolist() if token != end]))
                answers.append(Counter(decoded).most_common(1)[0][0])
            out.append(answers)
        return out

    @torch.inference_mode()
    def one_pass(photos: Sequence[np.ndarray], by: HubReader = reader) -> list[list[object]]:
        out = []
        for k in range(0, len(photos), BATCH):
            batch = photos[k : k + BATCH]
            prefix, _ = by.encode_photos(batch)
            for photo, decoded in zip(batch, by.answer_queries(prefix), strict=True):
                own = decoded[: len(reader.compiled_queries)]
                tokens_of[id(photo)] = [[one.token for one in each if one.token != end] for each in own]
                out.append([by._text(each) for each in own])
        return out

    @torch.inference_mode()
    def one_text(photos: Sequence[np.ndarray]) -> list[list[object]]:
        for photo in photos:
            prompt = [token for texts in prompts for token in texts[0]]
            generate(bundle.model, given(photo, prompt), [*chain(*tokens_of[id(photo)]), end], end)
        return [[codec.detokenize(tokens) for tokens in tokens_of[id(photo)]] for photo in photos]

    return {
        "one pass": one_pass, "(a) one by one": one_by_one, "(b) five votes": lambda p: one_by_one(p, VOTES),
        "(c) one text": one_text, "twice the questions": lambda p: one_pass(p, twice),
    }  # fmt: skip
