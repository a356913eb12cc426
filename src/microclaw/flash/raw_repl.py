"""MicroPython's raw REPL on a port: mpremote's transport, each act in a thread with a deadline outside of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import MsgspecError, json

from microclaw.errors import DeviceError, DeviceTimeout, DeviceUnreachable, MicroclawError, ProtocolError
from microclaw.text import clean_text

if TYPE_CHECKING:
    from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]

T = TypeVar("T")
_RESET_BANNER: Final = re.compile(rb"\brst:0x[0-9a-f]{1,2} \([A-Z0-9_]+\)")  # of the chip's ROM, after each reset
_READ_S: Final = 5.0  # for what a waiting board answers at once
_RUN_S: Final = 15.0
_QUIET_S: Final = 0.2
_RETRY_S: Final = 0.5  # often enough to be heard between the chip's start and that of a main.py which hangs
_TALK_S: Final = 2.0  # for the banner from a board that prints other things meanwhile
_MAX_OUTPUT_BYTES: Final = 64 * 1024
STOP_IT: Final = "hold the board's BOOT button, press RESET once, let BOOT go; then: microclaw flash"
PULLED: Final = "check cable and plug, then run it again: it goes on where it was"


def nonsense(about: str) -> DeviceError:
    return DeviceError(f"the board answered nonsense about {about}", next_step="microclaw flash --erase")


class BoardCodeError(DeviceError, code="board_code_error"):
    """Code that we ran on the board raised an exception."""


class BoardRestarted(DeviceError, code="board_restarted"):
    """The board reset by itself while it was being talked to: a panic, its watchdog, or its supply."""


class _Heard:
    """mpremote's port. Each byte that is read passes here."""

    def __init__(self, port: Any, where: str) -> None:
        self.port = port
        self._where = where
        self.data = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    def read(self, size: int = 1) -> bytes:
        read: bytes = self.port.read(size)
        self.data += read
        if len(self.data) > _MAX_OUTPUT_BYTES:
            raise ProtocolError(f"{self._where} sent more than {_MAX_OUTPUT_BYTES} bytes", next_step=STOP_IT)
        if b")" in read and _RESET_BANNER.search(self.data[-64:]):
            raise BoardRestarted(f"{self._where} restarted by itself", next_step=f"no USB hub; {PULLED}")
        return read


class RawRepl:
    """`where` names the board's port in errors."""

    def __init__(self, board: SerialTransport, where: str) -> None:
        self._board = board
        self._where = f"the board on {where}"
        self._port = where
        board.is_pty = False  # its reads would wait for the whole time-out of the port
        board.serial.timeout = _READ_S
        self._heard = board.serial = _Heard(board.serial, self._where)

    async def enter(self, timeout_s: float) -> None:
        """Interrupt what runs and enter raw mode; DeviceTimeout when no MicroPython answers, whatever else talks."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                return await self._act(self._enter, _RUN_S)
            except DeviceTimeout:  # its port is closed now
                raise self._no_micropython() from None
            except (BoardRestarted, ProtocolError):  # it may be starting just now
                if loop.time() >= deadline:
                    raise self._no_micropython() from None

    def _enter(self) -> None:
        wait_s = _TALK_S if self._heard.data else _RETRY_S
        self._board.enter_raw_repl(soft_reset=False, timeout_overall=wait_s)
        self._board.read_until(1, b"never", timeout=_QUIET_S, timeout_overall=_TALK_S)  # of a second banner or prompt
        self._board.enter_raw_repl(soft_reset=False, timeout_overall=_TALK_S)

    async def soft_reset(self) -> None:
        """Start a fresh interpreter, in which boot.py has run and main.py has not."""
        self._heard.data.clear()
        await self._act(lambda: self._board.enter_raw_repl(soft_reset=True, timeout_overall=_RUN_S), 3 * _RUN_S)

    async def run(self, code: str, timeout_s: float = _RUN_S) -> str:
        """Run the code and return what it printed; BoardCodeError when it raised an exception."""
        self._heard.data.clear()
        said = bytearray()
        _, error = await self._act(lambda: self._board.exec_raw(code, timeout_s, said.extend), timeout_s)
        if error:
            last = clean_text(error.decode("utf-8", "replace").strip().rpartition("\n")[2], one_line=True)
            raise BoardCodeError(f"{self._where} refused: {last[:200]}", next_step="microclaw flash --erase")
        return said[:-1].decode("utf-8", "replace")  # without the mark of its end

    async def rows(self, code: str, form: Any, about: str, timeout_s: float = _RUN_S) -> list[Any]:
        """Run the code and return the JSON value of each line that it printed.

        The board is not trusted: DeviceError if a value does not have this form (a type of msgspec).
        """
        answer = await self.run(code, timeout_s)
        try:
            return [json.decode(line, type=form) for line in answer.split("\n") if line.strip()]
        except (MsgspecError, RecursionError) as exc:
            raise nonsense(about) from exc

    async def start(self, code: str) -> None:
        """Hand over code that does not come back (a reset)."""
        self._heard.data.clear()
        await self._act(lambda: self._board.exec_raw_no_follow(code), _RUN_S)

    async def leave(self) -> None:
        """Back to the prompt that people use."""
        await self._act(self._board.exit_raw_repl, _READ_S)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        port = self._board.serial = self._heard.port
        for end in ("_socket.close", "cancel_write", "cancel_read", "close"):  # a thread's wait ends first
            with contextlib.suppress(Exception):  # it is no socket, or has no cancels, or is gone
                attrgetter(end)(port)()  # pyserial leaves a socket open when its other end has closed

    async def _act(self, act: Callable[[], T], timeout_s: float) -> T:
        """In a thread, which ends with its port when it takes longer than this."""
        from mpremote.transport import TransportError  # type: ignore[import-untyped]

        work = asyncio.get_running_loop().run_in_executor(None, act)
        work.add_done_callback(lambda done: done.exception())  # nobody may be there to take it
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(work)
        except TimeoutError as exc:
            raise DeviceTimeout(f"{self._where} did not answer in time", next_step=PULLED) from exc
        except MicroclawError:
            raise
        except OSError as exc:
            raise DeviceUnreachable(f"{self._where} went away: {exc.strerror or exc}", next_step=PULLED) from exc
        except (TransportError, struct.error, TypeError) as exc:  # TypeError: of a port that is closed
            raise ProtocolError(f"{self._where} lost step", next_step=PULLED) from exc
        finally:
            if not work.done():
                await self.close()

    def _no_micropython(self) -> DeviceTimeout:
        """Build an error that quotes what came instead."""
        said = bytes(self._heard.data)
        what = f"no MicroPython answers on {self._port}"
        if not said.strip():
            step = "press the board's RESET once and run it again, or try its other USB socket"
            return DeviceTimeout(f"{what}: it says nothing", next_step=step)
        if not said.strip(b"\r\x01\x03"):
            step = f"microclaw doctor --port {self._port}; take off what joins its pins RX and TX"
            return DeviceTimeout(f"{what}: what is sent there only comes back", next_step=step)
        return DeviceTimeout(f"{what}: another program talks there", next_step=STOP_IT)
