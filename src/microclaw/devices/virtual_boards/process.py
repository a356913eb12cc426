"""Starts and stops a virtual board as a process. It reads the ready line and sends signals; it speaks no protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Self

import msgspec
from msgspec import Struct

from microclaw.conversion import decode_json
from microclaw.devices.transports.virtual_board import SCHEME as CONTROL_SCHEME
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.devices.transports.wasmachine import SCHEME as WASMACHINE_SCHEME
from microclaw.errors import ConfigError, DeviceUnreachable

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 3.0
_HOST: Final = "127.0.0.1"  # where a board listens
_MAX_STDERR_LINES: Final = 200
_MAX_LINE_BYTES: Final = 64 * 1024
_MAX_ENDING_CHARS: Final = 300
_SECRET_ENDINGS: Final = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


class BoardReady(Struct, frozen=True):
    """The ready line of a board: where it listens."""

    name: str
    board: str
    pid: int
    wasmachine: int
    serial: int | None
    pty: str | None
    control: Path

    @property
    def transports(self) -> tuple[str, ...]:
        """The transport ids of this board."""
        transports = [f"{WASMACHINE_SCHEME}{_HOST}:{self.wasmachine}"]
        if self.serial is not None:
            transports.append(f"serial:tcp://{_HOST}:{self.serial}")
        elif self.pty is not None:
            transports.append(f"serial:{self.pty}")
        return (*transports, f"{CONTROL_SCHEME}{self.control}")


def board_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a board, without secrets: it runs programs that nobody has checked."""
    return {name: value for name, value in environ.items() if not name.upper().endswith(_SECRET_ENDINGS)}


class VirtualBoardProcess:
    """`async with VirtualBoardProcess(...) as board` runs a board; `board.ready` says where it listens.

    The board ends when this process does, even by kill -9 (Linux).
    """

    def __init__(
        self,
        *,
        name: str = "virtual-1",
        board: str = "virtual",
        wasmachine_port: int = 0,
        serial: int | Literal["pty", "none"] = 0,
        control: Path | None = None,
        flash: Path | None = None,
        clock: Literal["real", "virtual"] = "real",
        firmware: Sequence[str] = (),
    ) -> None:
        self.name = name
        arguments = ["--name", name, "--board", board, "--wasmachine", str(wasmachine_port), "--serial", str(serial)]
        arguments += ["--clock", clock, "--die-with-parent"]
        if control is not None:
            arguments += ["--control", str(control)]
        if flash is not None:
            arguments += ["--flash", str(flash)]
        arguments += [f"--firmware={word}" for word in firmware]
        self._command: Sequence[str] = (sys.executable, "-m", "microclaw.virtual", *arguments)
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: deque[str] = deque(maxlen=_MAX_STDERR_LINES)
        self._draining: asyncio.Task[None] | None = None
        self._ready: BoardReady | None = None
        self._control: VirtualBoardTransport | None = None

    @property
    def ready(self) -> BoardReady:
        assert self._ready is not None, "the board was not started"
        return self._ready

    @property
    def control(self) -> VirtualBoardTransport:
        """The board's control transport; closed with the board."""
        if self._control is None:
            self._control = VirtualBoardTransport(self.ready.control)
        return self._control

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> BoardReady:
        """Start the process and wait for its ready line. An error has the text from stderr."""
        assert self._process is None, "a VirtualBoardProcess starts once"
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            env=board_environ(os.environ),
            start_new_session=True,  # Ctrl-C in the terminal is for the host, which stops its boards itself
        )
        self._draining = asyncio.create_task(self._drain_stderr(), name=f"stderr of {self.name}")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._ready = await self._read_ready()
        except BaseException as exc:
            await self.stop()
            if not isinstance(exc, TimeoutError):
                raise
            text = f"{self.name} was not ready within {START_TIMEOUT_S:g} s{self._stderr_text()}"
            raise DeviceUnreachable(text, next_step="start it again") from exc
        return self._ready

    async def stop(self) -> None:
        """End the board: SIGTERM, then SIGKILL if it does not end."""
        if self._control is not None:
            await self._control.close()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                await self.kill()
        if self._draining is not None:
            await self._draining
            self._draining = None

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def ended(self) -> str:
        """Wait until the process has ended, by itself or by `stop`. Returns how, with its last lines on stderr."""
        assert self._process is not None, "the board was not started"
        code = await self._process.wait()
        if self._draining is not None:
            await asyncio.wait({self._draining}, timeout=STOP_TIMEOUT_S)  # cancelled, it leaves that task alone
        try:
            if code >= 0:
                how = f"exit code {code}"
            else:
                how = signal.Signals(-code).name
        except ValueError:  # a real-time signal has no name
            how = f"signal {-code}"
        return f"{how}{self._stderr_text()}"[:_MAX_ENDING_CHARS]

    async def _read_ready(self) -> BoardReady:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self._process.wait()
            if self._draining is not None:
                await self._draining
            raise ConfigError(
                f"{self.name} did not start (exit code {self._process.returncode}){self._stderr_text()}",
                next_step=self._told("next: ") or "microclaw virtual --help",
            )
        return _ready(line)

    async def _drain_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line over the limit: its start is lost, the rest goes on
                continue
            if not line:
                return
            self._stderr.append(line.decode(errors="replace").rstrip())

    def _stderr_text(self) -> str:
        text = self._told("error: ") or "; ".join(list(self._stderr)[-3:])
        if text:
            return f": {text}"
        return ""

    def _told(self, head: str) -> str | None:
        return next((line.removeprefix(head) for line in self._stderr if line.startswith(head)), None)


def _ready(line: bytes) -> BoardReady:
    try:
        return decode_json(line, BoardReady, dec_hook=lambda kind, value: kind(value))
    except (msgspec.MsgspecError, TypeError) as exc:
        raise ConfigError(
            f"the virtual board's ready line is unreadable: {line[:200]!r}", next_step="is it of this version?"
        ) from exc
