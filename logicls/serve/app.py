"""HTTP application: POST /predict, GET /healthz, GET /metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from logicls.predict.serialization import verdict_to_json
from logicls.serve.service import InferenceService, StatusCountMiddleware
from logicls.serve.uploads import RateLimiter, read_photo

BINARY = {"type": "string", "format": "binary"}
REQUEST_BODIES = {
    "image/*": {"schema": BINARY},
    "multipart/form-data": {"schema": {"type": "object", "properties": {"photo": BINARY}}},
}
ERROR_RESPONSES = {
    400: "The request does not contain exactly one photo, or the photo's name is invalid.",
    401: "The bearer token is missing or wrong.",
    408: "The request was not received within the time limit.",
    413: "The request is too large.",
    429: "Too many requests from this address. `Retry-After` gives the seconds to wait.",
    500: "The server failed to inspect the photo. This is no verdict: see the server log, and send the photo again.",
    503: "The server is not ready yet, or its queue is full. `Retry-After` gives the seconds to wait.",
}
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StartupState:
    """Callbacks and errors of the start, for the process that runs the server."""

    on_ready: Callable[[], None] = lambda: None
    """Called when the service accepts photos."""
    on_failure: Callable[[], None] = lambda: None
    """Called if the bundle cannot be opened."""
    errors: list[Exception] = field(default_factory=list)
    """Errors that prevented the start."""


def create_app(service: InferenceService, startup: StartupState, token: str) -> FastAPI:
    """Create the application. With an empty `token`, requests need no authorization."""
    app = FastAPI(
        title="LogiCls", lifespan=_lifespan(service, startup),
        docs_url=None, redoc_url=None,  # these pages load scripts from the internet
    )  # fmt: skip
    limiter = RateLimiter(service.limits.rate)

    def check_token(request: Request) -> None:
        credentials = request.headers.get("authorization", "").encode()
        if token and not hmac.compare_digest(credentials, f"Bearer {token}".encode()):
            raise HTTPException(401, ERROR_RESPONSES[401], {"WWW-Authenticate": "Bearer"})

    async def predict(request: Request) -> JSONResponse:
        """Return the verdict on one photo, as in verdicts.jsonl. An unreadable photo gets the outcome `review`."""
        return await _predict(service, limiter, request)

    async def healthz() -> JSONResponse:
        """Return 200 once the bundle has passed its self-test, 503 before."""
        bundle = service.bundle
        if bundle is None:
            return JSONResponse({"ready": False}, 503)
        plugins = {"plugins": [plugin.to_text() for plugin in service.plugins]} if service.plugins else {}
        specs = {"spec": bundle.spec.hash, "trained_spec": bundle.question_spec.hash}
        return JSONResponse({"ready": True, "bundle": bundle.id, **specs, **plugins})

    async def metrics() -> Response:
        """Return the metrics in the Prometheus text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    app.post(
        "/predict", dependencies=[Depends(check_token)], openapi_extra={"requestBody": {"content": REQUEST_BODIES}},
        responses={status: {"description": text} for status, text in ERROR_RESPONSES.items()},
    )(predict)  # fmt: skip
    app.get("/healthz")(healthz)
    app.get("/metrics", dependencies=[Depends(check_token)])(metrics)
    app.add_middleware(StatusCountMiddleware, metrics=service.metrics, path="/predict")
    return app


def _lifespan(
    service: InferenceService, startup: StartupState
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Open the bundle while the server already listens; at shutdown, answer the accepted photos."""

    async def open_service() -> None:
        try:
            await service.open()
        except Exception as error:
            startup.errors.append(error)
            startup.on_failure()
        else:
            startup.on_ready()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        opening = asyncio.create_task(open_service())
        yield
        await opening
        await service.close()

    return lifespan


async def _predict(service: InferenceService, limiter: RateLimiter, request: Request) -> JSONResponse:
    start = time.monotonic()
    if service.bundle is None:
        raise HTTPException(503, "The server is not ready yet.", {"Retry-After": "1"})
    wait = limiter.acquire(request.client.host if request.client else "", start)
    if wait:
        raise HTTPException(
            429, f"More than {limiter.rate:g} photos per second from this address.", {"Retry-After": str(wait)}
        )
    if service.is_full:
        raise HTTPException(503, "The queue is full.", {"Retry-After": "1"})
    with service.reserve_slot():
        photo = await read_photo(request, service.limits)
        try:
            verdict = await service.predict(*photo)
        except Exception as error:  # a fault of the machine or the code: it must not look like a verdict
            logger.exception("inspection of a photo failed")
            raise HTTPException(500, ERROR_RESPONSES[500]) from error
    service.metrics.verdicts.labels(verdict.outcome).inc()
    service.metrics.seconds.observe(time.monotonic() - start)
    return JSONResponse(verdict_to_json(verdict))
