"""Starting and stopping the virtual board's process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from microclaw.devices.virtual_boards.fork_server import fork_server
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.wire.board_control import Info


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
        info = await process.control.request(Info())
        assert (info.pid, info.generation) == (ready.pid, "old")
    assert not process.running
    with pytest.raises(ProcessLookupError):
        os.kill(ready.pid, 0)


async def test_a_board_is_not_told_the_models_keys_and_its_end_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("ANTHROPIC_API_KEY", "GITHUB_TOKEN", "my_secret", "DB_PASSWORD")
    for name in secrets:
        monkeypatch.setenv(name, "sk-hidden")
    monkeypatch.setenv("MICROCLAW_NOTE", "shown")
    # The environment of what it is forked from can be read, too.
    fork_server().close()
    async with VirtualBoardProcess(serial="none") as board:
        environ = environ_of(board.ready.pid)
        ending = asyncio.create_task(board.ended())
        await board.kill()
        assert await ending == "SIGKILL"
        with pytest.raises(DeviceUnreachable):
            await board.control.request(Info())
    assert (b"shown" in environ, b"sk-hidden" in environ) == (True, False)


async def test_a_board_has_its_hosts_environment_and_folder_of_now_and_no_descriptor_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A control socket's path is short, pytest's folders are long.
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with VirtualBoardProcess(serial="none") as first:
            monkeypatch.setenv("TMPDIR", name)
            monkeypatch.chdir(folder)
            async with VirtualBoardProcess(serial="none") as second:
                assert second.ready.control.is_relative_to(folder)
                assert folder_of(second.ready.pid) == folder
                assert os.getsid(second.ready.pid) == second.ready.pid
                assert descriptors_of(second.ready.pid).isdisjoint(descriptors_of(first.ready.pid))


async def test_boards_end_with_what_they_were_forked_from_and_the_next_one_starts() -> None:
    async with VirtualBoardProcess(serial="none") as board:
        os.kill(parent_of(board.ready.pid), signal.SIGKILL)
        assert (await board.ended()).startswith("SIGTERM")
        async with VirtualBoardProcess(serial="none") as next_board:
            assert (await next_board.control.request(Info())).pid == next_board.ready.pid


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


async def test_a_wait_for_the_end_that_is_cancelled_leaves_the_board_to_be_stopped() -> None:
    async with VirtualBoardProcess(serial="none") as process:
        ending = asyncio.create_task(process.ended())
        await process.control.request(Info())
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert process.running
    assert not process.running


def environ_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def descriptors_of(pid: int) -> set[str]:
    """Return the sockets and pipes that a process has open."""
    targets = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return {target for target in targets if target.startswith(("socket:", "pipe:"))}


def folder_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))
