"""The web server: POST /predict, GET /healthz, GET /metrics."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from logicls.predict.serialization import verdict_to_json
from logicls.serve.service import Counting, Desk
from logicls.serve.uploads import Rate, photo_of

BYTES = {"type": "string", "format": "binary"}
BODIES = {
    "image/*": {"schema": BYTES},
    "multipart/form-data": {"schema": {"type": "object", "properties": {"photo": BYTES}}},
}
REFUSALS = {
    400: "There is not exactly one photo, or its name cannot be used.",
    401: "The token is missing or wrong.",
    408: "The photo does not arrive.",
    413: "The request is too large.",
    429: "Too many photos from this address; `Retry-After` says how many seconds to wait.",
    503: "Not ready yet, or too many photos were taken and not answered yet.",
}


@dataclass(slots=True)
class Start:
    """How the start went: whoever runs the server is told of a bundle that cannot be used."""

    opened: Callable[[], None] = lambda: None
    """Called when photos are answered."""
    stop: Callable[[], None] = lambda: None
    """Called where that will never be."""
    failed: list[Exception] = field(default_factory=list)
    """Why."""


def app_of(desk: Desk, start: Start, token: str) -> FastAPI:
    """The application. An empty `token` asks nobody for one."""
    app = FastAPI(
        title="LogiCls", lifespan=_lifespan(desk, start),
        docs_url=None, redoc_url=None,  # their pages load scripts from elsewhere
    )  # fmt: skip
    rate = Rate(desk.limits.rate)

    def allowed(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            raise HTTPException(401, REFUSALS[401], {"WWW-Authenticate": "Bearer"})

    async def predict(request: Request) -> JSONResponse:
        """The verdict on one photo, as a line of verdicts.jsonl; a photo that cannot be read goes to review."""
        return await _predicted(desk, rate, request)

    async def healthz() -> JSONResponse:
        """200 from when the bundle gave its probe's answers, 503 before."""
        bundle = desk.bundle
        if bundle is None:
            return JSONResponse({"ready": False}, 503)
        plugged = {"plugins": [plug.to_text for plug in desk.plugged]} if desk.plugged else {}
        return JSONResponse({"ready": True, "bundle": bundle.id, "spec": bundle.spec.hash, **plugged})

    async def metrics() -> Response:
        """Counters in the format of Prometheus."""
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    app.post(
        "/predict", dependencies=[Depends(allowed)], openapi_extra={"requestBody": {"content": BODIES}},
        responses={status: {"description": text} for status, text in REFUSALS.items()},
    )(predict)  # fmt: skip
    app.get("/healthz")(healthz)
    app.get("/metrics", dependencies=[Depends(allowed)])(metrics)
    app.add_middleware(Counting, metrics=desk.metrics, path="/predict")
    return app


def _lifespan(desk: Desk, start: Start) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Opens the bundle while the server listens already, and at the end answers what was taken."""

    async def open_it() -> None:
        try:
            await desk.open()
        except Exception as error:
            start.failed.append(error)
            start.stop()
        else:
            start.opened()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        opening = asyncio.create_task(open_it())
        yield
        await opening
        await desk.close()

    return lifespan


async def _predicted(desk: Desk, rate: Rate, request: Request) -> JSONResponse:
    began = time.monotonic()
    if desk.bundle is None:
        raise HTTPException(503, "Not ready yet.", {"Retry-After": "1"})
    wait = rate.take(request.client.host if request.client else "", began)
    if wait:
        raise HTTPException(429, f"More than {rate.rate:g} photos a second.", {"Retry-After": str(wait)})
    if desk.full:
        raise HTTPException(503, "Too many photos were taken and not answered yet.", {"Retry-After": "1"})
    with desk.place():
        verdict = await desk.judge(*await photo_of(request, desk.limits))
    desk.metrics.verdicts.labels(verdict.outcome).inc()
    desk.metrics.seconds.observe(time.monotonic() - began)
    return JSONResponse(verdict_to_json(verdict))
