"""`microclaw mcp` with the official client over real stdio: nothing runs before, nothing is left after."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.api.people_host import people_host
from tests.mcp.conftest import INITIALIZE, TIMEOUT_S, Place, clean_environ

from microclaw.cli.child import Child
from microclaw.mcp.server import service
from microclaw.operations.client import Client


async def pid_of_host(home: Path) -> int:
    found: int = (await asyncio.to_thread(Client(home / "control.sock").get, "/v1/status"))["pid"]
    return found


async def ends(pid: int) -> None:
    """Return when there is no such process."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], TIMEOUT_S)
    os.close(process)
    assert ended


def started(home: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "microclaw", "mcp", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environ(home),
    )


def say(process: subprocess.Popen[bytes], *messages: Any) -> None:
    assert process.stdin is not None
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
    process.stdin.write(b"\n".join(lines) + b"\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[bytes], count: int) -> dict[int, Any]:
    assert process.stdout is not None
    answers = [json.loads(process.stdout.readline()) for _ in range(count)]
    return {answer["id"]: answer for answer in answers}


def call(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def test_a_client_drives_a_board_with_nothing_running_before_and_nothing_left_after(place: Place) -> None:
    async with place.client() as client:
        assert client.server_info is not None
        assert client.server_info.name == "microclaw"
        done = await client.call_tool("gpio-set", {"pin": 4, "level": 1}, progress_callback=AsyncMock())
        assert done.structured_content is not None
        assert done.structured_content["evidence"][0]["kind"] == "counted"
        pid = await pid_of_host(place.home)
    await ends(pid)


async def test_clients_that_start_together_use_one_host_and_killed_they_leave_none(place: Place) -> None:
    """Each finds none and starts one: the host's own lock lets one of them be it."""
    processes = [started(place.home) for _ in range(3)]
    for process in processes:
        say(process, INITIALIZE, call(2, "tools/call", name="list-devices", arguments={}))
    for process in processes:
        answer = (await asyncio.to_thread(hear, process, 2))[2]
        assert answer["result"]["structuredContent"]["count"] == 1, answer
    pid = await pid_of_host(place.home)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=TIMEOUT_S)
    await ends(pid)


async def test_a_host_without_a_device_is_lent_a_virtual_board_which_goes_with_the_client(place: Place) -> None:
    words = ["microclaw", "--json", "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=place.home / "stderr", environ=clean_environ(place.home)) as child:
        await asyncio.to_thread(child.wait_ready)
        async with place.client() as client:
            done = await client.call_tool("gpio-set", {"pin": 4, "level": 1})
            assert not done.is_error, done.content
        client_of_host = Client(place.home / "control.sock")
        assert (await asyncio.to_thread(client_of_host.get, "/v1/devices"))["devices"] == []


async def test_a_host_that_went_away_is_started_again_for_the_next_call(place: Place) -> None:
    async with place.client() as client:
        await client.call_tool("list-devices", {})
        pid = await pid_of_host(place.home)
        os.kill(pid, signal.SIGKILL)
        await ends(pid)
        done = await client.call_tool("list-devices", {})
        assert not done.is_error, done.content
        assert await pid_of_host(place.home) != pid


def test_stdout_carries_the_protocol_alone(beside: Place) -> None:
    process = started(beside.home)
    lines: tuple[Any, ...] = (
        INITIALIZE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        b"this is no JSON",
        b"[" * 100_000,
        {"jsonrpc": "2.0"},
        call(7, "no/such"),
        call(8, "tools/call", name="no-such", arguments={}),
        call(9, "ping"),
    )
    say(process, *lines)
    answers = hear(process, 4)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (out, b"Traceback" in err, process.returncode) == (b"", False, 0)
    assert answers[1]["result"]["protocolVersion"] == "2025-11-25"
    assert answers[7]["error"]["code"] == -32601
    assert answers[8]["error"]["code"] == -32602
    assert answers[9]["result"] == {}


def test_a_host_that_does_not_start_is_told_with_its_reason(place: Place) -> None:
    (place.home / "microclaw.db").write_bytes(b"not a database at all" * 100)
    process = started(place.home)
    say(process, INITIALIZE)
    assert "next: " in hear(process, 1)[1]["error"]["message"]
    process.communicate(timeout=TIMEOUT_S)


async def test_a_full_host_is_told_at_once_and_no_second_one_is_started(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_SESSIONS", 0)
    async with people_host(place.home):
        process = started(place.home)
        say(process, INITIALIZE)
        assert "already" in (await asyncio.to_thread(hear, process, 1))[1]["error"]["message"]
        await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
    assert not (place.home / "mcp-host.log").exists()


def test_a_client_that_reads_nothing_does_not_keep_a_signal_from_ending_it(beside: Place) -> None:
    with started(beside.home) as process:
        assert process.stdin is not None
        say(process, INITIALIZE)
        hear(process, 1)  # it serves; nothing more is read
        os.set_blocking(process.stdin.fileno(), False)
        line = json.dumps(call(2, "tools/list")).encode() + b"\n"
        while select.select([], [process.stdin], [], 1.0)[1]:  # until nobody takes any more for a second
            os.write(process.stdin.fileno(), line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
