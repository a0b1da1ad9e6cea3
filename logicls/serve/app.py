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
from logicls.serve.service import InferenceService, StatusCountMiddleware
from logicls.serve.uploads import RateLimiter, read_photo

BINARY = {"type": "string", "format": "binary"}
REQUEST_BODIES = {
    "image/*": {"schema": BINARY},
    "multipart/form-data": {"schema": {"type": "object", "properties": {"photo": BINARY}}},
}
ERROR_RESPONSES = {
    400: "There is not exactly one photo, or its name cannot be used.",
    401: "The token is missing or wrong.",
    408: "The photo does not arrive.",
    413: "The request is too large.",
    429: "Too many photos from this address; `Retry-After` says how many seconds to wait.",
    503: "Not ready yet, or too many photos were taken and not answered yet.",
}


@dataclass(slots=True)
class StartupState:
    """How the start went: whoever runs the server is told of a bundle that cannot be used."""

    on_ready: Callable[[], None] = lambda: None
    """Called when photos are answered."""
    on_failure: Callable[[], None] = lambda: None
    """Called where that will never be."""
    errors: list[Exception] = field(default_factory=list)
    """Why."""


def create_app(service: InferenceService, startup: StartupState, token: str) -> FastAPI:
    """The application. An empty `token` asks nobody for one."""
    app = FastAPI(
        title="LogiCls", lifespan=_lifespan(service, startup),
        docs_url=None, redoc_url=None,  # their pages load scripts from elsewhere
    )  # fmt: skip
    limiter = RateLimiter(service.limits.rate)

    def check_token(request: Request) -> None:
        credentials = request.headers.get("authorization", "").encode()
        if token and not hmac.compare_digest(credentials, f"Bearer {token}".encode()):
            raise HTTPException(401, ERROR_RESPONSES[401], {"WWW-Authenticate": "Bearer"})

    async def predict(request: Request) -> JSONResponse:
        """The verdict on one photo, as a line of verdicts.jsonl; a photo that cannot be read goes to review."""
        return await _predict(service, limiter, request)

    async def healthz() -> JSONResponse:
        """200 from when the bundle gave its probe's answers, 503 before."""
        bundle = service.bundle
        if bundle is None:
            return JSONResponse({"ready": False}, 503)
        plugged = {"plugins": [plug.to_text() for plug in desk.plugged]} if desk.plugged else {}
        return JSONResponse({"ready": True, "bundle": bundle.id, "spec": bundle.spec.hash, **plugins})

    async def metrics() -> Response:
        """Counters in the format of Prometheus."""
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
    """Opens the bundle while the server listens already, and at the end answers what was taken."""

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
        raise HTTPException(503, "Not ready yet.", {"Retry-After": "1"})
    wait = limiter.acquire(request.client.host if request.client else "", start)
    if wait:
        raise HTTPException(429, f"More than {limiter.rate:g} photos a second.", {"Retry-After": str(wait)})
    if service.is_full:
        raise HTTPException(503, "Too many photos were taken and not answered yet.", {"Retry-After": "1"})
    with service.reserve_slot():
        verdict = await service.predict(*await read_photo(request, service.limits))
    service.metrics.verdicts.labels(verdict.outcome).inc()
    service.metrics.seconds.observe(time.monotonic() - start)
    return JSONResponse(verdict_to_json(verdict))
