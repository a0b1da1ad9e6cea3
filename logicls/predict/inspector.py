"""Photos → verdicts: loaded by others, looked at in batches; a photo that cannot be looked at is a verdict too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from logicls.data.image_io import storage_issue_to_text
from logicls.predict.amendments import apply_plugins
from logicls.predict.decision import load_decision_model, decide_photo
from logicls.predict.input.listing import escape_name
from logicls.predict.input.loader import LoadedPhoto, make_loader
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.readers.nano import Prediction
from logicls.predict.readers.protocol import Reader, input_size, predict_raw
from logicls.predict.self_test import read_storage_kinds
from logicls.records import Verdict


class BatchInspector:
    """Inspects the photos of one folder with one reader. Use it in a `with` block, which no process outlives."""

    def __init__(self, reader: Reader, photos: Path, workers: int, plugins: Plugins = Plugins()) -> None:  # noqa: B008  frozen
        """So many `workers` are processes that decode; without any, threads of this process do it.

        Plug-ins are shown photos as they are, which are then brought to the input's size in this process.
        """
        self._bundle, self._reader, self._known = reader.bundle, reader, read_storage_kinds(reader.bundle)
        self._grounds = load_decision_model(reader.bundle)
        self._plugins = plugins
        self._loader = make_loader(photos, None if plugins else input_size(self._reader), workers)

    def load(self, names: Iterable[str]) -> Iterator[LoadedPhoto]:
        """The photos of these names, in their order, decoded ahead. Raises `DataError` (LC607)."""
        return self._loader.stream(names)

    def inspect(self, photos: Sequence[LoadedPhoto]) -> list[Verdict]:
        """A verdict a photo, in order, all looked at in one batch; those that could not be read go to review."""
        began = time.perf_counter()
        whole = [photo for photo in photos if photo.pixels is not None]
        looks = iter(self._looks(whole))
        each = (time.perf_counter() - began) / max(len(whole), 1)
        verdicts = []
        for photo in photos:
            look, taken = (photo.error, 0.0) if photo.pixels is None else (next(looks), each)
            verdicts.append(self._verdict(photo, look, photo.seconds + taken))
        return self._amended(photos, verdicts) if self._plugins else verdicts

    def _amended(self, photos: Sequence[LoadedPhoto], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The same, with what plug-ins made of those that could be read; all say what was plugged in."""
        shown = {n: photo.pixels for n, photo in enumerate(photos) if photo.pixels is not None}
        came = dict(
            zip(shown, apply_plugins(self._plugins, list(shown.values()), [verdicts[n] for n in shown]), strict=True)
        )
        plugs = self._plugins.manifest.plugins
        return [replace(came.get(n, verdict), plugins=plugs) for n, verdict in enumerate(verdicts)]

    def _looks(self, photos: list[LoadedPhoto]) -> list[Prediction | str]:
        """What was read on each, or why nothing was: one photo that the model does not take is not all of them."""
        if not photos:
            return []
        try:
            return [*predict_raw(self._reader, photos)]
        except (ValueError, RuntimeError, MemoryError):
            each = [self._look_alone(photo) for photo in photos]
            if len(photos) > 1 and all(isinstance(look, str) for look in each):
                raise
            return each

    def _look_alone(self, photo: LoadedPhoto) -> Prediction | str:
        try:
            return predict_raw(self._reader, [photo])[0]
        except (ValueError, RuntimeError, MemoryError) as error:
            return f"the model cannot look at it: {str(error) or type(error).__name__}"

    def _verdict(self, photo: LoadedPhoto, look: Prediction | str, seconds: float) -> Verdict:
        bundle, name = self._bundle, escape_name(photo.name)
        if isinstance(look, str) or photo.pixels is None:
            why = (str(look),)
            verdict = Verdict(name, "review", reasons=why, unconditional_reasons=why, spec=bundle.spec.hash)
        else:
            strange = [
                f"{storage_issue_to_text(k)}, as no photo was that it learned from"
                for k in photo.storage_issues
                if k not in self._known
            ]
            verdict = decide_photo(
                self._grounds, look, name, photo.pixels, size=photo.size, unconditional_reasons=strange
            )
        version = bundle.spec.product.version
        return replace(verdict, sha256=photo.sha256, bundle=bundle.id, version=version, seconds=round(seconds, 6))

    def __enter__(self) -> BatchInspector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loader.__exit__(kind, error, trace)
