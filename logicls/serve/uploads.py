"""Uploads: read the photo of a request, from the body or a multipart form, within limits on size, time and rate."""

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
"""Addresses in the rate limiter; the least recently used one is dropped first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on requests, the queue and batches."""

    batch: int = 16
    """Largest number of photos per batch."""
    wait: float = 0.005
    """Time that a photo waits for others to form a batch, seconds."""
    queue: int = 128
    """Largest number of accepted photos without a response."""
    rate: float = 100.0
    """Photos per second from one address; a burst may have twice as many."""
    max_bytes: int = 20_000_000
    """Largest size of a request, bytes."""
    max_pixels: int = MAX_PIXELS
    """Largest photo, pixels; a larger one is not decoded and gets the outcome `review`."""
    timeout: float = 30.0
    """Time limit for receiving a request, seconds."""


class RateLimiter:
    """Token bucket per address: each photo takes one token, and `rate` tokens per second are added."""

    def __init__(self, rate: float) -> None:
        self.rate, self.capacity = rate, max(1.0, 2.0 * rate)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, address: str, now: float) -> int:
        """Take a token; return 0, or the whole seconds to wait if there is none. `now`: monotonic time, seconds."""
        tokens, last_time = self._buckets.pop(address, (self.capacity, now))
        tokens = min(self.capacity, tokens + (now - last_time) * self.rate)
        wait = 0 if tokens >= 1.0 else math.ceil((1.0 - tokens) / self.rate)
        self._buckets[address] = (tokens if wait else tokens - 1.0, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait


MAX_NAME_LENGTH = 255
"""Longest name of a photo, characters."""


class UploadedPhoto(NamedTuple):
    """Photo as received."""

    name: str
    data: bytes
    """Content of the file."""


async def read_photo(request: Request, limits: Limits) -> UploadedPhoto:
    """Read the photo of a request.

    The photo's name is the query parameter `photo`, or else the file name in the form.

    Raises:
        HTTPException: The request does not contain exactly one photo (400), is not received in time (408), or is too
            large (413).
    """
    body = await _read_body(request, limits)
    name, data = request.query_params.get("photo", ""), body
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        upload = await _read_form_file(request, body)
        name, data = name or upload.name, upload.data
    if not data:
        raise HTTPException(
            400, "The request contains no photo. Send the file as the body, or a multipart form with one file."
        )
    return UploadedPhoto(_check_name(name), data)


async def _read_body(request: Request, limits: Limits) -> bytes:
    content_length = request.headers.get("content-length", "0")
    too_large = HTTPException(
        413, f"The request is larger than the limit of {limits.max_bytes:,} bytes.", {"Connection": "close"}
    )
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
        raise HTTPException(408, f"The request was not received within {limits.timeout:g} seconds.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The connection was closed before the request was complete.") from error
    return bytes(body)


async def _read_form_file(request: Request, body: bytes) -> UploadedPhoto:
    """Read the only file of a multipart form."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(request.headers, stream(), max_files=1, max_fields=8).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"The multipart form is invalid: {error.message}") from error
    files = [part for part in form.values() if isinstance(part, UploadFile)]
    if len(files) != 1:
        raise HTTPException(
            400,
            "The form must contain exactly one file. Send several photos in parallel requests.",
        )
    try:
        return UploadedPhoto(files[0].filename or "", await files[0].read())
    finally:
        await form.close()


def _check_name(name: str) -> str:
    """Return the name if it is valid in a verdict; folders are kept, because they distinguish photos."""
    if len(name) > MAX_NAME_LENGTH or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise HTTPException(
            400, f"The photo's name must have at most {MAX_NAME_LENGTH} characters, all of them printable."
        )
    return name or "photo"
