"""HTTP answers of the application: verdicts, errors and limits."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager

import httpx2
import pytest
from PIL import Image

from logicls.predict.folder.runner import predict_folder
from logicls.serve.app import ERROR_RESPONSES, StartupState, create_app
from logicls.serve.service import InferenceService, Metrics
from logicls.serve.uploads import Limits

CLIENTS, PHOTOS_PER_CLIENT = 64, 3


def is_close(one: object, other: object) -> bool:
    """Compare two records, ignoring durations and rounding differences between batches."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one if key != "seconds")
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-3
    return one == other


@pytest.fixture(scope="module")
def folder_records(bundle, folder, tmp_path_factory) -> dict[str, dict[str, object]]:
    """Records that `logicls predict` writes for the same photos, by photo name."""
    out = tmp_path_factory.mktemp("verdicts")
    predict_folder(bundle, folder, out)
    lines = (out / "verdicts.jsonl").read_text().splitlines()
    return {record["photo"]: record for record in map(json.loads, lines)}


@pytest.mark.slow
def test_no_answer_is_dropped_or_mixed_up_at_64_clients(address, folder, folder_records):
    """Every client gets, for each of its photos, the verdict of the folder run on that photo."""
    names = sorted(folder_records)

    async def client(number: int, http: httpx2.AsyncClient) -> list[tuple[str, dict[str, object]]]:
        answers = []
        for turn in range(PHOTOS_PER_CLIENT):
            name = names[(number + 21 * turn) % len(names)]
            data = (folder / name).read_bytes()
            request = {"files": {"photo": (name, data)}} if number % 2 else {"content": data, "params": {"photo": name}}
            answer = await http.post("/predict", **request)
            assert answer.status_code == 200
            answers.append((name, answer.json()))
        return answers

    async def run_clients() -> list[list[tuple[str, dict[str, object]]]]:
        limits = httpx2.Limits(max_connections=CLIENTS)
        async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=120, trust_env=False) as http:
            return await asyncio.gather(*(client(number, http) for number in range(CLIENTS)))

    results = [pair for one in asyncio.run(run_clients()) for pair in one]

    assert len(names) == 65
    assert len(results) == CLIENTS * PHOTOS_PER_CLIENT
    assert [name for name, record in results if not is_close(record, folder_records[name])] == []
    assert not is_close(folder_records["01.png"], {**folder_records["02.png"], "photo": "01.png"})
    page = httpx2.get(f"{address}/metrics", trust_env=False).text
    assert f'logicls_answers_total{{status="200"}} {CLIENTS * PHOTOS_PER_CLIENT}.0' in page
    batches = next(line for line in page.splitlines() if line.startswith("logicls_batch_photos_count"))
    assert float(batches.split()[1]) < CLIENTS * PHOTOS_PER_CLIENT / 2


@asynccontextmanager
async def open_client(service: InferenceService, token: str = "", is_open: bool = True):
    """Yield an HTTP client of the application without a network; open the bundle if `is_open`."""
    if is_open:
        await service.open()
    transport = httpx2.ASGITransport(app=create_app(service, StartupState(), token))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
        yield http
    await service.close()


def run_client(bundle, ask, limits: Limits | None = None, **options: object):
    """Return what the coroutine function `ask` returns for a client of a new server."""

    async def run() -> object:
        async with open_client(InferenceService(bundle.path, limits or Limits(), Metrics()), **options) as http:
            return await ask(http)

    return asyncio.run(run())


@pytest.mark.slow
def test_an_unreadable_photo_goes_to_review(bundle, folder, folder_records):
    """A damaged photo, a text file and a photo with too many pixels get reasons, and never pass."""
    bomb = io.BytesIO()
    Image.new("1", (4000, 4000)).save(bomb, "PNG")

    async def ask(http):
        uploads = {
            "truncated.png": (folder / "truncated.png").read_bytes(),
            "text": b"no photo",
            "bomb.png": bomb.getvalue(),
        }
        return [(await http.post("/predict", params={"photo": name}, content=data)) for name, data in uploads.items()]

    answers = run_client(bundle, ask, Limits(max_pixels=1_000_000))

    assert [answer.status_code for answer in answers] == [200] * 3
    assert is_close(answers[0].json(), folder_records["truncated.png"])
    assert [(answer.json()["outcome"], answer.json()["reasons"]) for answer in answers[1:]] == [
        ("review", ['"text" is not an image that can be read.']),
        ("review", ['"bomb.png" has 4000 x 4000 pixels, more than the limit of 1000000.']),
    ]


