"""Replay of a result: inspect the same photo with the same bundle again, and list the differences."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from logicls.constraints.checker.spec_changes import find_trained_spec
from logicls.data.image_io import file_sha256
from logicls.errors import DataError, Problem, relative_path, suggest_name
from logicls.io.run_manifest import read_manifest
from logicls.predict.folder.rules import find_spec
from logicls.predict.plugin_protocols import Plugins
from logicls.predict.serialization import read_verdicts, result_id
from logicls.records import Answer, Verdict

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle

PROBABILITY_TOLERANCE = 0.005
"""Accepted difference of a probability: a batch of another size sums up in another order."""
BOX_TOLERANCE = 1.0
"""Accepted difference of a box's edge, pixels of the photo."""


@dataclass(frozen=True, slots=True)
class FolderOrigin:
    """Inputs that a folder of verdicts was made from."""

    bundle: Path
    photos: Path
    knowledge: Path | None = None
    """Folder of the retriever's knowledge base, if there was one."""


def find_origin(verdicts: Path, *, bundle: Path | None = None, photos: Path | None = None) -> FolderOrigin:
    """Return the given bundle and photos, or else those in `run.json` of the folder.

    Raises:
        DataError: One of them is in neither (LC643).
    """
    manifest = read_manifest(verdicts / "run.json")
    paths = {"--bundle": bundle or manifest.get("folder"), "--photos": photos or manifest.get("photos")}
    missing = [option for option, path in paths.items() if not path]
    if missing:
        message = "does not say where the bundle and the photos are."
        advice = f"Give them with {' and '.join(missing)}."
        raise DataError(Problem("LC643", message, relative_path(verdicts / "run.json"), advice=advice))
    knowledge = manifest.get("knowledge")
    return FolderOrigin(
        Path(str(paths["--bundle"])), Path(str(paths["--photos"])), Path(str(knowledge)) if knowledge else None
    )


def find_result(prefix: str, verdicts: Path) -> Verdict:
    """Find the verdict with a result id that begins with `prefix`.

    Raises:
        DataError: No id or several ids begin with it (LC640).
    """
    matches: dict[str, Verdict] = {}
    ids: list[str] = []
    for verdict in read_verdicts(verdicts / "verdicts.jsonl"):
        ids.append(result_id(verdict))
        if prefix and ids[-1].startswith(prefix.lower()):
            matches.setdefault(ids[-1], verdict)
    if len(matches) == 1:
        return next(iter(matches.values()))
    message = f'there is no result "{prefix}".' if not matches else f'{len(matches)} results begin with "{prefix}".'
    suggestion = suggest_name(prefix, matches or ids) if matches or len(ids) < 10_000 else ""
    is_useful = suggestion.startswith("Did") or matches
    advice = suggestion if is_useful else "verdicts.csv lists them in the column `result_id`."
    raise DataError(Problem("LC640", message, relative_path(verdicts / "verdicts.jsonl"), advice=advice))


def restore_rules(bundle: Bundle, before: Verdict, verdicts: Path) -> Bundle:
    """Return the bundle with the rules that a verdict was judged by, from the folder of the verdict.

    Raises:
        DataError: Neither the bundle nor the folder has them (LC635).
    """
    from logicls.models.bundle import replace_spec

    if before.spec in ("", bundle.spec.hash):
        return bundle
    if before.spec == bundle.question_spec.hash:
        return replace_spec(bundle, find_trained_spec(bundle.path))
    file = find_spec(verdicts, bundle.path)
    judged = replace_spec(bundle, file)
    if judged.spec.hash != before.spec:
        message = f"the verdict was judged with spec {before.spec}, and this is {judged.spec.hash}."
        advice = "Judge the verdicts with that spec: `logicls judge`."
        raise DataError(Problem("LC635", message, relative_path(file), advice=advice))
    return judged


