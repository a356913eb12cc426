"""`microclaw mcp` over real stdio: nothing runs before, nothing is left after."""

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
from mcp import Client, StdioServerParameters
from tests.stories.conftest import environ_of

from microclaw.host.operations.client import Client as HostClient

MCP = ["-m", "microclaw", "mcp"]
TIMEOUT_S = 90.0
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home without a host."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def client_of(home: Path) -> Client:
    """An assistant that starts `microclaw mcp`."""
    return Client(StdioServerParameters(command=sys.executable, args=MCP, env=environ_of(home)))


async def test_the_printed_entry_starts_this_installation_with_its_home(home: Path) -> None:
    order = [sys.executable, "-m", "microclaw", "--home", str(home), "mcp", "--print-config"]
    env = environ_of(home) | {"ANTHROPIC_API_KEY": "sk-secret"}
    printed = await asyncio.to_thread(subprocess.run, order, env=env, capture_output=True, text=True, check=True)
    assert "sk-secret" not in printed.stdout
    entry = json.loads(printed.stdout)["mcpServers"]["microclaw"]
    assert Path(entry["command"]).is_absolute()
    server = StdioServerParameters(**entry, env={"PATH": os.environ["PATH"]})
    async with asyncio.timeout(TIMEOUT_S), Client(server) as client:
        tools = await client.list_tools()
    assert "list-devices" in {tool.name for tool in tools.tools}


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
    process = subprocess.Popen([sys.executable, *MCP], stdin=pipe, stdout=pipe, stderr=pipe, env=environ_of(home))
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


def test_stdout_carries_the_protocol_alone(home: Path) -> None:
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
