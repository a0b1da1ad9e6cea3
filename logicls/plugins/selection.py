"""Selection of the plug-ins for a bundle: command-line options, then the bundle's defaults in `plugins.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from logicls.errors import BundleError, DataError, Problem, relative_path
from logicls.io.atomic import write_text
from logicls.plugins.registry import factory_path, load_factory
from logicls.plugins.settings import ReasonerSettings, find_unused
from logicls.predict.plugin_protocols import PluginManifest, Plugins
from logicls.records import PluginInfo

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle

PLUGINS_FILE = "plugins.json"
NO_PLUGIN = "none"
"""Option value that switches off a default plug-in."""


class DefaultPlugins(BaseModel):
    """Plug-ins that a bundle uses unless options say otherwise; the content of plugins.json. Every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expert: str = ""
    """Name of the expert; its state is a file of the bundle."""
    reasoner: ReasonerSettings | None = None
    """Settings of the reasoner; a plain name is accepted for default settings."""
    knowledge: str = ""
    """Knowledge folder, relative to the bundle."""

    @field_validator("reasoner", mode="before")
    @classmethod
    def _expand_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


def read_default_plugins(folder: Path) -> DefaultPlugins:
    """Read the default plug-ins of a bundle; empty if it has no plugins.json. Raises `BundleError` (LC723)."""
    file = folder / PLUGINS_FILE
    if not file.exists():
        return DefaultPlugins()
    try:
        return DefaultPlugins.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [(".".join(map(str, one["loc"])), one["msg"][:1].lower() + one["msg"][1:]) for one in error.errors()]
        details = "; ".join(f"{key}: {message}" if key else message for key, message in problems)
        raise _invalid_file(file, f"is invalid: {details}") from error
    except (OSError, ValueError) as error:
        raise _invalid_file(file, f"cannot be read: {error}") from error


def set_default_plugins(folder: Path, **plugins: str | Mapping[str, object]) -> None:
    """Add plug-ins to the bundle's defaults, replacing those of the same kind. Raises `BundleError` (LC723)."""
    before = {
        kind: value for kind, value in read_default_plugins(folder).model_dump(exclude_none=True).items() if value
    }
    write_text(folder / PLUGINS_FILE, json.dumps({**before, **plugins}, indent=1, sort_keys=True))


def _invalid_file(file: Path, why: str) -> BundleError:
    advice = 'Write {"expert": "patches"}, or delete the file.'
    return BundleError(Problem("LC723", f"{why}.", relative_path(file), advice=advice))


OPTION_NAMES: Mapping[str, str] = {"tokens": "--think-tokens", "steps": "--think-steps", "min_entropy": "--min-entropy"}
"""Reasoner setting → command-line option."""


@dataclass(frozen=True, slots=True)
class PluginSelection:
    """Plug-ins selected for a bundle, not yet loaded."""

    expert: str = ""
    """Name of the expert; empty for none."""
    reasoner: ReasonerSettings | None = None
    knowledge: Path | None = None
    """Folder of the retriever; None for no retriever."""

    def __bool__(self) -> bool:
        return bool(self.expert or self.reasoner or self.knowledge)

    def describe(self, bundle: Path) -> PluginManifest:
        """Describe the selected plug-ins as verdicts record them, without loading them.

        Raises:
            BundleError: The bundle has no such expert (LC721).
            SpecError, DataError: The knowledge cannot be read (LC001 to LC025, LC701 to LC703).
        """
        infos = []
        if self.expert:
            from logicls.plugins.anomaly.storage import hash_expert

            infos.append(PluginInfo("expert", self.expert, hash_expert(bundle, self.expert)))
        if self.reasoner is not None:
            from logicls.plugins.reasoning.second_look import effective_settings

            infos.append(PluginInfo("reasoner", self.reasoner.name, settings=effective_settings(self.reasoner)))
        if self.knowledge is not None:
            from logicls.plugins.retrieval.knowledge import hash_knowledge, read_knowledge

            infos.append(PluginInfo("retriever", "documents", hash_knowledge(read_knowledge(self.knowledge))))
        return PluginManifest(tuple(infos), self.knowledge)

    def build(self, bundle: Bundle) -> Plugins:
        """Load the selected plug-ins for a bundle. Raises `BundleError`, `SpecError`, `DataError`."""
        if not self:
            return Plugins()
        expert = load_factory("expert", self.expert)(bundle) if self.expert else None
        retriever = load_factory("retriever", "documents")(bundle, self.knowledge) if self.knowledge else None
        reasoner = None
        if self.reasoner is not None:
            from logicls.plugins.reasoning.second_look import build_reasoner

            reasoner = build_reasoner(bundle, self.reasoner)
        return Plugins(retriever, expert, reasoner, self.describe(bundle.path))


