"""Settings files of synthesis are validated, and keys of earlier versions are accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from logicls.errors import SpecError
from logicls.io.resources import resource_path
from logicls.synth.settings import load_augmentation_settings, load_balance_settings

Loader = Callable[[Path], object]
OLD_KEYS = {
    "rotation": "turn", "flip": "mirror", "colour_cast": "cast", "illumination": "uneven", "jpeg_quality": "quality",
    "control": "twin", "control_with_broken": "twin_besides", "real_defects": "real", "family_balance": "kinds",
    "count_decay": "farther", "max_photo_weight": "rare", "near_limit_weight": "near", "attempts": "tries",
}  # fmt: skip


def edit_settings(name: str, old: str, new: str, folder: Path) -> Path:
    """Copy a shipped settings file with `old` replaced by `new`."""
    text = resource_path(f"synth/{name}").read_text(encoding="utf-8")
    assert old in text
    path = folder / name
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("shift: 0.04", "shift: 0.9"), "shift"),
        (("jpeg_quality: [80, 95]", "jpeg_quality: [95, 80]"), "jpeg_quality: 95 is more than 80"),
        (("flip: [x, y]", "flip: [z]"), "flip"),
        (("blur: ", "blurr: "), "blurr"),
    ],
)
def test_invalid_augmentation_settings_are_rejected(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """An impossible value or an unknown key is an error at its position in the file."""
    path = edit_settings("augment.yaml", *change, tmp_path)

    with pytest.raises(SpecError) as caught:
        load_augmentation_settings(path)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("broken: 0.45", "broken: 0.5"), "the shares add up to 1.05; they must add up to 1"),
        (("pairs: 0.4", "pairs: 0.95"), "half of each pair is broken, so with these shares at most 0.9 is possible"),
        (("floor: 0.5", "floor: -1"), "floor"),
        (("attempts: 12", "attemps: 12"), "attemps"),
    ],
)
def test_invalid_balance_settings_are_rejected(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """An impossible value or an unknown key is an error at its position in the file."""
    path = edit_settings("balance.yaml", *change, tmp_path)

    with pytest.raises(SpecError) as caught:
        load_balance_settings(path)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "load"), [("augment.yaml", load_augmentation_settings), ("balance.yaml", load_balance_settings)]
)
def test_keys_of_earlier_versions_are_accepted(tmp_path: Path, name: str, load: Loader) -> None:
    """A file with the old keys has the same settings."""
    text = resource_path(f"synth/{name}").read_text(encoding="utf-8")
    lines = [line.partition(":") for line in text.splitlines()]
    renamed = [f"{key.replace(key.strip(), OLD_KEYS.get(key.strip(), key.strip()))}{c}{rest}" for key, c, rest in lines]
    path = tmp_path / name
    path.write_text("\n".join(renamed), encoding="utf-8")

    assert path.read_text(encoding="utf-8").strip() != text.strip()
    assert load(path) == load(resource_path(f"synth/{name}"))
