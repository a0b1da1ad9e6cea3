"""The bundle and the photos of a board of the experts' tests."""

from __future__ import annotations

import runpy
from pathlib import Path

_EXPERTS = runpy.run_path(str(Path(__file__).parents[1] / "plugins" / "anomaly" / "conftest.py"))
make_bundle, _one_thread, bundle = _EXPERTS["make_bundle"], _EXPERTS["_one_thread"], _EXPERTS["bundle"]
good_photo, flawed_photo = _EXPERTS["good_photo"], _EXPERTS["flawed_photo"]
