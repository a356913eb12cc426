"""`microclaw mcp` over real stdio: nothing runs before, nothing is left after."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.api.people_host import people_host
from tests.mcp.handshake import INITIALIZE, TIMEOUT_S

from mcp import Client, StdioServerParameters
from microclaw.cli.child import Child
from microclaw.mcp.server import service
from microclaw.operations.client import Client as HostClient

MCP = ["-m", "microclaw", "mcp"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home without a host."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def clean_environ(home: Path) -> dict[str, str]:
    """This environment without model keys, or somebody's home."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "MICROCLAW_HOME": str(home)}


def client_of(home: Path) -> Client:
    """An assistant that starts `microclaw mcp`."""
    return Client(StdioServerParameters(command=sys.executable, args=MCP, env=clean_environ(home)))


@contextmanager
def running(home: Path, *more: str) -> Iterator[None]:
    """A host that a person started."""
    words = ["microclaw", "--json", "up", "--port", "0", "--die-with-parent", *more]
    with Child("host", words, log=home / "stderr", environ=clean_environ(home)) as child:
        child.wait_ready()
        yield


async def pid_of_host(home: Path) -> int:
    found: int = (await asyncio.to_thread(HostClient(home / "control.sock").get, "/v1/status"))["pid"]
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


def started(home: Path, *messages: Any) -> subprocess.Popen[bytes]:
    """`microclaw mcp`, which these lines have been said to."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, *MCP], stdin=pipe, stdout=pipe, stderr=pipe, env=clean_environ(home))
    assert process.stdin is not None
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
    process.stdin.write(b"\n".join(lines) + b"\n")
    process.stdin.flush()
    return process


def hear(process: subprocess.Popen[bytes], count: int) -> dict[int, Any]:
    assert process.stdout is not None
    answers = [json.loads(process.stdout.readline()) for _ in range(count)]
    return {answer["id"]: answer for answer in answers}


def call(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def test_a_client_drives_a_board_with_nothing_running_before_and_nothing_left_after(home: Path) -> None:
    async with asyncio.timeout(TIMEOUT_S), client_of(home) as client:
        done = await client.call_tool("gpio-set", {"pin": 4, "level": 1}, progress_callback=AsyncMock())
        assert done.structured_content is not None
        assert done.structured_content["evidence"][0]["kind"] == "counted"
        gone = await pid_of_host(home)
        os.kill(gone, signal.SIGKILL)  # a host that went away is started again for the next call
        await ends(gone)
        again = await client.call_tool("list-devices", {})
        assert not again.is_error, again.content
        pid = await pid_of_host(home)
        assert pid != gone
    await ends(pid)


async def test_clients_that_start_together_use_one_host_and_killed_they_leave_none(home: Path) -> None:
    """Each finds none and starts one: the host's own lock lets one of them be it."""
    asked = call(2, "tools/call", name="list-devices", arguments={})
    processes = [started(home, INITIALIZE, asked) for _ in range(3)]
    for process in processes:
        answer = (await asyncio.to_thread(hear, process, 2))[2]
        assert answer["result"]["structuredContent"]["count"] == 1, answer
    pid = await pid_of_host(home)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=TIMEOUT_S)
    await ends(pid)


def test_a_host_that_does_not_start_is_told_with_its_reason(home: Path) -> None:
    (home / "microclaw.db").write_bytes(b"not a database at all" * 100)
    process = started(home, INITIALIZE)
    assert "next: " in hear(process, 1)[1]["error"]["message"]
    process.communicate(timeout=TIMEOUT_S)


async def test_a_full_host_is_told_at_once_and_no_second_one_is_started(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_SESSIONS", 0)
    async with people_host(home):
        process = started(home, INITIALIZE)
        assert "already" in (await asyncio.to_thread(hear, process, 1))[1]["error"]["message"]
        await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
    assert not (home / "mcp-host.log").exists()


async def test_beside_a_host_without_a_device(home: Path) -> None:
    """It is lent a virtual board, stdout carries the protocol alone, and a client that reads nothing can be ended."""
    with running(home):
        async with asyncio.timeout(TIMEOUT_S), client_of(home) as client:
            done = await client.call_tool("gpio-set", {"pin": 4, "level": 1})
            assert not done.is_error, done.content
        devices = await asyncio.to_thread(HostClient(home / "control.sock").get, "/v1/devices")
        assert devices["devices"] == [], "it goes with the client"
        await asyncio.to_thread(_carries_the_protocol_alone, home)
        await asyncio.to_thread(_ends_although_nobody_reads, home)


def _carries_the_protocol_alone(home: Path) -> None:
    process = started(
        home,
        INITIALIZE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        b"this is no JSON",
        b"[" * 100_000,
        {"jsonrpc": "2.0"},
        call(7, "no/such"),
        call(8, "tools/call", name="no-such", arguments={}),
        call(9, "ping"),
    )
    answers = hear(process, 4)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (out, b"Traceback" in err, process.returncode) == (b"", False, 0)
    assert answers[1]["result"]["protocolVersion"] == "2025-11-25"
    assert [answers[number]["error"]["code"] for number in (7, 8)] == [-32601, -32602]
    assert answers[9]["result"] == {}


def _ends_although_nobody_reads(home: Path) -> None:
    with started(home, INITIALIZE) as process:
        assert process.stdin is not None
        hear(process, 1)  # it serves; nothing more is read
        os.set_blocking(process.stdin.fileno(), False)
        line = json.dumps(call(2, "tools/list")).encode() + b"\n"
        while select.select([], [process.stdin], [], 1.0)[1]:  # until nobody takes any more for a second
            os.write(process.stdin.fileno(), line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
