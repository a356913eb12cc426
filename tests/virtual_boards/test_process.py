"""Starting and stopping the virtual board's process."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.virtual_boards.process import VirtualBoardProcess, board_environ


async def test_ready_board_says_where_it_listens(tmp_path: Path) -> None:
    control = tmp_path / "c.sock"
    async with VirtualBoardProcess(name="bench-2", control=control, firmware=("attributes=old",)) as process:
        ready = process.ready
        assert (ready.name, ready.board, ready.control) == ("bench-2", "virtual", control)
        assert ready.transports == (
            f"wasmachine://127.0.0.1:{ready.wasmachine}",
            f"serial:tcp://127.0.0.1:{ready.serial}",
            f"virtual:{control}",
        )
        info = await process.control.info()
        assert (info.pid, info.generation) == (ready.pid, "old")
    assert not process.running
    with pytest.raises(ProcessLookupError):
        os.kill(ready.pid, 0)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GITHUB_TOKEN", "my_secret", "DB_PASSWORD"])
def test_what_looks_like_a_secret_is_left_out(name: str) -> None:
    assert board_environ({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def _environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_board_is_not_told_the_models_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-hidden")
    monkeypatch.setenv("MICROCLAW_NOTE", "shown")
    async with VirtualBoardProcess(serial="none") as board:
        environ = _environ(board.ready.pid)
    assert b"shown" in environ
    assert b"sk-hidden" not in environ


async def test_taken_port_is_an_error_with_the_boards_own_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = VirtualBoardProcess(wasmachine_port=port)
        with pytest.raises(ConfigError) as caught:
            await process.start()
    assert caught.value.next_step
    assert not process.running


async def test_how_a_board_ended_is_told_in_a_few_words() -> None:
    async with VirtualBoardProcess(serial="none") as process:
        ending = asyncio.create_task(process.ended())
        await process.kill()
        assert await asyncio.wait_for(ending, 10) == "SIGKILL"
    async with VirtualBoardProcess(serial="none") as process:
        await process.stop()
        await asyncio.wait_for(process.ended(), 10)


async def test_a_wait_for_the_end_that_is_cancelled_leaves_the_board_to_be_stopped() -> None:
    async with VirtualBoardProcess(serial="none") as process:
        ending = asyncio.create_task(process.ended())
        await process.control.info()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert process.running
    assert not process.running


async def test_killed_board_makes_its_control_transport_unreachable() -> None:
    async with VirtualBoardProcess() as process:
        await process.control.info()
        await process.kill()
        with pytest.raises(DeviceUnreachable) as caught:
            await process.control.info()
        assert caught.value.next_step
