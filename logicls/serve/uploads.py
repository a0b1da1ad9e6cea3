"""What comes in a request: one photo, as the body itself or as the file of a form, and not more than is allowed.

How much the server takes: of one photo, of one client, and of all of them together.
"""

from __future__ import annotations

import asyncio
import math
import unicodedata
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from logicls.data.image_io import MAX_PIXELS

CLIENTS = 10_000
"""So many addresses are remembered; of more the one that was heard of longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server is started with."""

    batch: int = 16
    """Photos that the model looks at together, at most."""
    wait: float = 0.005
    """Seconds that a photo waits for others to be looked at with."""
    queue: int = 128
    """Photos that were taken and not answered yet, at most."""
    rate: float = 100.0
    """Photos a second from one address in the long run; at once it may send twice as many."""
    size: int = 20_000_000
    """Bytes of a request."""
    pixels: int = MAX_PIXELS
    """Of a photo; a larger one is not decoded, and goes to review."""
    patience: float = 30.0
    """Seconds that a request may take to arrive."""


class Rate:
    """A bucket of tokens for each address: a photo takes one, and so many a second come back."""

    def __init__(self, rate: float) -> None:
        self.rate, self.full = rate, max(1.0, 2.0 * rate)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> int:
        """0, or how many whole seconds the address must wait. `now`: seconds of a clock that never goes back."""
        left, then = self._left.pop(address, (self.full, now))
        left = min(self.full, left + (now - then) * self.rate)
        wait = 0 if left >= 1.0 else math.ceil((1.0 - left) / self.rate)
        self._left[address] = (left if wait else left - 1.0, now)
        if len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return wait


LONGEST = 255
"""Characters of a photo's name."""


class Photo(NamedTuple):
    """One photo as it was sent."""

    name: str
    data: bytes
    """The bytes of its file."""


async def photo_of(request: Request, limits: Limits) -> Photo:
    """The photo of a request.

    Its name is that of the form's file; the query's `photo` where there is one.

    Raises:
        HTTPException: 400 where there is not exactly one, 408 where it does not arrive, 413 where it is too large.
    """
    body = await _body(request, limits)
    name, data = request.query_params.get("photo", ""), body
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        sent = await _file(request, body)
        name, data = name or sent.name, sent.data
    if not data:
        raise HTTPException(400, "There is no photo: send the bytes of its file, or a form with one file.")
    return Photo(_named(name), data)


async def _body(request: Request, limits: Limits) -> bytes:
    told = request.headers.get("content-length", "0")
    refusal = HTTPException(413, f"A request may have {limits.size} bytes.", {"Connection": "close"})
    if told.isdecimal() and int(told) > limits.size:
        raise refusal
    body = bytearray()
    try:
        async with asyncio.timeout(limits.patience):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.size:
                    raise refusal
    except TimeoutError as error:
        raise HTTPException(408, f"It did not arrive in {limits.patience:g} seconds.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "It broke off.") from error
    return bytes(body)


async def _file(request: Request, body: bytes) -> Photo:
    """The one file of a form."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(request.headers, stream(), max_files=1, max_fields=8).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"The form cannot be read: {error.message}") from error
    files = [part for part in form.values() if isinstance(part, UploadFile)]
    if len(files) != 1:
        raise HTTPException(400, "A form has one file: photos that are sent at the same time are looked at together.")
    try:
        return Photo(files[0].filename or "", await files[0].read())
    finally:
        await form.close()


def _named(name: str) -> str:
    """The name, if it can stand in a record; paths are kept, for folders tell photos apart."""
    if len(name) > LONGEST or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        raise HTTPException(400, f"A name has up to {LONGEST} characters, all of which can be printed.")
    return name or "photo"
