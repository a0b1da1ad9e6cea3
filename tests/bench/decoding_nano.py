"""Decoding methods of nano that `decoding_comparison.py` compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from forced_generation import VOTES, Method, generate

from logicls import answer_format
from logicls.constraints.checker.decomposition import locate_query_id
from logicls.models.bundle import Bundle
from logicls.predict.readers.detections import answer_attribute, answer_location, select_detections
from logicls.predict.readers.nano import NanoReader, TokenizedQueries
from logicls.predict.readers.protocol import Detection, predict_arrays
from logicls.prompts.templates import question_phrasings
from logicls.records import Answer, Subquery


def main_content(answer: Answer) -> object:
    """Return the parts of an answer on which methods must agree."""
    return answer.values, tuple(tuple(round(v) for v in (b.x1, b.y1, b.x2, b.y2)) for b in answer.boxes)


class SingleQuestionReader:
    """Answers one question of a nano bundle in one phrasing."""

    def __init__(self, bundle: Bundle, query: Subquery, is_detected: bool, phrasing: int) -> None:
        self.reader, self.query = NanoReader(bundle), query
        texts = question_phrasings(query, bundle.spec)
        tokens = self.reader.codec.encode_prompt(texts[phrasing % len(texts)])
        tokenized = TokenizedQueries(
            torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.long), torch.tensor([len(tokens) - 1])
        )
        own = {
            "tokenized_queries": tokenized,
            "token_queries": [] if is_detected else [0],
            "location_queries": [0] if query.kind == "locate" else [],
        }
        self.reader.queries = (query,)
        self.reader.__dict__.update(own)

    @torch.inference_mode()
    def ask(self, photo: np.ndarray, found: dict[str, list[Detection]]) -> Answer:
        """Answer with one call. Detections are stored in `found` for the questions for attributes."""
        reader, query, size = self.reader, self.query, (photo.shape[1], photo.shape[0])
        outputs = reader.answer_queries(reader.encode_photos([photo]))
        if query.kind == "locate":
            return answer_location(query, found.setdefault(query.id, reader.detect(outputs, [size])[0][0]), size)
        if not reader.token_queries:
            instances = [select_detections(found[locate_query_id(query.id)], size)]
            return answer_attribute(
                reader.model,
                reader.codec,
                query,
                instances,
                outputs.feature_map,
                outputs.queries[:, 0],
                outputs.fine_pixels,
            )[0]
        return reader._token_answer(
            query, outputs.decoded.tokens[0, 0].tolist(), outputs.decoded.probabilities[0, 0].tolist()
        )


def nano_methods(bundle: Bundle, double: bool = False) -> dict[str, Method]:
    """Return the methods by name."""
    reader = NanoReader(bundle)
    detected, queries = reader.detected_ids, reader.queries
    calls = [[SingleQuestionReader(bundle, q, q.id in detected, k) for q in queries] for k in range(VOTES)]
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
            answers = answers_of[id(photo)]
            tokens = tokenizer(answer_format.format_answers(answers), add_special_tokens=False)["input_ids"]
            if short:
                tokens = [reader.codec.none] * sum(1 + 4 * len(a.boxes) + len(a.values) for a in answers)
            inputs = {**bundle.processor.image_processor([photo]), "input_ids": torch.cat([photo_ids, prompt], 1)}
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            generate(bundle.model, inputs, [*tokens, reader.codec.end], reader.codec.end)
        return [list(map(main_content, answers_of[id(photo)])) for photo in photos]

    answers_of: dict[int, list[Answer]] = {}

    def one_pass(photos: Sequence[np.ndarray]) -> list[list[object]]:
        predictions = [one for k in range(0, len(photos), 16) for one in predict_arrays(reader, photos[k : k + 16])]
        answers_of.update({id(p): [*one.answers, one.stated] for p, one in zip(photos, predictions, strict=True)})
        return [list(map(main_content, answers_of[id(photo)])) for photo in photos]

    def doubled(photos: Sequence[np.ndarray]) -> list[list[object]]:
        predictions = [one for k in range(0, len(photos), 16) for one in predict_arrays(twice, photos[k : k + 16])]
        return [[*map(main_content, one.answers[: len(queries) - 1]), main_content(one.stated)] for one in predictions]

    return {
        "one pass": one_pass, "(a) one by one": one_by_one, "(b) five votes": lambda p: one_by_one(p, VOTES),
        "(c) one text": one_text, "(c) in short": lambda p: one_text(p, short=True), "twice the questions": doubled,
    }  # fmt: skip
