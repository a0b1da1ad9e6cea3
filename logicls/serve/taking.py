"""What comes in a request: one photo, as the body itself or as the file of a form, and not more than is allowed."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncGenerator
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from logicls.serve.limits import Limits

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
