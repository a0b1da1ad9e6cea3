"""A result made again: the same photo through the same bundle, and what is not as it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from logicls.data.image_io import file_sha256
from logicls.errors import DataError, Problem, suggest_name, relative_path
from logicls.io.run_manifest import read_manifest
from logicls.models.bundle import Bundle
from logicls.predict.folder.runner import inspect_with_reader, predict_folder, read_verdicts
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.readers.protocol import make_reader
from logicls.predict.serialization import result_id
from logicls.records import Answer, Verdict

PROBABILITY_TOLERANCE = 0.005
"""How far a probability may be off: a batch of another size sums up in another order."""
BOX_TOLERANCE = 1.0
"""How far a box's edge may be off, pixels of the photo."""


@dataclass(frozen=True, slots=True)
class FolderOrigin:
    """Where a folder of verdicts came from."""

    bundle: Path
    photos: Path
    knowledge: Path | None = None
    """Folder of what is known of products, where that was plugged in."""


def find_origin(verdicts: Path, *, bundle: Path | None = None, photos: Path | None = None) -> FolderOrigin:
    """Where bundle and photos lie: as given, or as `run.json` says.

    Raises:
        DataError: Neither is known (LC643).
    """
    told = read_manifest(verdicts / "run.json")
    found = {"--bundle": bundle or told.get("folder"), "--photos": photos or told.get("photos")}
    unknown = [option for option, place in found.items() if not place]
    if unknown:
        message = "does not say where the bundle and the photos lie."
        advice = f"Name them with {' and '.join(unknown)}."
        raise DataError(Problem("LC643", message, relative_path(verdicts / "run.json"), advice=advice))
    knowledge = told.get("knowledge")
    return FolderOrigin(
        Path(str(found["--bundle"])), Path(str(found["--photos"])), Path(str(knowledge)) if knowledge else None
    )  # fmt: skip


def find_result(prefix: str, verdicts: Path) -> Verdict:
    """The verdict with that result id; its first digits are enough where no other begins with them.

    Raises:
        DataError: There is none, or there are several (LC640).
    """
    found: dict[str, Verdict] = {}
    known: list[str] = []
    for verdict in read_verdicts(verdicts / "verdicts.jsonl"):
        known.append(result_id(verdict))
        if prefix and known[-1].startswith(prefix.lower()):
            found.setdefault(known[-1], verdict)
    if len(found) == 1:
        return next(iter(found.values()))
    message = f'there is no result "{prefix}".' if not found else f'"{prefix}" begins {len(found)} results.'
    near = suggest_name(prefix, found or known) if found or len(known) < 10_000 else ""
    advice = near if near.startswith("Did") or found else "verdicts.csv lists them in the column `result`."
    raise DataError(Problem("LC640", message, relative_path(verdicts / "verdicts.jsonl"), advice=advice))


def replay(before: Verdict, bundle: Bundle, photos: Path, plugins: Plugins = Plugins()) -> Verdict:  # noqa: B008  frozen
    """Predict the photo of a verdict again, with the same plug-ins.

    Raises:
        DataError: The photo is not what it was (LC641), the bundle is not the one (LC642), or a plug-in is not
            (LC712).
        PhotoError: The photo is not there any more.
    """
    path = photos / before.photo
    if bundle.id != before.bundle:
        message = f"the verdict is of bundle {before.bundle}, and this is {bundle.id}."
        advice = "Name the folder of that bundle with --bundle."
        raise DataError(Problem("LC642", message, relative_path(bundle.path), advice=advice))
    now = file_sha256(path)
    if before.sha256 and now != before.sha256:
        message = f"has changed since: its SHA-256 was {before.sha256[:16]}…, and is {now[:16]}…."
        advice = "Put back the photo that the verdict is of."
        raise DataError(Problem("LC641", message, relative_path(path), advice=advice))
    _check_plugins(before, plugins)
    reader = make_reader(bundle, plugins.retriever)
    with tempfile.TemporaryDirectory(prefix="logicls-") as folder:
        alone = Path(folder, "photos", path.name)
        alone.parent.mkdir()
        shutil.copyfile(path, alone)
        inspect = inspect_with_reader(reader, alone.parent, 1, 0, plugins)
        predict_folder(bundle, alone.parent, Path(folder, "out"), inspect=inspect, manifest=plugins.manifest)
        (again,) = read_verdicts(Path(folder, "out", "verdicts.jsonl"))
    return replace(again, photo=before.photo)


