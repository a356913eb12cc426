"""The parts of a wired virtual board over HTTP: its bench, and the live events of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.api.conftest import answer_of

from microclaw.host.operations.client import Client

DEVICE = "virtual-1"
LINES = ["lamp=led pin=5", "btn=button pin=6", "strip=ws2812 data=7 count=2", "oled=ssd1306"]
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def bearer(host_facts: dict[str, Any]) -> Mapping[str, str]:
    client = Client(Path(host_facts["control"]))
    secret = client.post("/v1/tokens", {"name": "bench", "scope": "all"})["secret"]
    return {"Authorization": f"Bearer {secret}", "Prefer": "wait=60"}


@pytest.fixture
def ask(api: tuple[str, int], bearer: Mapping[str, str]) -> Ask:
    """Make one request about the device, and return its answer."""

    def request(method: str, path: str, body: Any = None) -> Any:
        connection = HTTPConnection(*api, timeout=60)
        answer = answer_of(connection, method, f"/v1/devices/{DEVICE}/{path}", body, bearer)
        assert answer.status == 200, answer.body
        return answer.json

    request("PATCH", "wiring", {"add": LINES})
    return request


@contextmanager
def live_events(api: tuple[str, int], bearer: Mapping[str, str], query: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The facts of each live event about the bench, as they come."""
    connection = HTTPConnection(*api, timeout=60)
    connection.request("GET", f"/v1/events?{query}", headers=dict(bearer))
    answer = connection.getresponse()
    assert answer.status == 200

    def read() -> Iterator[dict[str, Any]]:
        kind = ""
        for raw in answer:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind == "bench":
                yield json.loads(line.removeprefix("data: "))

    try:
        yield read()
    finally:
        connection.close()


def set_lamp(ask: Ask, level: int) -> None:
    ask("POST", "call", {"method": "gpio.set", "arguments": {"pin": 5, "level": level}})


def test_the_bench_has_the_facts_and_the_states_of_each_part(ask: Ask) -> None:
    set_lamp(ask, 0)
    bench = ask("GET", "bench")
    assert [bench[name] for name in ("device", "virtual", "hands", "no_hands", "fault")] == [
        DEVICE,
        True,
        True,
        None,
        None,
    ]
    parts = {part["id"]: part for part in bench["parts"]}
    states = {part_id: parts[part_id]["state"] for part_id in ("lamp", "btn", "bme280", "strip")}
    assert states == {
        "lamp": {"brightness": 0.0},
        "btn": {"pressed": 0.0},
        "bme280": {"temperature": 22.5, "humidity": 45.0, "pressure": 1013.25},
        "strip": {},
    }
    sources = {part_id: parts[part_id]["source"] for part_id in (*states, "oled")}
    assert sources == dict.fromkeys(("lamp", "btn", "strip"), "counted") | dict.fromkeys(("bme280", "oled"), "reported")
    assert parts["strip"]["colors"] == ["000000", "000000"]
    assert (parts["oled"]["screen"]["width"], parts["oled"]["says"]) == (128, None)
    assert parts["oled"]["pins"] == [
        {"role": "sda", "use": "i2c data", "gpio": 8},
        {"role": "scl", "use": "i2c clock", "gpio": 9},
    ]
    pins = {pin["gpio"]: pin for pin in bench["pins"]}
    assert (pins[5]["level"], pins[5]["source"]) == (0, "counted")
    assert parts["btn"]["values"] == {
        "pressed": {"least": 0, "most": 1, "unit": "", "step": 1, "sets": True, "choices": []}
    }
    assert parts["lamp"]["values"]["brightness"]["sets"] is False


def test_live_events_have_only_what_changed(api: tuple[str, int], bearer: Mapping[str, str], ask: Ask) -> None:
    set_lamp(ask, 0)
    with live_events(api, bearer, f"bench={DEVICE}") as events:
        first = next(events)
        assert first["begins"]
        assert first["parts"].keys() >= {line.partition("=")[0] for line in LINES}
        set_lamp(ask, 1)
        lit = next(event for event in events if "lamp" in event["parts"])
        assert (lit["begins"], list(lit["parts"])) == (False, ["lamp"])
        assert lit["parts"]["lamp"]["state"] == {"brightness": 100.0}
        assert [pin["gpio"] for pin in lit["pins"]] == [5]
        # A change of the wiring begins anew.
        ask("PATCH", "wiring", {"add": ["lamp=led pin=5 active=low"]})
        anew = next(event for event in events if event["wiring"] != first["wiring"])
        assert anew["begins"]
