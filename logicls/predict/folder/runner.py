"""A folder of photos, batch by batch: constant memory, resumable, a broken photo is a row and not the end.

Verdicts that are there already get other thresholds: nothing is read again, and the files change as a whole.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from logicls.errors import DataError, Problem, relative_path
from logicls.io import atomic, jsonl
from logicls.io.run_manifest import ManifestDifference, check_manifest
from logicls.models.bundle import Bundle
from logicls.predict.columns import write_verdicts_csv
from logicls.predict.input.listing import escape_name, list_photos, no_photos_error, spool_names
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import PluginManifest, Plugins
from logicls.predict.readers.factory import make_reader
from logicls.predict.readers.protocol import Reader
from logicls.predict.serialization import read_verdicts, verdict_to_json
from logicls.predict.uncertainty.thresholds import Thresholds, apply_thresholds
from logicls.records import Verdict

SYNC_SECONDS = 2.0
"""Seconds after which verdicts are on the disk itself at the latest: all that a power failure can take."""
Item = TypeVar("Item")
InspectPhotos = Callable[[Iterable[str]], Generator[list[Verdict], None, None]]
"""Gives the verdicts of the photos of these names, in their order, so many at a time as it likes."""
StartProgress = Callable[[int], Callable[[int], object]]
"""Told the number of photos before the first is looked at. What it gives is told how many more are finished; at first,
how many an earlier run had finished."""


def predict_folder(
    bundle: Bundle,
    photos: Path,
    out: Path,
    *,
    batch: int = 16,
    workers: int = 0,
    only: Sequence[str] = (),
    among: Container[str] | None = None,
    inspect: InspectPhotos | None = None,
    manifest: PluginManifest = PluginManifest(),  # noqa: B008  frozen
    on_start: StartProgress = lambda total: lambda count: None,
) -> int:
    """Write a verdict for every photo below the folder `photos` to the folder `out`; returns how many there are.

    `verdicts.jsonl` grows as the run goes on, in the order of the names; the same command continues it, however it was
    ended. `verdicts.csv` is written at the end. Nothing is written to `photos`, and `out` may lie below it.

    `batch` photos are looked at together, by the bundle's own model unless `inspect` makes the verdicts, with what it
    has `plugged` in. So many `workers` are processes that decode photos; a script that asks for them must be one that
    they can import (`if __name__ == "__main__"`). Without any, threads of this process do it, which a decoder's crash
    ends. A photo must match one of the globs `only`, which are relative to `photos`, and be one `among` those names.

    Raises:
        DataError: No photos (LC311, LC312, LC603, LC604), `out` holds verdicts of another bundle or folder (LC601,
            LC602) or those with other plug-ins (LC710), is the folder of photos (LC605), is written by another run
            (LC606) or cannot be (LC253), or the processes die (LC607).
    """
    names = _CountingIterator(_select_photos(photos, out, only, among))
    with open_verdict_writer(bundle, photos, out, manifest) as file, spool_names(_skip_predicted(names, out)) as left:
        finished = on_start(names.count)
        finished(names.count - left.count)
        with closing((inspect or inspect_with_reader(make_reader(bundle), photos, batch, workers))(left)) as inspected:
            for verdicts in inspected:
                file.add(verdicts)
                finished(len(verdicts))
    write_folder_csv(bundle, out)
    return names.count


def inspect_with_reader(
    reader: Reader, photos: Path, batch: int, workers: int, plugins: Plugins = Plugins()
) -> InspectPhotos:
    """Inspects photos here, with a reader and what is plugged in."""

    def inspect(names: Iterable[str]) -> Generator[list[Verdict], None, None]:
        with BatchInspector(reader, photos, workers, plugins) as inspector:
            for loaded in iterate_batches(inspector.load(names), batch):
                yield inspector.inspect(loaded)

    return inspect


class VerdictWriter:
    """The file of verdicts that a run adds to."""

    def __init__(self, file: jsonl.Appender) -> None:
        self._file, self._forced = file, time.monotonic()

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Append them. Raises `DataError` (LC253)."""
        for verdict in verdicts:
            self._file.append(verdict_to_json(verdict))
        if time.monotonic() - self._forced > SYNC_SECONDS:
            self._file.sync()
            self._forced = time.monotonic()


