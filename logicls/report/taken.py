"""When a photo was taken, as its camera wrote it down."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from logicls.data.picture import FORMATS  # which also keeps Pillow's warnings quiet

_EXIF, _TAKEN, _FRACTION = 0x8769, 0x9003, 0x9291


def taken(photo: Path) -> float | None:
    """Seconds of the camera's clock (EXIF DateTimeOriginal with its fraction); None where the file does not tell.

    EXIF 2.3 knows no time zone, so the clock is taken for UTC: good for order and for what a person reads off it.
    """
    try:
        with Image.open(photo, formats=FORMATS) as image:
            facts = Image.Image.getexif(image).get_ifd(_EXIF)
        moment = datetime.strptime(str(facts[_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        fraction = str(facts.get(_FRACTION, "")).strip("\0 ")
    except Exception:  # decoders raise anything on damaged metadata
        return None
    return moment.timestamp() + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)


def clock(seconds: float) -> str:
    """That as the camera's clock showed it, to the minute."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
