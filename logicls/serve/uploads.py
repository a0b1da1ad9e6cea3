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

MAX_CLIENTS = 10_000
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
    max_bytes: int = 20_000_000
    """Bytes of a request."""
    max_pixels: int = MAX_PIXELS
    """Of a photo; a larger one is not decoded, and goes to review."""
    timeout: float = 30.0
    """Seconds that a request may take to arrive."""


class RateLimiter:
    """A bucket of tokens for each address: a photo takes one, and so many a second come back."""

    def __init__(self, rate: float) -> None:
        self.rate, self.capacity = rate, max(1.0, 2.0 * rate)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, address: str, now: float) -> int:
        """0, or how many whole seconds the address must wait. `now`: seconds of a clock that never goes back."""
        tokens, last_time = self._buckets.pop(address, (self.capacity, now))
        tokens = min(self.capacity, tokens + (now - last_time) * self.rate)
        wait = 0 if tokens >= 1.0 else math.ceil((1.0 - tokens) / self.rate)
        self._buckets[address] = (tokens if wait else tokens - 1.0, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait


MAX_NAME_LENGTH = 255
"""Characters of a photo's name."""


class UploadedPhoto(NamedTuple):
    """One photo as it was sent."""

    name: str
    data: bytes
    """The bytes of its file."""


async def read_photo(request: Request, limits: Limits) -> UploadedPhoto:
    """The photo of a request.

    Its name is that of the form's file; the query's `photo` where there is one.

    Raises:
        HTTPException: 400 where there is not exactly one, 408 where it does not arrive, 413 where it is too large.
    """
    body = await _read_body(request, limits)
    name, data = request.query_params.get("photo", ""), body
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        upload = await _read_form_file(request, body)
        name, data = name or upload.name, upload.data
    if not data:
        raise HTTPException(400, "There is no photo: send the bytes of its file, or a form with one file.")
    return UploadedPhoto(_check_name(name), data)


async def _read_body(request: Request, limits: Limits) -> bytes:
    content_length = request.headers.get("content-length", "0")
    too_large = HTTPException(413, f"A request may have {limits.max_bytes} bytes.", {"Connection": "close"})
    if content_length.isdecimal() and int(content_length) > limits.max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.max_bytes:
                    raise too_large
    except TimeoutError as error:
        raise HTTPException(408, f"It did not arrive in {limits.timeout:g} seconds.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "It broke off.") from error
    return bytes(body)


async def _read_form_file(request: Request, body: bytes) -> UploadedPhoto:
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
        return UploadedPhoto(files[0].filename or "", await files[0].read())
    finally:
        await form.close()


def _check_name(name: str) -> str:
    """The name, if it can stand in a record; paths are kept, for folders tell photos apart."""
    if len(name) > MAX_NAME_LENGTH or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise HTTPException(400, f"A name has up to {MAX_NAME_LENGTH} characters, all of which can be printed.")
    return name or "photo"