@dataclass(frozen=True, slots=True)
class PluginOptions:
    """Command-line options about plug-ins; empty or None where an option was not given."""

    expert: str = ""
    reasoner: str = ""
    knowledge: str = ""
    """A folder, or `none`."""
    tokens: int | None = None
    steps: int | None = None
    min_entropy: float | None = None

    def __bool__(self) -> bool:
        names = (self.expert, self.reasoner, self.knowledge)
        return any(name not in ("", NO_PLUGIN) for name in names) or bool(self._reasoner_settings())

    def resolve(self, bundle: Path) -> PluginSelection:
        """Combine the options with the bundle's defaults; `none` switches off a default.

        Raises:
            DataError: A plug-in name is unknown (LC700), or an option has no effect (LC711).
            BundleError: The bundle's plugins.json is invalid (LC723).
        """
        defaults = read_default_plugins(bundle)
        expert = self.expert or defaults.expert
        own = bundle / defaults.knowledge if defaults.knowledge else None
        knowledge = Path(self.knowledge) if self.knowledge else own
        if expert not in ("", NO_PLUGIN):
            factory_path("expert", expert)
        return PluginSelection(
            "" if expert == NO_PLUGIN else expert,
            self._resolve_reasoner(defaults.reasoner),
            None if self.knowledge == NO_PLUGIN or knowledge is None else knowledge.resolve(),
        )

    def _reasoner_settings(self) -> dict[str, int | float]:
        settings = {"tokens": self.tokens, "steps": self.steps, "min_entropy": self.min_entropy}
        return {name: value for name, value in settings.items() if value is not None}

    def _resolve_reasoner(self, default: ReasonerSettings | None) -> ReasonerSettings | None:
        """Return the selected or default reasoner with the options' settings. Raises `DataError` (LC700, LC711)."""
        settings = self._reasoner_settings()
        before = default.model_dump(exclude_none=True) if default is not None and not self.reasoner else {}
        name = self.reasoner or str(before.get("name", NO_PLUGIN))
        if name == NO_PLUGIN:
            _reject_unused(list(settings), "no reasoner is selected", "Add --reasoner, or omit the option.")
            return None
        factory_path("reasoner", name)
        advice = "Omit the option, or select another reasoner."
        _reject_unused(find_unused(name, settings), f'the reasoner "{name}" does not use it', advice)
        return ReasonerSettings.model_validate({**before, "name": name, **settings})


def _reject_unused(unused: Sequence[str], why: str, advice: str) -> None:
    """Raise `DataError` (LC711) for options without effect."""
    if unused:
        raise DataError(
            [Problem("LC711", f"{OPTION_NAMES[name]} has no effect: {why}.", advice=advice) for name in unused]
        )


def restore_selection(infos: Sequence[PluginInfo], knowledge: Path | None) -> PluginSelection:
    """Return the selection that a verdict was made with; `knowledge` is the present location of its knowledge folder.

    Raises:
        DataError: The verdict was made with a retriever, and no knowledge folder is given (LC712).
    """
    by_kind = {info.kind: info for info in infos}
    if "retriever" in by_kind and knowledge is None:
        message = f"the verdict was made with {by_kind['retriever'].to_text()}, but no knowledge folder is given."
        raise DataError(Problem("LC712", message, advice="Name the folder with --knowledge."))
    reasoner = by_kind.get("reasoner")
    names = {*ReasonerSettings.model_fields, "open"}  # `open`: `min_entropy`, as verdicts record it
    settings = {name: value for name, value in reasoner.settings if name in names} if reasoner is not None else {}
    return PluginSelection(
        by_kind["expert"].name if "expert" in by_kind else "",
        ReasonerSettings.model_validate({"name": reasoner.name, **settings}) if reasoner is not None else None,
        knowledge if "retriever" in by_kind else None,
    )
