"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._all = CollectorRegistry()
        self.answers = Counter(
            "logicls_answers", "Answers to POST /predict by HTTP status.", ["status"], registry=self._all
        )
        self.verdicts = Counter("logicls_verdicts", "Verdicts by outcome.", ["outcome"], registry=self._all)
        self.seconds = Histogram(
            "logicls_answer_seconds", "From a request to its verdict.", buckets=SECONDS, registry=self._all
        )
        self.model = Histogram(
            "logicls_model_seconds", "What a batch takes the model.", buckets=SECONDS, registry=self._all
        )
        self.batch = Histogram("logicls_batch_photos", "Photos of a batch.", buckets=SIZES, registry=self._all)
        self.taken = Gauge("logicls_taken_photos", "Photos taken and not answered yet.", registry=self._all)
        self.ready = Gauge("logicls_ready", "1 once the bundle gave its probe's answers.", registry=self._all)

    def text(self) -> bytes:
        """The page that Prometheus fetches."""
        page: bytes = generate_latest(self._all)
        return page


class Counting:
    """Middleware that counts the answers to requests for one path by their status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, path: str) -> None:
        self.app, self.metrics, self.path = app, metrics, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on."""
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.answers.labels(message["status"]).inc()
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:
            self.metrics.answers.labels(500).inc()  # whoever stands around this answers it
            raise
