"""LogiCls inspects photos of a product against written rules, and says which rule is broken and on what evidence.

The public names are imported when they are first used: `import logicls` loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from logicls.api import Inspector, load
    from logicls.constraints.spec.loader import load_spec
    from logicls.constraints.spec.models import Spec
    from logicls.errors import LogiClsError
    from logicls.records import Answer, Box, Finding, Verdict

__version__ = "0.1.0"
__all__ = ["Answer", "Box", "Finding", "Inspector", "LogiClsError", "Spec", "Verdict", "load", "load_spec"]

_MODULES = {
    "Answer": "records",
    "Box": "records",
    "Finding": "records",
    "Inspector": "api",
    "LogiClsError": "errors",
    "Spec": "constraints.spec.models",
    "Verdict": "records",
    "load": "api",
    "load_spec": "constraints.spec.loader",
}


def __getattr__(name: str) -> typing.Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, whether they are imported yet or not."""
    return sorted({*globals(), *__all__})