@contextmanager
def open_verdict_writer(
    bundle: Bundle, photos: Path, out: Path, manifest: PluginManifest = PluginManifest()  # noqa: B008  frozen
) -> Iterator[VerdictWriter]:  # fmt: skip
    """The verdicts in `out`, to be gone on with by this run alone. Raises `DataError`."""
    if out.resolve() == photos.resolve():
        problem = Problem("LC605", "is the folder of the photos.", relative_path(out), advice="Choose another --out.")
        raise DataError(problem)
    _write_manifest(out, bundle, photos, manifest)
    with jsonl.Appender(out / "verdicts.jsonl") as file:
        yield VerdictWriter(file)
        file.sync()


def read_predicted_names(out: Path) -> set[str]:
    """The photos that the folder holds verdicts of."""
    return set(jsonl.read_values(out / "verdicts.jsonl", "photo"))


def write_folder_csv(bundle: Bundle, out: Path) -> None:
    """Write `verdicts.csv` of the verdicts there are."""
    write_verdicts_csv(read_verdicts(out / "verdicts.jsonl"), out / "verdicts.csv", violations=bundle.spec.violations)


def iterate_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of that length, the last one shorter."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


class _CountingIterator:
    """Names, counted as they pass."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self.count = names, 0

    def __iter__(self) -> Iterator[str]:
        for name in self._names:
            self.count += 1
            yield name


def _select_photos(photos: Path, out: Path, only: Sequence[str], among: Container[str] | None) -> Iterator[str]:
    """The names of the photos that are wanted, of which there is one at least."""
    names = (name for name in list_photos(photos, patterns=only, exclude=out) if among is None or name in among)
    first = next(names, None)
    if first is None:
        raise no_photos_error(photos, only)
    return chain([first], names)


def _skip_predicted(names: Iterable[str], out: Path) -> Iterator[str]:
    """Those that the folder holds no verdict of."""
    seen = read_predicted_names(out)
    yield from (name for name in names if escape_name(name) not in seen)


def _write_manifest(out: Path, bundle: Bundle, photos: Path, manifest: PluginManifest) -> None:
    """Write what the verdicts are of, or check that it is the same bundle and folder, and the same plug-ins."""

    def refusal(differences: Sequence[ManifestDifference]) -> DataError:
        there = {difference.key: difference.recorded for difference in differences}
        advice = "Choose another --out, or delete the folder."
        if set(there) <= {"photos"}:
            message = f"holds verdicts of the photos in {there['photos']}, not of those in {photos.resolve()}."
            return DataError(Problem("LC602", message, relative_path(out), advice=advice))
        if set(there) <= {"photos", "plugins"}:
            was, now = _list_difference(there["plugins"], plugs), _list_difference(plugs, there["plugins"])
            message = f"holds verdicts made with {was}, where now there is {now}."
            advice = "Plug in what it was begun with, or choose another --out."
            return DataError(Problem("LC710", message, relative_path(out), advice=advice))
        message = f"holds verdicts of bundle {there.get('bundle', bundle.id)}, not of {bundle.id}."
        return DataError(Problem("LC601", message, str(out), advice=advice))

    plugs = [plug.to_text() for plug in manifest.plugins] or None  # none as in folders of before they were written down
    wanted = {"bundle": bundle.id, "spec": bundle.spec.hash, "product": bundle.spec.product.name}
    notes = {"folder": str(bundle.path.resolve())}
    if manifest.knowledge is not None:
        notes["knowledge"] = str(manifest.knowledge.resolve())
    check_manifest(out / "run.json", {**wanted, "photos": str(photos.resolve()), "plugins": plugs}, refusal, **notes)


def _list_difference(plugs: object, others: object) -> str:
    """Those plug-ins that are not among the others, as a list of `run.json` has them."""
    some, rest = (one if isinstance(one, list) else [] for one in (plugs, others))
    return ", ".join(str(plug) for plug in some if plug not in rest) or "no other plug-in"


VERDICTS_FILE = "verdicts.jsonl"


def rethreshold_folder(folder: Path, thresholds: Thresholds, *, violations: tuple[str, ...]) -> Mapping[str, int]:
    """Settle every verdict of a folder anew; returns how many there are of each outcome.

    One verdict is in memory at a time. A run that is broken off leaves the old file. Raises `DataError`.
    """
    lines, outcomes = folder / VERDICTS_FILE, Counter[str]()
    with atomic.open_atomic(lines) as file:
        for verdict in read_verdicts(lines):
            settled = apply_thresholds(verdict, thresholds)
            outcomes[settled.outcome] += 1
            plain = json.dumps(verdict_to_json(settled), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            file.write(plain + "\n")
    write_verdicts_csv(read_verdicts(lines), folder / "verdicts.csv", violations=violations)
    return outcomes