def test_requests_before_the_self_test_get_503(bundle, png):
    """Health checks and predictions get 503 before the bundle is open, and 200 afterwards."""

    async def ask(http):
        return [await http.get("/healthz"), await http.post("/predict", content=png)]

    before, after = run_client(bundle, ask, is_open=False), run_client(bundle, ask)

    assert [(answer.status_code, answer.json()) for answer in before] == [
        (503, {"ready": False}), (503, {"detail": "The server is not ready yet."})
    ]  # fmt: skip
    assert after[0].json() == {
        "ready": True, "bundle": bundle.id, "spec": bundle.spec.hash, "trained_spec": bundle.spec.hash,
    }  # fmt: skip
    assert [answer.status_code for answer in after] == [200, 200]


def test_invalid_and_oversized_requests_are_rejected(bundle, png):
    """Content length, streamed size, empty bodies, forms with other than one file, and names are checked."""

    async def stream_chunks():
        for _ in range(3):
            yield bytes(1000)

    async def ask(http):
        two = [("a", ("a.png", png)), ("b", ("b.png", png))]
        return [
            await http.post("/predict", content=bytes(2001)),
            await http.post("/predict", content=stream_chunks()),
            await http.post("/predict", content=b""),
            await http.post("/predict", files=two),
            await http.post("/predict", data={"a": "b"}, headers={"content-type": "multipart/form-data; boundary=x"}),
            await http.post("/predict", content=png, params={"photo": "a\nb"}),
            await http.post("/predict", content=png, params={"photo": "a" * 256}),
            await http.get("/predict"),
        ]

    answers = run_client(bundle, ask, Limits(max_bytes=2000))

    assert [answer.status_code for answer in answers] == [413, 413, 400, 400, 400, 400, 400, 405]
    assert answers[0].json() == {"detail": "The request is larger than the limit of 2,000 bytes."}


def test_a_slow_upload_times_out(bundle):
    """A request that is not received within the time limit gets 408."""

    async def send_slowly():
        yield b"x"
        await asyncio.sleep(5)

    async def ask(http):
        return await http.post("/predict", content=send_slowly())

    answer = run_client(bundle, ask, Limits(timeout=0.05))

    assert (answer.status_code, answer.json()) == (408, {"detail": "The request was not received within 0.05 seconds."})


def test_requests_above_the_rate_limit_get_429(bundle, png):
    """At 0.4 photos per second one request is accepted; the others are told how long to wait."""

    async def ask(http):
        return [await http.post("/predict", content=png) for _ in range(3)]

    answers = run_client(bundle, ask, Limits(rate=0.4))

    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert answers[2].headers["retry-after"] == "3"


def test_requests_to_a_full_queue_get_503(bundle, png):
    """Requests above the queue size are rejected at once; accepted ones are answered."""

    async def ask(http):
        return await asyncio.gather(*(http.post("/predict", content=png) for _ in range(5)))

    answers = run_client(bundle, ask, Limits(queue=2))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"1"}


def test_a_token_protects_predictions_and_metrics(bundle, png):
    """Predictions and metrics need the token; the health check does not."""

    async def ask(http):
        statuses = []
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer sesame"}):
            statuses.append([
                (await http.post("/predict", content=png, headers=header)).status_code,
                (await http.get("/metrics", headers=header)).status_code,
                (await http.get("/healthz", headers=header)).status_code,
            ])  # fmt: skip
        return statuses

    assert run_client(bundle, ask, token="sesame") == [[401, 401, 200], [401, 401, 200], [200, 200, 200]]


def test_a_fault_of_the_machine_is_no_verdict(bundle, png, caplog):
    """A failure of the model gets 500 and a log entry, even for a single photo; the next photo is inspected."""

    async def ask(http, service):
        reader = service._inspector._reader
        service._inspector._reader = FailingReader()
        failed = await http.post("/predict", content=png)
        service._inspector._reader = reader
        return failed, await http.post("/predict", content=png), await http.get("/metrics")

    async def run() -> object:
        service = InferenceService(bundle.path, Limits(), Metrics())
        async with open_client(service) as http:
            return await ask(http, service)

    failed, following, metrics = asyncio.run(run())

    assert failed.status_code == 500
    assert failed.json() == {"detail": ERROR_RESPONSES[500]}
    assert "outcome" not in failed.json()
    assert "device-side assert" in caplog.text
    assert following.status_code == 200
    assert 'logicls_answers_total{status="500"} 1.0' in metrics.text
    assert "logicls_taken_photos 0.0" in metrics.text


class FailingReader:
    """Reader whose device fails."""

    def predict_raw(self, photos):
        """Raise the error that torch raises for a failed kernel."""
        raise RuntimeError("CUDA error: device-side assert triggered")
