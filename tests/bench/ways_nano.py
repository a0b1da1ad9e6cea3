"""The ways to ask a nano bundle that `predict_ways.py` compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from ways_told import VOTES, Way, generate

from logicls import answer_format
from logicls.constraints.checker.decomposition import locate_query_id
from logicls.models.bundle import Bundle
from logicls.predict.readers.detections import answer_attribute, answer_location, select_detections
from logicls.predict.readers.nano import NanoReader, TokenizedQueries
from logicls.predict.readers.protocol import Detection, predict_arrays
from logicls.prompts.templates import question_phrasings
from logicls.records import Answer, Subquery


def main_content(answer: Answer) -> object:
    """What two ways must agree on."""
    return answer.values, tuple(tuple(round(v) for v in (b.x1, b.y1, b.x2, b.y2)) for b in answer.boxes)


class NanoAlone:
    """One question of a nano bundle, asked in one wording by itself."""

    def __init__(self, bundle: Bundle, query: Subquery, pointed: bool, wording: int) -> None:
        self.reader, self.query = NanoReader(bundle), query
        texts = question_phrasings(query, bundle.spec)
        words = self.reader.codec.encode_prompt(texts[wording % len(texts)])
        asked = TokenizedQueries(
            torch.tensor([words]), torch.ones(1, len(words), dtype=torch.long), torch.tensor([len(words) - 1])
        )
        own = {"asked": asked, "spoken": [] if pointed else [0], "where": [0] if query.kind == "locate" else []}
        self.reader.queries = (query,)
        self.reader.__dict__.update(own)

    @torch.inference_mode()
    def ask(self, photo: np.ndarray, found: dict[str, list[Detection]]) -> Answer:
        """One call. Where things are is kept in `found` for the questions what they are like."""
        reader, query, size = self.reader, self.query, (photo.shape[1], photo.shape[0])
        read = reader.answer_queries(reader.encode_photos([photo]))
        if query.kind == "locate":
            return answer_location(query, found.setdefault(query.id, reader.detect(read, [size])[0][0]), size)
        if not reader.token_queries:
            bearers = [select_detections(found[locate_query_id(query.id)], size)]
            return answer_attribute(
                reader.bundle.model,
                reader.codec,
                query,
                bearers,
                read.feature_map,
                read.queries[:, 0],
                read.fine_pixels,
            )[0]
        return reader._worded(query, read.decoded.tokens[0, 0].tolist(), read.decoded.probabilities[0, 0].tolist())


def nano_ways(bundle: Bundle, double: bool = False) -> dict[str, Way]:
    """The ways of a nano bundle."""
    reader = NanoReader(bundle)
    pointed, queries = reader.detected_ids, reader.queries
    calls = [[NanoAlone(bundle, q, q.id in pointed, k) for q in queries] for k in range(VOTES)]
    twice = NanoReader(bundle)
    twice.queries = queries * 2

    def one_by_one(photos: Sequence[np.ndarray], votes: int = 1) -> list[list[object]]:
        out = []
        for photo in photos:
            polls = [{} for _ in range(votes)]
            given = [[call.ask(photo, found) for call in calls[k]] for k, found in enumerate(polls)]
            out.append([Counter(map(main_content, each)).most_common(1)[0][0] for each in zip(*given, strict=True)])
        return out

    @torch.inference_mode()
    def one_text(photos: Sequence[np.ndarray], short: bool = False) -> list[list[object]]:
        tokenizer, prompt = bundle.processor.tokenizer, reader.tokenized_queries.tokens
        photo_ids = torch.full((1, bundle.processor.image_tokens), reader.codec.image)
        for photo in photos:
            answers = known[id(photo)]
            words = tokenizer(answer_format.format_answers(answers), add_special_tokens=False)["input_ids"]
            if short:
                words = [reader.codec.none] * sum(1 + 4 * len(a.boxes) + len(a.values) for a in answers)
            inputs = {**bundle.processor.image_processor([photo]), "input_ids": torch.cat([photo_ids, prompt], 1)}
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            generate(bundle.model, inputs, [*words, reader.codec.end], reader.codec.end)
        return [list(map(main_content, known[id(photo)])) for photo in photos]

    known: dict[int, list[Answer]] = {}

    def one_pass(photos: Sequence[np.ndarray]) -> list[list[object]]:
        looks = [look for k in range(0, len(photos), 16) for look in predict_arrays(reader, photos[k : k + 16])]
        known.update({id(p): [*look.answers, look.stated] for p, look in zip(photos, looks, strict=True)})
        return [list(map(main_content, known[id(photo)])) for photo in photos]

    def doubled(photos: Sequence[np.ndarray]) -> list[list[object]]:
        looks = [look for k in range(0, len(photos), 16) for look in predict_arrays(twice, photos[k : k + 16])]
        return [[*map(main_content, look.answers[: len(queries) - 1]), main_content(look.stated)] for look in looks]

    return {
        "one pass": one_pass, "(a) one by one": one_by_one, "(b) five votes": lambda p: one_by_one(p, VOTES),
        "(c) one text": one_text, "(c) in short": lambda p: one_text(p, short=True), "twice the questions": doubled,
    }  # fmt: skip
