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

import pytest
from tests.api.people_host import people_host
from tests.mcp.conftest import INITIALIZE, TIMEOUT_S, Place, clean_environ

from microclaw.cli.child import Child
from microclaw.errors import NoHost
from microclaw.mcp.server import bridge, service
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


def write_on(fd: int, line: bytes) -> None:
    for _ in range(1_000_000):
        os.write(fd, line)


def end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    out, err = process.communicate(timeout=TIMEOUT_S)
    return out, err


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_drives_a_board_with_nothing_running_before_and_nothing_left_after(
    place: Place, mode: str
) -> None:
    async with place.client(mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "microclaw"
        done = await client.call_tool("gpio-set", {"pin": 4, "level": 1}, progress_callback=place.note)
        assert done.structured_content is not None
        assert done.structured_content["evidence"][0]["kind"] == "counted"
        pid = await pid_of_host(place.home)
    await ends(pid)


async def test_clients_that_start_together_use_one_host(place: Place) -> None:
    """Each finds none and starts one: the host's own lock lets one of them be it."""
    processes = [started(place.home) for _ in range(3)]
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list-devices", "arguments": {}}}
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in (INITIALIZE, call)))
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        for _ in range(2):
            answer = json.loads(await asyncio.to_thread(process.stdout.readline))
        assert answer["result"]["structuredContent"]["count"] == 1, answer
    pid = await pid_of_host(place.home)
    for process in processes:
        end(process)
    await ends(pid)


async def test_a_killed_client_leaves_no_host_behind(place: Place) -> None:
    process = started(place.home)
    assert process.stdin is not None
    assert process.stdout is not None
    lines = [INITIALIZE, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}]
    process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    process.stdin.flush()
    for _ in lines:
        assert "result" in json.loads(await asyncio.to_thread(process.stdout.readline))
    pid = await pid_of_host(place.home)
    process.send_signal(signal.SIGKILL)
    end(process)
    await ends(pid)


async def test_a_host_that_a_person_started_goes_on_after_the_client(beside: Place, host: dict[str, Any]) -> None:
    async with beside.client() as client:
        assert not (await client.call_tool("list-devices", {})).is_error
    assert await pid_of_host(beside.home) == host["pid"]


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
    assert process.stdin is not None
    lines = [
        json.dumps(INITIALIZE).encode(),
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b"this is no JSON",
        b"[" * 100_000,
        b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","id":7,"method":"no/such"}',
        b'{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"no-such","arguments":{}}}',
        b'{"jsonrpc":"2.0","id":9,"method":"ping"}',
    ]
    process.stdin.write(b"\n".join(lines) + b"\n")
    process.stdin.flush()
    assert process.stdout is not None
    answers = [json.loads(process.stdout.readline()) for _ in range(4)]
    out, err = end(process)
    assert (out, b"Traceback" in err) == (b"", False)
    by_id = {answer["id"]: answer for answer in answers}
    assert by_id[1]["result"]["protocolVersion"] == "2025-11-25"
    assert by_id[7]["error"]["code"] == -32601
    assert "no-such" in by_id[8]["error"]["message"]
    assert by_id[9]["result"] == {}
    assert process.returncode == 0


def test_a_host_that_does_not_start_is_told_with_its_reason(place: Place) -> None:
    (place.home / "microclaw.db").write_bytes(b"not a database at all" * 100)
    process = started(place.home)
    out, _ = process.communicate(json.dumps(INITIALIZE).encode() + b"\n", timeout=TIMEOUT_S)
    assert "next: " in json.loads(out)["error"]["message"]


@pytest.mark.parametrize("full", [True, False])
async def test_one_that_cannot_serve_is_told_in_time_and_no_second_host_is_started(
    place: Place, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    starts = place.home / "mcp-host.log"
    if full:
        monkeypatch.setattr(service, "MAX_SESSIONS", 0)
        async with people_host(place.home):
            process = started(place.home)
            out, _ = await asyncio.to_thread(process.communicate, json.dumps(INITIALIZE).encode() + b"\n", TIMEOUT_S)
        assert "already" in json.loads(out)["error"]["message"]
        assert not starts.exists()
        return
    script = place.home / "hangs"
    script.write_text("#!/bin/sh\necho began >&2\nexec sleep 20\n")
    script.chmod(0o700)
    monkeypatch.setattr(bridge, "START_S", 0.5)
    monkeypatch.setattr(sys, "executable", str(script))
    served = bridge._Bridge(place.home, place.home / "nobody.mcp", every_tool=False)
    for _ in range(2):
        with pytest.raises(NoHost):
            served._connect()
    assert served._starting is not None
    with served._starting as process:
        process.kill()
    assert starts.read_text() == "began\n"


def test_a_client_that_closes_its_end_of_the_answers_is_an_end_and_no_failure(beside: Place) -> None:
    process = started(beside.home)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    ping = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode() + b"\n"
    with pytest.raises(BrokenPipeError):
        write_on(process.stdin.fileno(), ping)
    with process.stderr as err:
        assert (process.wait(TIMEOUT_S), err.read()) == (0, b"")
    process.stdin.close()


def test_a_client_that_reads_nothing_does_not_keep_a_signal_from_ending_it(beside: Place) -> None:
    with started(beside.home) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()  # it serves; nothing more is read
        os.set_blocking(process.stdin.fileno(), False)
        line = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).encode() + b"\n"
        while select.select([], [process.stdin], [], 1.0)[1]:  # until nobody takes any more for a second
            os.write(process.stdin.fileno(), line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