def _check_plugins(before: Verdict, plugins: Plugins) -> None:
    """What is plugged in knows and does what it did, or that is said of each that does not. Raises `DataError`."""
    then = {plug.kind: plug.to_text() for plug in before.plugins}
    now = {plug.kind: plug.to_text() for plug in plugins.manifest.plugins}
    problems = [
        Problem("LC712", f"the verdict was made with {then.get(kind, f'no {kind}')}, and now it is "
                f"{now.get(kind, f'no {kind}')}.", advice="Put back what it was made with, or predict again.")
        for kind in sorted({*then, *now}) if then.get(kind) != now.get(kind)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)


def compare_verdicts(before: Verdict, now: Verdict) -> tuple[str, ...]:
    """What is not the same, within `CHANCE` and `PIXELS`; times are not compared."""
    return tuple(_compare_fields(before, now))


def _compare_fields(before: Verdict, now: Verdict) -> Iterator[str]:
    for name in ("outcome", "violations", "stated", "thresholds", "spec", "documents"):
        was, is_ = getattr(before, name), getattr(now, name)
        if was != is_:
            yield f"{name}: was {_value_to_text(was)}, is {_value_to_text(is_)}"
    if not _is_close([before.score], [now.score], PROBABILITY_TOLERANCE):
        yield f"score: was {before.score:.4f}, is {now.score:.4f}"
    then, here = dict(before.scores), dict(now.scores)
    for name in sorted({*then, *here}):
        if name not in then or name not in here or not _is_close([then[name]], [here[name]], PROBABILITY_TOLERANCE):
            yield f"score of {name}: was {_score_to_text(then.get(name))}, is {_score_to_text(here.get(name))}"
    answers = {answer.query: answer for answer in now.answers}
    for answer in before.answers:
        yield from _compare_answers(answer, answers.pop(answer.query, None))
    yield from (f"{query}: was not asked" for query in answers)


def _compare_answers(was: Answer, now: Answer | None) -> Iterator[str]:
    if now is None:
        yield f"{was.query}: is not asked"
        return
    if (was.values, was.readable) != (now.values, now.readable):
        yield f"{was.query}: was {_answer_to_text(was)}, is {_answer_to_text(now)}"
    if not _is_close(_edges(was), _edges(now), BOX_TOLERANCE):
        yield f"{was.query}: the boxes were {_boxes_to_text(was)}, are {_boxes_to_text(now)}"
    if not _is_close([was.confidence], [now.confidence], PROBABILITY_TOLERANCE):
        yield f"{was.query}: was sure to {was.confidence:.4f}, is to {now.confidence:.4f}"


def _is_close(some: list[float], others: list[float], by: float) -> bool:
    return len(some) == len(others) and all(abs(a - b) <= by for a, b in zip(some, others, strict=True))


def _edges(answer: Answer) -> list[float]:
    return [edge for box in answer.boxes for edge in (box.x1, box.y1, box.x2, box.y2)]


def _boxes_to_text(answer: Answer) -> str:
    return " ".join(f"[{b.x1:.0f} {b.y1:.0f} {b.x2:.0f} {b.y2:.0f}]" for b in answer.boxes) or "none"


def _answer_to_text(answer: Answer) -> str:
    return _value_to_text(answer.values) if answer.readable else "unreadable"


def _value_to_text(value: str | Iterable[str] | None) -> str:
    if value is None:
        return "unreadable"
    return (value if isinstance(value, str) else ", ".join(value)) or "none"


def _score_to_text(value: float | None) -> str:
    return "not there" if value is None else f"{value:.4f}"
