"""The options that plug something into the predictor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle
    from logicls.plugins import PlugIns

EXPERT = Annotated[
    str, typer.Option("--expert", help="Look for defects that no rule names as well: its name; none: do not.")
]
REASONER = Annotated[
    str, typer.Option("--reasoner", help="Look again at photos that go to review: its name; closer is the best so far.")
]
KNOWLEDGE = Annotated[Path | None, typer.Option("--knowledge", help="Folder of what is known of products.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be plugged in; as options say it."""

    expert: str = ""
    reasoner: str = ""
    knowledge: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.expert or self.reasoner or self.knowledge)

    def here(self, bundle: Path) -> Wanted:
        """With what the bundle has plugged in where nothing else is asked for, and without what is not wanted."""
        from logicls.extras.standing import NONE, standing

        usual = standing(bundle)
        asked = {"expert": self.expert, "reasoner": self.reasoner}
        chosen = {kind: name or usual.get(kind, "") for kind, name in asked.items()}
        wanted = {kind: "" if name == NONE else name for kind, name in chosen.items()}
        return replace(self, expert=wanted["expert"], reasoner=wanted["reasoner"])

    def made(self, bundle: Bundle) -> PlugIns:
        """The plug-ins, made for the bundle. Raises `DataError`."""
        from logicls.extras.by_name import found
        from logicls.plugins import PlugIns

        return PlugIns(
            found("retriever", "documents")(bundle, self.knowledge) if self.knowledge else None,
            found("expert", self.expert)(bundle) if self.expert else None,
            found("reasoner", self.reasoner)(bundle) if self.reasoner else None,
        )