def replay(before: Verdict, bundle: Bundle, photos: Path, plugins: Plugins = Plugins()) -> Verdict:  # noqa: B008  frozen
    """Inspect the photo of a verdict again, with the same plug-ins.

    Raises:
        DataError: The photo has changed (LC641), the bundle is another one (LC642), or a plug-in is (LC712).
        PhotoError: The photo is missing.
    """
    # Imported here, because the command `report` uses this module and must not load torch.
    from logicls.predict.folder.runner import inspect_with_reader, predict_folder
    from logicls.predict.readers import make_reader

    path = photos / before.photo
    if bundle.id != before.bundle:
        message = f"the verdict is of bundle {before.bundle}, and this is {bundle.id}."
        advice = "Give the folder of that bundle with --bundle."
        raise DataError(Problem("LC642", message, relative_path(bundle.path), advice=advice))
    digest = file_sha256(path)
    if before.sha256 and digest != before.sha256:
        message = f"has changed since: its SHA-256 was {before.sha256[:16]}…, and is {digest[:16]}…."
        advice = "Restore the photo of the verdict."
        raise DataError(Problem("LC641", message, relative_path(path), advice=advice))
    _check_plugins(before, plugins)
    reader = make_reader(bundle, plugins.retriever)
    with tempfile.TemporaryDirectory(prefix="logicls-") as folder:
        copy = Path(folder, "photos", path.name)
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        inspect = inspect_with_reader(reader, copy.parent, 1, 0, plugins)
        predict_folder(bundle, copy.parent, Path(folder, "out"), inspect=inspect, manifest=plugins.manifest)
        (again,) = read_verdicts(Path(folder, "out", "verdicts.jsonl"))
    return replace(again, photo=before.photo)


def _check_plugins(before: Verdict, plugins: Plugins) -> None:
    """Raise `DataError` (LC712) with every plug-in whose name, knowledge or settings differ from the verdict's."""
    then = {plugin.kind: plugin.to_text() for plugin in before.plugins}
    now = {plugin.kind: plugin.to_text() for plugin in plugins.manifest.plugins}
    problems = [
        Problem(
            "LC712",
            f"the verdict was made with {then.get(kind, f'no {kind}')}, and now it is {now.get(kind, f'no {kind}')}.",
            advice="Use the plug-in of the verdict, or predict again.",
        )
        for kind in sorted({*then, *now})
        if then.get(kind) != now.get(kind)
    ]
    if problems:
        raise DataError(problems)


def compare_verdicts(before: Verdict, now: Verdict) -> tuple[str, ...]:
    """List the differences beyond `PROBABILITY_TOLERANCE` and `BOX_TOLERANCE`; times are not compared."""
    return tuple(_compare_fields(before, now))


def _compare_fields(before: Verdict, now: Verdict) -> Iterator[str]:
    for name in ("outcome", "violations", "stated", "thresholds", "spec"):
        yield from _compare_values(name, getattr(before, name), getattr(now, name))
    texts_before, texts_now = _plugin_texts(before), _plugin_texts(now)
    for name in sorted({*texts_before, *texts_now}):
        yield from _compare_values(name, texts_before.get(name, ()), texts_now.get(name, ()))
    if not _are_close([before.score], [now.score], PROBABILITY_TOLERANCE):
        yield f"score: was {before.score:.4f}, is {now.score:.4f}"
    scores_before, scores_now = dict(before.scores), dict(now.scores)
    for name in sorted({*scores_before, *scores_now}):
        was, is_ = scores_before.get(name), scores_now.get(name)
        if was is None or is_ is None or not _are_close([was], [is_], PROBABILITY_TOLERANCE):
            yield f"score of {name}: was {_score_to_text(was)}, is {_score_to_text(is_)}"
    answers = {answer.query: answer for answer in now.answers}
    for answer in before.answers:
        yield from _compare_answers(answer, answers.pop(answer.query, None))
    yield from (f"{query}: was not a query" for query in answers)


def _compare_values(name: str, was: str | Sequence[str] | None, is_: str | Sequence[str] | None) -> Iterator[str]:
    if was != is_:
        yield f"{name}: was {_value_to_text(was)}, is {_value_to_text(is_)}"


def _plugin_texts(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    """Return the lists of texts in the payloads of plug-ins by their key; numbers and times are not compared."""
    return {
        key: tuple(map(str, value))
        for result in verdict.plugin_results
        for key, value in result.payload
        if isinstance(value, tuple) and value and all(isinstance(one, str) for one in value)
    }


def _compare_answers(was: Answer, now: Answer | None) -> Iterator[str]:
    if now is None:
        yield f"{was.query}: is no query any more"
        return
    if (was.values, was.readable) != (now.values, now.readable):
        yield f"{was.query}: was {_answer_to_text(was)}, is {_answer_to_text(now)}"
    if not _are_close(_edges(was), _edges(now), BOX_TOLERANCE):
        yield f"{was.query}: the boxes were {_boxes_to_text(was)}, are {_boxes_to_text(now)}"
    if not _are_close([was.confidence], [now.confidence], PROBABILITY_TOLERANCE):
        yield f"{was.query}: the confidence was {was.confidence:.4f}, is {now.confidence:.4f}"


def _are_close(values: list[float], others: list[float], tolerance: float) -> bool:
    pairs = zip(values, others, strict=False)
    return len(values) == len(others) and all(abs(a - b) <= tolerance for a, b in pairs)


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
    return "missing" if value is None else f"{value:.4f}"
