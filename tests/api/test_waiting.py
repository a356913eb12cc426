"""A program whose request waits for a yes is told so at once, and finds the end of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.people_host import PeopleHost, people_host

from microclaw.audit.log_files import read_events
from microclaw.config.settings import AgentSettings


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path / "home") as running:
        yield running


async def test_who_says_yes_is_told_that_the_act_was_refused_then(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with people_host(home) as host:
        name = host.device.name
        ids = []
        for _ in range(2):
            _, told = await host.ask("ada", "DELETE", f"/v1/devices/{name}", waits=False)
            ids.append(told["approval"]["approval_id"])
        place = f"/v1/approvals/{ids[1]}"
        assert (await host.ask("ada", "GET", place))[1]["outcome"] is None
        first = await host.ask("owner", "POST", f"/v1/approvals/{ids[0]}", {"approved": True})
        assert first[1]["end"] == {"state": "done"}
        status, told = await host.ask("owner", "POST", place, {"approved": True, "wait_s": 60})
        assert (status, told["outcome"]) == (200, "approved")
        assert (told["end"]["state"], told["end"]["code"]) == ("failed", "unknown_name")
        for somebody in ("owner", "ada"):
            assert (await host.ask(somebody, "GET", place))[1]["end"] == told["end"]
        assert (await host.ask("bob", "GET", place))[0] == 404
    lines = [read.event for read in read_events(home, kinds={"approval"}) if read.event.about == ids[1]]
    assert name not in lines[-1].text


async def test_a_tool_that_fails_after_a_yes_is_told_with_the_decision(host: PeopleHost) -> None:
    name = host.device.name
    call = {"arguments": {"pin": 5, "level": 1, "device": name}, "foreign": True}
    asking = asyncio.create_task(host.stream("ada", "/v1/tools/gpio-set", call))
    (waiting,) = await host.waiting()
    await asyncio.to_thread(host.client.delete, f"/v1/devices/{name}")
    decision = {"approved": True, "wait_s": 60}
    _, told = await host.ask("owner", "POST", f"/v1/approvals/{waiting['approval_id']}", decision)
    assert told["end"]["state"] == "failed"
    assert name in told["end"]["why"]
    await asking


async def test_nobody_is_asked_for_what_is_not_there(host: PeopleHost) -> None:
    rollout = {"version": "9.9.9", "devices": [host.device.name]}
    for method, path, body in (
        ("DELETE", "/v1/firmware/keys/zz-none", None),
        ("POST", "/v1/rollouts", rollout),
        ("DELETE", "/v1/devices/zz-none", None),
    ):
        status, told = await host.ask("owner", method, path, body, waits=False)
        assert (status, told["error"]["code"]) == (404, "unknown_name"), path
    assert (await host.socket("GET", "/v1/approvals"))["approvals"] == []


async def test_a_question_goes_with_the_connection_that_waits_for_it_and_others_stay(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home", agent=AgentSettings(approvals="always")) as host:
        device = f"/v1/devices/{host.device.name}"
        _, told = await host.ask("ada", "DELETE", device, waits=False)  # its client was answered and may go
        call = {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}
        tool = {"arguments": {"pin": 5, "level": 1, "device": host.device.name}}
        stop = f"{device}/apps/blink/stop"  # a job, which goes on without its reader: its question does not
        for path, body in ((f"{device}/call", call), (stop, None), ("/v1/tools/gpio-set", tool)):
            content = b"" if body is None else json.dumps(body).encode()
            _, connection = await host.begun("ada", path, content, None, "Prefer: wait=60")
            assert len(await host.waiting(2)) == 2
            connection.transport.abort()
            async with asyncio.timeout(60):
                while len(left := await host.waiting()) > 1:
                    pass
            assert [one["approval_id"] for one in left] == [told["approval"]["approval_id"]]
        level = await host.socket("POST", f"{device}/call", {"method": "gpio.get", "arguments": {"pin": 5}})
        assert level["result"] == {"pin": 5, "level": 0}
    lines = [read.event.text for read in read_events(tmp_path / "home", kinds={"approval.decided"})]
    assert not [line for line in lines if line.startswith("approved")]


async def test_a_stop_while_questions_wait_answers_them_and_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with people_host(tmp_path / "home", agent=AgentSettings(approvals="always")) as host:
        device = f"/v1/devices/{host.device.name}"
        call = {"method": "gpio.set", "arguments": {"pin": 5, "level": 1}}
        waiting = asyncio.create_task(host.ask("ada", "POST", f"{device}/call", call))
        told = asyncio.create_task(host.ask("ada", "DELETE", device, waits=False))
        stream = asyncio.create_task(host.stream("ada", "/v1/tools/gpio-set", {"arguments": call["arguments"]}))
        await host.waiting(3)
        await told
    assert (await waiting)[0] == 403
    await stream
    assert [
        record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ] == []
