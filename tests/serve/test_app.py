from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager

import httpx2
import pytest
from PIL import Image

from logicls.predict.folder.runner import predict_folder
from logicls.serve.app import StartupState, create_app
from logicls.serve.service import InferenceService, Metrics
from logicls.serve.uploads import Limits

CLIENTS, EACH = 64, 3


def alike(one: object, other: object) -> bool:
    """Equal, but for the time that it took, and for the last digits of what was computed in another batch."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one if key != "seconds")
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-3
    return one == other


@pytest.fixture(scope="module")
def told(bundle, folder, tmp_path_factory) -> dict[str, dict[str, object]]:
    """What `logicls predict` says of the same photos."""
    out = tmp_path_factory.mktemp("verdicts")
    predict_folder(bundle, folder, out)
    lines = (out / "verdicts.jsonl").read_text().splitlines()
    return {record["photo"]: record for record in map(json.loads, lines)}


@pytest.mark.slow
def test_no_answer_is_dropped_or_mixed_up_at_64_clients(address, folder, told):
    """Every client gets, for each of its photos, what the folder's run says of that photo."""
    names = sorted(told)

    async def client(number: int, http: httpx2.AsyncClient) -> list[tuple[str, dict[str, object]]]:
        got = []
        for turn in range(EACH):
            name = names[(number + 21 * turn) % len(names)]
            data = (folder / name).read_bytes()
            sent = {"files": {"photo": (name, data)}} if number % 2 else {"content": data, "params": {"photo": name}}
            answer = await http.post("/predict", **sent)
            assert answer.status_code == 200
            got.append((name, answer.json()))
        return got

    async def all_of_them() -> list[list[tuple[str, dict[str, object]]]]:
        limits = httpx2.Limits(max_connections=CLIENTS)
        async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=120, trust_env=False) as http:
            return await asyncio.gather(*(client(number, http) for number in range(CLIENTS)))

    got = [pair for one in asyncio.run(all_of_them()) for pair in one]

    assert len(names) == 65
    assert len(got) == CLIENTS * EACH
    assert [name for name, record in got if not alike(record, told[name])] == []
    assert not alike(told["01.png"], {**told["02.png"], "photo": "01.png"})
    page = httpx2.get(f"{address}/metrics", trust_env=False).text
    assert f'logicls_answers_total{{status="200"}} {CLIENTS * EACH}.0' in page
    looks = next(line for line in page.splitlines() if line.startswith("logicls_batch_photos_count"))
    assert float(looks.split()[1]) < CLIENTS * EACH / 2


@asynccontextmanager
async def client_of(desk: InferenceService, token: str = "", opened: bool = True):
    """A client of the application, without a network between; the bundle is opened if it is to be."""
    if opened:
        await desk.open()
    transport = httpx2.ASGITransport(app=create_app(desk, StartupState(), token))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
        yield http
    await desk.close()


def asked(bundle, ask, limits: Limits | None = None, **how: object):
    """What `ask` makes of a client."""

    async def run() -> object:
        async with client_of(InferenceService(bundle.path, limits or Limits(), Metrics()), **how) as http:
            return await ask(http)

    return asyncio.run(run())


@pytest.mark.slow
def test_a_photo_that_cannot_be_read_goes_to_review(bundle, folder, told):
    """Damaged, no image at all, too many pixels: the record says why, and it never passes."""
    bomb = io.BytesIO()
    Image.new("1", (4000, 4000)).save(bomb, "PNG")

    async def ask(http):
        sent = {"torn.png": (folder / "torn.png").read_bytes(), "text": b"no photo", "bomb.png": bomb.getvalue()}
        return [(await http.post("/predict", params={"photo": name}, content=data)) for name, data in sent.items()]

    answers = asked(bundle, ask, Limits(max_pixels=1_000_000))

    assert [answer.status_code for answer in answers] == [200] * 3
    assert alike(answers[0].json(), told["torn.png"])
    assert [(answer.json()["outcome"], answer.json()["reasons"]) for answer in answers[1:]] == [
        ("review", ['"text" is not an image that can be read.']),
        ("review", ['"bomb.png" has 4000 x 4000 pixels, more than the 1000000 allowed.']),
    ]


def test_nothing_is_answered_before_the_probe_was(bundle, png):
    """Neither health nor verdicts; afterwards both."""

    async def ask(http):
        return [await http.get("/healthz"), await http.post("/predict", content=png)]

    before, after = asked(bundle, ask, opened=False), asked(bundle, ask)

    assert [(answer.status_code, answer.json()) for answer in before] == [
        (503, {"ready": False}), (503, {"detail": "Not ready yet."})
    ]  # fmt: skip
    assert after[0].json() == {"ready": True, "bundle": bundle.id, "spec": bundle.spec.hash}
    assert [answer.status_code for answer in after] == [200, 200]


def test_too_much_of_anything_is_refused(bundle, png):
    """By the length that is told, by what arrives, by what a form holds, by the name; and each says what to do."""

    async def in_parts():
        for _ in range(3):
            yield bytes(1000)

    async def ask(http):
        two = [("a", ("a.png", png)), ("b", ("b.png", png))]
        return [
            await http.post("/predict", content=bytes(2001)),
            await http.post("/predict", content=in_parts()),
            await http.post("/predict", content=b""),
            await http.post("/predict", files=two),
            await http.post("/predict", data={"a": "b"}, headers={"content-type": "multipart/form-data; boundary=x"}),
            await http.post("/predict", content=png, params={"photo": "a\nb"}),
            await http.post("/predict", content=png, params={"photo": "a" * 256}),
            await http.get("/predict"),
        ]

    answers = asked(bundle, ask, Limits(max_bytes=2000))

    assert [answer.status_code for answer in answers] == [413, 413, 400, 400, 400, 400, 400, 405]
    assert answers[0].json() == {"detail": "A request may have 2000 bytes."}


def test_a_photo_that_does_not_arrive_is_not_waited_for(bundle):
    """Whoever sends a byte now and then holds a place for so long and no longer."""

    async def slowly():
        yield b"x"
        await asyncio.sleep(5)

    async def ask(http):
        return await http.post("/predict", content=slowly())

    answer = asked(bundle, ask, Limits(timeout=0.05))

    assert (answer.status_code, answer.json()) == (408, {"detail": "It did not arrive in 0.05 seconds."})


def test_too_many_from_one_address_wait(bundle, png):
    """One at once, then two in five seconds; how long to wait is said."""

    async def ask(http):
        return [await http.post("/predict", content=png) for _ in range(3)]

    answers = asked(bundle, ask, Limits(rate=0.4))

    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert answers[2].headers["retry-after"] == "3"


def test_a_full_queue_says_so(bundle, png):
    """What is above it is refused at once, and what was taken is answered."""

    async def ask(http):
        return await asyncio.gather(*(http.post("/predict", content=png) for _ in range(5)))

    answers = asked(bundle, ask, Limits(queue=2))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"1"}


def test_a_token_is_asked_for_where_there_is_one(bundle, png):
    """For verdicts and metrics; health is for whoever watches."""

    async def ask(http):
        found = []
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer sesame"}):
            found.append([
                (await http.post("/predict", content=png, headers=header)).status_code,
                (await http.get("/metrics", headers=header)).status_code,
                (await http.get("/healthz", headers=header)).status_code,
            ])  # fmt: skip
        return found

    assert asked(bundle, ask, token="sesame") == [[401, 401, 200], [401, 401, 200], [200, 200, 200]]
