"""Prediction of a folder of photos, in batches with constant memory; an interrupted run continues.

A photo that cannot be read is a verdict like any other. `rethreshold_folder` applies other thresholds to the verdicts
of a folder without prediction.
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
from logicls.predict.folder.rules import RULES_FOLDER, write_bundle_rules
from logicls.predict.input.listing import escape_name, list_photos, no_photos_error, spool_names
from logicls.predict.inspector import BatchInspector
from logicls.predict.plugin_protocols import PluginManifest, Plugins
from logicls.predict.readers import make_reader
from logicls.predict.readers.protocol import Reader
from logicls.predict.serialization import read_verdicts, verdict_to_json, write_verdicts_csv
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, Thresholds, apply_thresholds, write_thresholds
from logicls.records import Verdict

SYNC_SECONDS = 2.0
"""Seconds after which verdicts are synced to disk, at the latest: the loss of a power failure."""
Item = TypeVar("Item")
InspectPhotos = Callable[[Iterable[str]], Generator[list[Verdict], None, None]]
"""Generator of the verdicts of the photos with these names, in order, in batches of any size."""
StartProgress = Callable[[int], Callable[[int], object]]
"""Callback that is given the number of photos before the first is inspected. It returns a callback that is given the
number of further photos that are finished; at first those of an earlier run."""


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
    """Write a verdict for every photo below the folder `photos` to the folder `out`, and return their number.

    `verdicts.jsonl` is appended to during the run, in the order of the names; a second call continues an interrupted
    run. `verdicts.csv` is written at the end. Nothing is written to `photos`; `out` may be a folder in it.

    Args:
        bundle: Bundle to predict with.
        photos: Folder of the photos.
        out: Folder of the verdicts.
        batch: Number of photos that are predicted together.
        workers: Number of processes that decode photos; a script that uses them must be importable (`if __name__ ==
            "__main__"`). With 0, threads of this process decode, and a crash of a decoder ends the process.
        only: Globs relative to `photos`; a photo must match one of them, if there are any.
        among: Names of photos; others are left out.
        inspect: Generator of verdicts, instead of the bundle's own model without plug-ins.
        manifest: Plug-ins of `inspect`.
        on_start: Callback for progress.

    Raises:
        DataError: There are no photos (LC311, LC312, LC603, LC604), `out` has verdicts of another bundle or folder
            (LC601, LC602) or of other plug-ins (LC710), is the folder of photos (LC605), is written by another run
            (LC606) or cannot be written (LC253), or worker processes crash (LC607).
    """
    names = _CountingIterator(_select_photos(photos, out, only, among))
    with open_verdict_writer(bundle, photos, out, manifest) as writer, spool_names(_skip_predicted(names, out)) as rest:
        on_progress = on_start(names.count)
        on_progress(names.count - rest.count)
        inspect = inspect or inspect_with_reader(make_reader(bundle), photos, batch, workers)
        with closing(inspect(rest)) as batches:
            for verdicts in batches:
                writer.add(verdicts)
                on_progress(len(verdicts))
    write_folder_csv(bundle, out)
    return names.count


def inspect_with_reader(
    reader: Reader,
    photos: Path,
    batch: int,
    workers: int,
    plugins: Plugins = Plugins(),  # noqa: B008  frozen
) -> InspectPhotos:
    """Return a function that inspects photos in this process, with a reader and plug-ins."""

    def inspect(names: Iterable[str]) -> Generator[list[Verdict], None, None]:
        with BatchInspector(reader, photos, workers, plugins) as inspector:
            for loaded in iterate_batches(inspector.load(names), batch):
                yield inspector.inspect(loaded)

    return inspect


class VerdictWriter:
    """Writer of a run's verdicts."""

    def __init__(self, file: jsonl.Appender) -> None:
        self._file, self._synced = file, time.monotonic()

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Append verdicts. Raises `DataError` (LC253)."""
        for verdict in verdicts:
            self._file.append(verdict_to_json(verdict))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._file.sync()
            self._synced = time.monotonic()


@contextmanager
def open_verdict_writer(
    bundle: Bundle, photos: Path, out: Path, manifest: PluginManifest = PluginManifest()  # noqa: B008  frozen
) -> Iterator[VerdictWriter]:  # fmt: skip
    """Open `verdicts.jsonl` in `out` for this run only, and write or check `run.json`. Raises `DataError`."""
    if out.resolve() == photos.resolve():
        problem = Problem("LC605", "is the folder of the photos.", relative_path(out), advice="Choose another --out.")
        raise DataError(problem)
    _write_manifest(out, bundle, photos, manifest)
    write_bundle_rules(bundle, out)
    with jsonl.Appender(out / "verdicts.jsonl") as file:
        yield VerdictWriter(file)
        file.sync()


def read_predicted_names(out: Path) -> set[str]:
    """Read the names of the photos with a verdict in the folder."""
    return set(jsonl.read_values(out / "verdicts.jsonl", "photo"))


def write_folder_csv(bundle: Bundle, out: Path) -> None:
    """Write `verdicts.csv` from `verdicts.jsonl`."""
    write_verdicts_csv(read_verdicts(out / "verdicts.jsonl"), out / "verdicts.csv", violations=bundle.spec.violations)


def iterate_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of that length; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class _CountingIterator:
    """Iterable that counts the names it yields."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self.count = names, 0

    def __iter__(self) -> Iterator[str]:
        for name in self._names:
            self.count += 1
            yield name


