"""MicroPython's raw REPL on a port: mpremote's transport, with each call in a thread and under a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import MsgspecError

from microclaw.conversion import decode_json
from microclaw.errors import DeviceError, DeviceTimeout, DeviceUnreachable, MicroclawError, ProtocolError
from microclaw.text import clean_text

if TYPE_CHECKING:
    from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]

T = TypeVar("T")
# The chip's ROM prints it after each reset.
_RESET_BANNER: Final = re.compile(rb"\brst:0x[0-9a-f]{1,2} \([A-Z0-9_]+\)")
# For answers that a waiting board gives at once.
_READ_S: Final = 5.0
_RUN_S: Final = 15.0
_QUIET_S: Final = 0.2
# Often enough that the board reads it between the chip's start and the start of a main.py that hangs.
_RETRY_S: Final = 0.5
# For the banner of a board that also prints other things.
_TALK_S: Final = 2.0
_MAX_OUTPUT_BYTES: Final = 64 * 1024
STOP_IT: Final = "hold the board's BOOT button, press RESET once, let BOOT go; then: microclaw flash"
PULLED: Final = "check cable and plug, then run it again: it continues where it was"


def nonsense(about: str) -> DeviceError:
    """Return the error for an answer of the board that has no valid form."""
    return DeviceError(f"the board answered nonsense about {about}", next_step="microclaw flash --erase")


class BoardCodeError(DeviceError, code="board_code_error"):
    """Code that we ran on the board raised an exception."""


class BoardRestarted(DeviceError, code="board_restarted"):
    """The board reset by itself during a call: a panic, its watchdog, or its supply."""


class _RecordingPort:
    """mpremote's port, which keeps what is read and looks for a restart in it."""

    def __init__(self, port: Any, board: str) -> None:
        self.port = port
        self._board = board
        self.data = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    def read(self, size: int = 1) -> bytes:
        data: bytes = self.port.read(size)
        self.data += data
        if len(self.data) > _MAX_OUTPUT_BYTES:
            raise ProtocolError(f"{self._board} sent more than {_MAX_OUTPUT_BYTES} bytes", next_step=STOP_IT)
        if b")" in data and _RESET_BANNER.search(self.data[-64:]):
            raise BoardRestarted(f"{self._board} restarted by itself", next_step=f"no USB hub; {PULLED}")
        return data


class RawRepl:
    """A board's raw REPL; `where` names the board's port in errors."""

    def __init__(self, board: SerialTransport, where: str) -> None:
        self._board = board
        self._where = f"the board on {where}"
        self._port = where
        # The reads of a pty would wait for the whole time-out of the port.
        board.is_pty = False
        board.serial.timeout = _READ_S
        self._received = board.serial = _RecordingPort(board.serial, self._where)

    async def enter(self, timeout_s: float) -> None:
        """Interrupt the program and enter raw mode; DeviceTimeout if no MicroPython answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                return await self._call(self._enter, _RUN_S)
            except DeviceTimeout:
                # Its port is closed now.
                raise self._no_micropython() from None
            except (BoardRestarted, ProtocolError):
                # It may be starting just now.
                if loop.time() >= deadline:
                    raise self._no_micropython() from None

    def _enter(self) -> None:
        wait_s = _TALK_S if self._received.data else _RETRY_S
        self._board.enter_raw_repl(soft_reset=False, timeout_overall=wait_s)
        # Read a second banner or prompt away.
        self._board.read_until(1, b"never", timeout=_QUIET_S, timeout_overall=_TALK_S)
        self._board.enter_raw_repl(soft_reset=False, timeout_overall=_TALK_S)

    async def soft_reset(self) -> None:
        """Start a fresh interpreter, in which boot.py has run and main.py has not."""
        self._received.data.clear()
        await self._call(lambda: self._board.enter_raw_repl(soft_reset=True, timeout_overall=_RUN_S), 3 * _RUN_S)

    async def run(self, code: str, timeout_s: float = _RUN_S) -> str:
        """Run the code and return its output; BoardCodeError if it raised an exception."""
        self._received.data.clear()
        output = bytearray()
        _, error = await self._call(lambda: self._board.exec_raw(code, timeout_s, output.extend), timeout_s)
        if error:
            last = clean_text(error.decode("utf-8", "replace").strip().rpartition("\n")[2], one_line=True)
            raise BoardCodeError(f"{self._where} refused: {last[:200]}", next_step="microclaw flash --erase")
        # The last byte marks the end.
        return output[:-1].decode("utf-8", "replace")

    async def rows(self, code: str, form: Any, about: str, timeout_s: float = _RUN_S) -> list[Any]:
        """Run the code and return the JSON value of each line of its output.

        The board is not trusted: DeviceError if a value does not have this form (a type of msgspec).
        """
        answer = await self.run(code, timeout_s)
        try:
            return [decode_json(line, form) for line in answer.split("\n") if line.strip()]
        except (MsgspecError, RecursionError) as exc:
            raise nonsense(about) from exc

    async def start(self, code: str) -> None:
        """Start code that does not return (a reset)."""
        self._received.data.clear()
        await self._call(lambda: self._board.exec_raw_no_follow(code), _RUN_S)

    async def leave(self) -> None:
        """Return the board to its normal prompt."""
        await self._call(self._board.exit_raw_repl, _READ_S)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        port = self._board.serial = self._received.port
        # The waits of threads end first. pyserial leaves a socket open if its other end has closed.
        for method in ("_socket.close", "cancel_write", "cancel_read", "close"):
            # Not every port has each of these methods, and the port may have disappeared.
            with contextlib.suppress(Exception):
                attrgetter(method)(port)()

    async def _call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function in a thread; after the time-out its port is closed, which ends the thread."""
        from mpremote.transport import TransportError  # type: ignore[import-untyped]

        work = asyncio.get_running_loop().run_in_executor(None, function)
        # After a time-out no caller takes the exception, and asyncio would complain.
        work.add_done_callback(lambda future: future.exception())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(work)
        except TimeoutError as exc:
            raise DeviceTimeout(f"{self._where} did not answer in time", next_step=PULLED) from exc
        except MicroclawError:
            raise
        except OSError as exc:
            raise DeviceUnreachable(f"{self._where} went away: {exc.strerror or exc}", next_step=PULLED) from exc
        except (TransportError, struct.error, TypeError) as exc:
            # A closed port raises TypeError.
            raise ProtocolError(f"{self._where} broke the raw REPL's protocol", next_step=PULLED) from exc
        finally:
            if not work.done():
                await self.close()

    def _no_micropython(self) -> DeviceTimeout:
        """Return an error that says what the port sent instead."""
        received = bytes(self._received.data)
        what = f"no MicroPython answers on {self._port}"
        if not received.strip():
            step = "press the board's RESET once and run it again, or try its other USB socket"
            return DeviceTimeout(f"{what}: it says nothing", next_step=step)
        if not received.strip(b"\r\x01\x03"):
            step = f"microclaw doctor --port {self._port}; remove a jumper between its pins RX and TX"
            return DeviceTimeout(f"{what}: it only echoes its input", next_step=step)
        return DeviceTimeout(f"{what}: another program runs there", next_step=STOP_IT)
