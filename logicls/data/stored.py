"""How a photo is stored: most cameras write 8 bits a channel, upright, grey or RGB; anything else has a name here.

Photos of every kind here become RGB in a way that is fixed (`logicls.data.picture`), but they may look another way
than the same thing stored plainly: 16 bits lose half of them, CMYK has colours of its own, what is transparent is laid
on white.
"""

from __future__ import annotations

from typing import Literal, get_args

from PIL import Image

Stored = Literal["turned", "16-bit", "1-bit", "CMYK", "palette", "alpha", "colours"]
KINDS: tuple[Stored, ...] = get_args(Stored)
_SAID: dict[Stored, str] = {
    "turned": "stored turned (EXIF orientation)",
    "16-bit": "stored with 16 bits a channel",
    "1-bit": "stored in black and white alone",
    "CMYK": "stored in CMYK",
    "palette": "stored with a palette",
    "alpha": "stored with an alpha channel",
    "colours": "stored in another colour space",
}


def stored_as(image: Image.Image) -> tuple[Stored, ...]:
    """What is unusual about an image whose header was read and whose pixels were not; empty for most.

    Whether it is turned is not looked at: that may stand behind the pixels.
    """
    deep = image.mode.startswith("I;16") or (
        image.format in ("PNG", "TIFF") and ";16" in str(getattr(image, "tile", ""))
    )
    found = {
        "turned": False,
        "16-bit": deep,
        "1-bit": image.mode == "1",
        "CMYK": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "alpha": image.has_transparency_data,
        "colours": image.mode in ("LAB", "HSV", "YCbCr"),
    }
    return tuple(kind for kind in KINDS if found[kind])


def said(kind: Stored) -> str:
    """The kind in words."""
    return _SAID[kind]