def _select_photos(photos: Path, out: Path, only: Sequence[str], among: Container[str] | None) -> Iterator[str]:
    """Yield the names of the selected photos. Raises `DataError` without any."""
    names = (name for name in list_photos(photos, patterns=only, exclude=out) if among is None or name in among)
    first = next(names, None)
    if first is None:
        raise no_photos_error(photos, only)
    return chain([first], names)


def _skip_predicted(names: Iterable[str], out: Path) -> Iterator[str]:
    """Yield the names without a verdict in the folder."""
    predicted = read_predicted_names(out)
    yield from (name for name in names if escape_name(name) not in predicted)


def _write_manifest(out: Path, bundle: Bundle, photos: Path, manifest: PluginManifest) -> None:
    """Write `run.json`, or check that bundle, photos and plug-ins are those in it."""

    def make_error(differences: Sequence[ManifestDifference]) -> DataError:
        recorded = {difference.key: difference.recorded for difference in differences}
        advice = "Choose another --out, or delete the folder."
        if set(recorded) <= {"photos"}:
            message = f"has verdicts of the photos in {recorded['photos']}, not of those in {photos.resolve()}."
            return DataError(Problem("LC602", message, relative_path(out), advice=advice))
        if set(recorded) <= {"photos", "plugins"}:
            was = _list_difference(recorded["plugins"], plugins)
            now = _list_difference(plugins, recorded["plugins"])
            message = f"has verdicts made with {was}, and now there is {now}."
            advice = "Use the plug-ins of its verdicts, or choose another --out."
            return DataError(Problem("LC710", message, relative_path(out), advice=advice))
        if set(recorded) <= {"spec", "photos", "plugins"}:
            message = f"has verdicts judged with spec {recorded['spec']}, not with {bundle.spec.hash}."
            advice = "Choose another --out; `logicls judge` settles its verdicts with another spec."
            return DataError(Problem("LC601", message, relative_path(out), advice=advice))
        message = f"has verdicts of bundle {recorded.get('bundle', bundle.id)}, not of {bundle.id}."
        return DataError(Problem("LC601", message, str(out), advice=advice))

    plugins = [plugin.to_text() for plugin in manifest.plugins] or None  # None as in older folders
    settings: dict[str, object] = {
        "bundle": bundle.id,
        "spec": bundle.spec.hash,
        "product": bundle.spec.product.name,
        "photos": str(photos.resolve()),
        "plugins": plugins,
    }
    notes = {"folder": str(bundle.path.resolve()), "trained_spec": bundle.question_spec.hash}
    if manifest.knowledge is not None:
        notes["knowledge"] = str(manifest.knowledge.resolve())
    check_manifest(out / "run.json", settings, make_error, **notes)


def _list_difference(plugins: object, others: object) -> str:
    """Return the plug-ins of one list of `run.json` that are not in the other."""
    own, rest = (one if isinstance(one, list) else [] for one in (plugins, others))
    return ", ".join(str(plugin) for plugin in own if plugin not in rest) or "no other plug-in"


VERDICTS_FILE = "verdicts.jsonl"


def rethreshold_folder(folder: Path, thresholds: Thresholds, *, violations: tuple[str, ...]) -> Mapping[str, int]:
    """Apply thresholds to every verdict of a folder, and return the number of each outcome.

    One verdict is in memory at a time, and an interrupted run leaves the old file. Raises `DataError`.
    """
    path, outcomes = folder / VERDICTS_FILE, Counter[str]()
    with atomic.open_atomic(path) as file:
        for verdict in read_verdicts(path):
            updated = apply_thresholds(verdict, thresholds)
            outcomes[updated.outcome] += 1
            line = json.dumps(verdict_to_json(updated), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            file.write(line + "\n")
    write_verdicts_csv(read_verdicts(path), folder / "verdicts.csv", violations=violations)
    if (folder / RULES_FOLDER).is_dir():
        write_thresholds(folder / RULES_FOLDER / THRESHOLDS_FILE, thresholds)
    return outcomes
