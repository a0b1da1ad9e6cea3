"""What is to be plugged into the predictor of a bundle: what options ask for, and what the bundle has of its own.

What a bundle has plugged in where nothing else is asked for: `plugins.json` beside its weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from logicls.errors import BundleError, DataError, Problem, relative
from logicls.io.atomic import write_text
from logicls.plugins.registry import found, known
from logicls.plugins.settings import ReasonerSettings, without_effect
from logicls.predict.plugin_protocols import Plugged, PlugIns
from logicls.records import PluginInfo

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle

FILE = "plugins.json"
NONE = "none"
"""Asks for nothing where something stands."""


class Standing(BaseModel):
    """plugins.json; every key may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expert: str = ""
    """Its name; what it knows is a file of the bundle."""
    reasoner: ReasonerSettings | None = None
    """Its name alone, or with its settings."""
    knowledge: str = ""
    """Folder of what is known of products, a path relative to the bundle."""

    @field_validator("reasoner", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


def standing(folder: Path) -> Standing:
    """Nothing for a bundle without the file. Raises `BundleError` (LC723)."""
    file = folder / FILE
    if not file.exists():
        return Standing()
    try:
        return Standing.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        places = [(".".join(map(str, one["loc"])), one["msg"][:1].lower() + one["msg"][1:]) for one in error.errors()]
        told = "; ".join(f"{key}: {message}" if key else message for key, message in places)
        raise _wrong(file, f"names no plug-in with {told}") from error
    except (OSError, ValueError) as error:
        raise _wrong(file, f"cannot be read: {error}") from error


def stand(folder: Path, **plugged: str | Mapping[str, object]) -> None:
    """From now on these are on where the bundle predicts, beside those that are. Raises `BundleError`."""
    there = {kind: told for kind, told in standing(folder).model_dump(exclude_none=True).items() if told}
    write_text(folder / FILE, json.dumps({**there, **plugged}, indent=1, sort_keys=True))


def _wrong(file: Path, what: str) -> BundleError:
    advice = 'Write {"expert": "patches"}, or delete the file.'
    return BundleError(Problem("LC723", f"{what}.", relative(file), advice=advice))


OPTIONS: Mapping[str, str] = {"tokens": "--think-tokens", "steps": "--think-steps", "open": "--open"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be plugged in."""

    expert: str = ""
    """Its name; none if empty."""
    reasoner: ReasonerSettings | None = None
    knowledge: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.expert or self.reasoner or self.knowledge)

    def plugged(self, bundle: Path) -> Plugged:
        """What verdicts will say of them, without making them.

        Raises:
            BundleError: The bundle has no such expert (LC721).
            SpecError, DataError: The knowledge cannot be read (LC001 to LC025, LC701 to LC703).
        """
        plugs = []
        if self.expert:
            from logicls.plugins.anomaly.storage import kept_hash

            plugs.append(PluginInfo("expert", self.expert, kept_hash(bundle, self.expert)))
        if self.reasoner is not None:
            from logicls.plugins.reasoning.second_look import in_effect

            plugs.append(PluginInfo("reasoner", self.reasoner.name, settings=in_effect(self.reasoner)))
        if self.knowledge is not None:
            from logicls.plugins.retrieval.knowledge import knowledge_hash, read_knowledge

            plugs.append(PluginInfo("retriever", "documents", knowledge_hash(read_knowledge(self.knowledge))))
        return Plugged(tuple(plugs), self.knowledge)

    def made(self, bundle: Bundle) -> PlugIns:
        """The plug-ins, made for the bundle. Raises `BundleError`, `SpecError`, `DataError`."""
        if not self:
            return PlugIns()
        expert = found("expert", self.expert)(bundle) if self.expert else None
        retriever = found("retriever", "documents")(bundle, self.knowledge) if self.knowledge else None
        reasoner = None
        if self.reasoner is not None:
            from logicls.plugins.reasoning.second_look import second_of

            reasoner = second_of(bundle, self.reasoner)
        return PlugIns(retriever, expert, reasoner, self.plugged(bundle.path))


@dataclass(frozen=True, slots=True)
class Asked:
    """What options say; empty or None where they say nothing."""

    expert: str = ""
    reasoner: str = ""
    knowledge: str = ""
    """A folder."""
    tokens: int | None = None
    steps: int | None = None
    open: float | None = None

    def __bool__(self) -> bool:
        chosen = (self.expert, self.reasoner, self.knowledge)
        return any(name not in ("", NONE) for name in chosen) or bool(self._given())

    def here(self, bundle: Path) -> Wanted:
        """With what the bundle has plugged in where nothing else is asked for, and without what is not wanted.

        Raises:
            DataError: There is no plug-in of a name (LC700), or an option would do nothing (LC711).
            BundleError: What the bundle has plugged in cannot be read (LC723).
        """
        usual = standing(bundle)
        expert = self.expert or usual.expert
        own = bundle / usual.knowledge if usual.knowledge else None
        knowledge = Path(self.knowledge) if self.knowledge else own
        if expert not in ("", NONE):
            known("expert", expert)
        return Wanted(
            "" if expert == NONE else expert,
            self._looking_again(usual.reasoner),
            None if self.knowledge == NONE or knowledge is None else knowledge.resolve(),
        )

    def _given(self) -> dict[str, int | float]:
        settings = {"tokens": self.tokens, "steps": self.steps, "open": self.open}
        return {name: value for name, value in settings.items() if value is not None}

    def _looking_again(self, usual: ReasonerSettings | None) -> ReasonerSettings | None:
        """A reasoner by its name, or the bundle's, with the settings that options say."""
        given = self._given()
        before = usual.model_dump(exclude_none=True) if usual is not None and not self.reasoner else {}
        name = self.reasoner or str(before.get("name", NONE))
        if name == NONE:
            _refuse(list(given), "no second look is asked for", "Add --reasoner, or leave it out.")
            return None
        known("reasoner", name)
        advice = "Leave it out, or choose another reasoner."
        _refuse(without_effect(name, given), f'the reasoner "{name}" has none', advice)
        return ReasonerSettings.model_validate({**before, "name": name, **given})


def _refuse(idle: Sequence[str], why: str, advice: str) -> None:
    """An option that would do nothing is an error (LC711)."""
    if idle:
        raise DataError(
            [Problem("LC711", f"{OPTIONS[name]} does nothing here: {why}.", advice=advice) for name in idle]
        )


def again(plugs: Sequence[PluginInfo], knowledge: Path | None) -> Wanted:
    """What a verdict was made with, to be plugged in again; `knowledge` is where that lies now.

    Raises:
        DataError: It was made with knowledge, and nobody says where that is (LC712).
    """
    by_kind = {plug.kind: plug for plug in plugs}
    if "retriever" in by_kind and knowledge is None:
        message = f"the verdict was made with {by_kind['retriever'].to_text()}, and nothing says where that lies."
        raise DataError(Problem("LC712", message, advice="Name the folder with --knowledge."))
    looked = by_kind.get("reasoner")
    chosen = {n: v for n, v in looked.settings if n in ReasonerSettings.model_fields} if looked is not None else {}
    return Wanted(
        by_kind["expert"].name if "expert" in by_kind else "",
        ReasonerSettings.model_validate({"name": looked.name, **chosen}) if looked is not None else None,
        knowledge if "retriever" in by_kind else None,
    )
