"""Starts and stops a virtual board as a process. It reads the ready line and sends signals; it speaks no protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, Self

import msgspec
from msgspec import Struct

from microclaw.conversion import decode_json
from microclaw.devices.transports.virtual_board import SCHEME as CONTROL_SCHEME
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.devices.transports.wasmachine import SCHEME as WASMACHINE_SCHEME
from microclaw.devices.virtual_boards.fork_server import board_environ, fork_server
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.wire.forking import exit_code

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 3.0
_HOST: Final = "127.0.0.1"  # where a board listens
_MAX_STDERR_LINES: Final = 200
_MAX_LINE_BYTES: Final = 64 * 1024
_MAX_ENDING_CHARS: Final = 300


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


class _ForkedProcess:
    """A process of the fork server, with streams as asyncio's own subprocesses have."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.stdout = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        self.stderr = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        self._status = asyncio.StreamReader()
        self._transports: list[asyncio.ReadTransport] = []
        self._ending: asyncio.Task[int] | None = None

    @property
    def returncode(self) -> int | None:
        if self._ending is None or not self._ending.done():
            return None
        return self._ending.result()

    async def start(self, words: Sequence[str]) -> None:
        """Fork it. Raises DeviceUnreachable."""
        server = fork_server()
        await asyncio.to_thread(server.start)
        with ExitStack() as their_ends:
            nothing = os.open(os.devnull, os.O_RDONLY)
            their_ends.callback(os.close, nothing)
            descriptors = [nothing]
            for reader in (self.stdout, self.stderr, self._status):
                ours, theirs = os.pipe()
                their_ends.callback(os.close, theirs)
                descriptors.append(theirs)
                await self._connect(reader, ours)
            self.pid = server.fork(words, board_environ(os.environ), descriptors)
        self._ending = asyncio.create_task(self._end(), name=f"end of process {self.pid}")

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code, negative for a signal."""
        assert self._ending is not None, "it was not started"
        # Cancelled, it leaves that task alone.
        await asyncio.wait({self._ending})
        return self._ending.result()

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.pid is not None and self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Close our ends of its streams."""
        for transport in self._transports:
            transport.close()

    async def _connect(self, reader: asyncio.StreamReader, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(descriptor, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._transports.append(transport)

    async def _end(self) -> int:
        return exit_code(await self._status.read())


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
        self._words: Sequence[str] = ("microclaw.virtual", *arguments)
        self._process: _ForkedProcess | None = None
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
        process = self._process
        return process is not None and process.pid is not None and process.returncode is None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> BoardReady:
        """Start the process and wait for its ready line. An error has the text from stderr."""
        assert self._process is None, "a VirtualBoardProcess starts once"
        self._process = _ForkedProcess()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._process.start(self._words)
                self._draining = asyncio.create_task(self._drain_stderr(), name=f"stderr of {self.name}")
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
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                await self.kill()
        if self._draining is not None:
            await self._draining
            self._draining = None
        if self._process is not None:
            self._process.close()

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGKILL)
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
