"""The public Python API: open a bundle, and predict photos with it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, overload

import numpy as np
from jaxtyping import UInt8

from logicls.constraints.spec.models import Spec
from logicls.data.image_io import letterbox
from logicls.plugins.selection import PluginOptions
from logicls.predict.input.loader import LoadedPhoto, decode_photo
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.readers import make_reader
from logicls.predict.readers.protocol import Reader
from logicls.predict.self_test import open_bundle
from logicls.records import Verdict

PhotoSource: TypeAlias = (
    str | os.PathLike[str] | UInt8[np.ndarray, "height width 3"] | UInt8[np.ndarray, "height width"]
)
"""A photo: the path of its file, or its pixels, RGB or grey, 8 bits per channel."""
ARRAY_NAME = "array"
"""Name in the verdict of a photo that was given as an array."""


class Inspector:
    """Predicts verdicts with one bundle. Made by `load`; not for several threads at a time.

    Use it in a `with` block, or call `close`, where decoding threads must not outlive it.
    """

    def __init__(self, reader: Reader, plugins: Plugins) -> None:
        """Combine a reader of photos with plug-ins."""
        self._reader = reader
        self._inspector = BatchInspector(reader, Path(), 0, plugins)
        self._input_size = self._inspector.input_size

    @property
    def spec(self) -> Spec:
        """The rules that verdicts are about."""
        return self._reader.bundle.spec

    @overload
    def predict(self, photos: PhotoSource, *, batch: int = 16) -> Verdict: ...  # type: ignore[overload-overlap]  # str is a sequence

    @overload
    def predict(self, photos: Sequence[PhotoSource], *, batch: int = 16) -> list[Verdict]: ...

    def predict(self, photos: PhotoSource | Sequence[PhotoSource], *, batch: int = 16) -> Verdict | list[Verdict]:
        """Predict the verdict on a photo, or on each photo of a list, in order.

        A file that is damaged, or no photo, has the outcome `review` with the reason.

        Args:
            photos: A path or an array (uint8, RGB [height width 3] or grey [height width]), or a list of either.
            batch: Photos that the model reads together, at most.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: An array has another shape or type.
            InferenceError: The machine failed (memory, accelerator); this says nothing about the photo.
        """
        if isinstance(photos, str | os.PathLike | np.ndarray):
            return self._inspector.inspect([self._load(photos)])[0]
        sources, verdicts = iter(photos), list[Verdict]()
        while loaded := [self._load(source) for source in islice(sources, batch)]:
            verdicts += self._inspector.inspect(loaded)
        return verdicts

    def _load(self, source: PhotoSource) -> LoadedPhoto:
        if isinstance(source, np.ndarray):
            return self._load_array(source)
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"no such photo: {path}")
        return decode_photo(Path(), self._input_size, str(path))

    def _load_array(self, pixels: np.ndarray[Any, Any]) -> LoadedPhoto:
        if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
            expected = "a photo is uint8 of shape [height width 3] (RGB) or [height width] (grey)"
            raise ValueError(f"{expected}, not {pixels.dtype} of shape {pixels.shape}")
        rgb = np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))
        size = rgb.shape[1], rgb.shape[0]
        if min(size) < 1:
            raise ValueError(f"a photo has at least one pixel, not {size[0]} x {size[1]}")
        digest = hashlib.sha256(rgb.tobytes()).hexdigest()
        return LoadedPhoto(
            ARRAY_NAME, rgb if self._input_size is None else letterbox(self._input_size, rgb), size, sha256=digest
        )

    def close(self) -> None:
        """End the threads that decode photos."""
        self._inspector.__exit__(None, None, None)

    def __enter__(self) -> Inspector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(bundle: str | os.PathLike[str], *, expert: str = "", reasoner: str = "", knowledge: str = "") -> Inspector:
    """Open a bundle: load its weights, run its self-test, and load its plug-ins.

    Args:
        bundle: The folder that `logicls train` wrote.
        expert: Name of an anomaly expert of the bundle, or `none`; the bundle's default where it is empty.
        reasoner: Name of a reasoner, or `none`; the bundle's default where it is empty.
        knowledge: Folder of product knowledge, or `none`; the bundle's default where it is empty.

    Raises:
        LogiClsError: The folder is no bundle, is damaged, fails its self-test, or has no such plug-in.
    """
    opened = open_bundle(Path(bundle))
    options = PluginOptions(expert=expert, reasoner=reasoner, knowledge=knowledge)
    plugins = options.resolve(opened.path).build(opened)
    return Inspector(make_reader(opened, plugins.retriever), plugins)
