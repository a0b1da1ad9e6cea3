"""Inspection of photos in batches: loaded photos in, verdicts out.

A photo that cannot be decoded, or that the model's processor rejects, gets a verdict for review. A fault of the machine
raises `InferenceError` and gives no verdict.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from logicls.data.image_io import storage_issue_to_text
from logicls.errors import PhotoError
from logicls.predict.amendments import apply_plugins
from logicls.predict.decision import decide_photo, load_decision_model
from logicls.predict.input.listing import escape_name
from logicls.predict.input.loader import LoadedPhoto, convert_faults, is_out_of_memory, make_loader, to_inference_error
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.readers.protocol import Prediction, Reader
from logicls.predict.self_test import read_storage_kinds
from logicls.records import Verdict


class BatchInspector:
    """Inspects the photos of one folder with one reader. A context manager: its processes end with the block."""

    def __init__(self, reader: Reader, photos: Path, workers: int, plugins: Plugins = Plugins()) -> None:  # noqa: B008  frozen
        """Load what verdicts are based on, and start the decoders.

        Args:
            reader: Reads the photos.
            photos: Folder of the photos.
            workers: Processes that decode photos; 0 for threads of this process.
            plugins: Plug-ins. They get photos in their own size, so decoders do not letterbox them.
        """
        self._bundle, self._reader = reader.bundle, reader
        self._trained_storage = read_storage_kinds(reader.bundle)
        self._decision_model = load_decision_model(reader.bundle)
        self._plugins = plugins
        self.input_size = None if plugins else reader.input_size
        """(height, width) to which photos are letterboxed when they are decoded; None for their own size."""
        self._loader = make_loader(photos, self.input_size, workers)

    def load(self, names: Iterable[str]) -> Iterator[LoadedPhoto]:
        """Decode the photos of these names ahead, in order.

        Raises:
            DataError: The processes that decode photos die (LC607).
            InferenceError: Memory is exhausted (LC609).
        """
        return self._loader.stream(names)

    def inspect(self, photos: Sequence[LoadedPhoto]) -> list[Verdict]:
        """Inspect photos in one batch; returns their verdicts in order.

        Raises:
            InferenceError: The model or a plug-in failed on this machine (LC609).
        """
        start = time.perf_counter()
        decoded = [photo for photo in photos if photo.pixels is not None]
        predictions = iter(self._predict(decoded))
        share = (time.perf_counter() - start) / max(len(decoded), 1)
        verdicts = []
        for photo in photos:
            prediction, seconds = (photo.error, 0.0) if photo.pixels is None else (next(predictions), share)
            verdicts.append(self._decide(photo, prediction, photo.seconds + seconds))
        return self._apply_plugins(photos, verdicts) if self._plugins else verdicts

    def _apply_plugins(self, photos: Sequence[LoadedPhoto], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Let plug-ins amend the verdicts of decoded photos, and record the plug-ins in all."""
        pixels = {n: photo.pixels for n, photo in enumerate(photos) if photo.pixels is not None}
        with convert_faults():
            amended = apply_plugins(self._plugins, list(pixels.values()), [verdicts[n] for n in pixels])
        by_number = dict(zip(pixels, amended, strict=True))
        manifest = self._plugins.manifest.plugins
        return [replace(by_number.get(n, verdict), plugins=manifest) for n, verdict in enumerate(verdicts)]

    def _predict(self, photos: list[LoadedPhoto]) -> list[Prediction | str]:
        """Return the prediction of each photo, or the reason why the model's processor rejects it.

        A batch with a rejected photo, or too large for the memory, is repeated one photo at a time.
        """
        if not photos:
            return []
        try:
            return [*self._reader.predict_raw(photos)]
        except PhotoError as error:
            if len(photos) == 1:
                return ["; ".join(problem.message for problem in error.problems)]
        except (RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
            if len(photos) == 1 or not is_out_of_memory(error):
                raise to_inference_error(error) from error
        return [prediction for photo in photos for prediction in self._predict([photo])]

    def _decide(self, photo: LoadedPhoto, prediction: Prediction | str, seconds: float) -> Verdict:
        bundle, name = self._bundle, escape_name(photo.name)
        if isinstance(prediction, str) or photo.pixels is None:
            reasons: tuple[str, ...] = (str(prediction),)
            verdict = Verdict(
                name,
                "review",
                reasons=reasons,
                unconditional_reasons=reasons,
                spec=bundle.spec.hash,
                trained_spec=bundle.question_spec.hash,
            )
        else:
            untrained = [kind for kind in photo.storage_issues if kind not in self._trained_storage]
            reasons = tuple(f"{storage_issue_to_text(kind)}, unlike the training photos" for kind in untrained)
            verdict = decide_photo(
                self._decision_model, prediction, name, photo.pixels, size=photo.size, unconditional_reasons=reasons
            )
        version = bundle.spec.product.version
        return replace(verdict, sha256=photo.sha256, bundle=bundle.id, version=version, seconds=round(seconds, 6))

    def __enter__(self) -> BatchInspector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loader.__exit__(kind, error, trace)
