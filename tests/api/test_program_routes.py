"""A program that is being written is checked and tried over HTTP; no device changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from tests.api.people_host import BLINK, PeopleHost

from microclaw.api.by_hand import unless_left
from microclaw.events import Step
from microclaw.wire.host_api import Result

WRONG = '#include "microclaw.h"\nvoid on_init(void) {\n    gpio_opn(2, GPIO_OUT);\n}\n'
PIN_26 = BLINK.replace("gpio_open(2,", "gpio_open(26,")

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def checked(host: PeopleHost, source: str, **more: Any) -> dict[str, Any]:
    status, found = await host.ask("gus", "POST", "/v1/programs/check", {"source": source, **more})
    assert status == 200, found
    answer: dict[str, Any] = found
    return answer


async def test_a_wrong_program_has_its_findings_by_line_in_the_form_of_the_document(host: PeopleHost) -> None:
    found = await checked(host, WRONG, device="virtual-1", language="c")
    assert found["ok"] is False
    first = next(one for one in found["findings"] if one["severity"] == "error")
    assert first["line"] == 3
    assert first["column"] == 5
    assert (await checked(host, BLINK))["ok"] is True


async def test_a_pin_of_the_boards_memory_is_refused_at_its_line(host: PeopleHost) -> None:
    found = await checked(host, PIN_26, device="virtual-1")
    assert found["ok"] is False
    finding = found["findings"][0]
    assert finding["line"] == 5


async def test_a_trial_counts_edges_answers_expectations_and_changes_no_device(host: PeopleHost) -> None:
    body = {"source": BLINK, "device": "virtual-1", "expect": "pin 2: period 200 ms +- 5 %", "for_ms": 2000}
    events = await host.stream("gus", "/v1/programs/try", body)
    stages = [one.stage for one in events if isinstance(one, Step)]
    assert stages == ["compile", "check", "try", "try"]
    assert isinstance(events[-1], Result)
    made = events[-1].value
    assert made["ok"] is True
    assert {edge[1] for edge in made["edges"]} == {2}
    assert made["edge_count"] >= len(made["edges"]) >= 10
    assert made["expected"][0]["trial"] == "met in the trial"
    assert made["evidence"]["kind"] == "counted"
    assert await host.apps() == []


def request_of(leaving: asyncio.Event) -> Request:
    async def receive() -> Message:
        await leaving.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "path": "/", "headers": [], "query_string": b""}, receive)


async def test_a_client_that_leaves_ends_its_check() -> None:
    leaving, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async with asyncio.timeout(60):
        asking = asyncio.create_task(unless_left(request_of(leaving), work()), name="asking")
        await begun.wait()
        leaving.set()
        with pytest.raises(HTTPException):
            await asking
        assert ended.is_set()

    async def quick() -> str:
        return "there"

    assert await unless_left(request_of(asyncio.Event()), quick()) == "there"
