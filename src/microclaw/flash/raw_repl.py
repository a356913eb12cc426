"""MicroPython's raw REPL over a port: run code on the board, with raw-paste's flow control. It knows no files.

Protocol: MicroPython's documentation, "The MicroPython Interactive Interpreter Mode (aka REPL)", raw mode and raw-paste
mode. Without flow control a busy board loses bytes, so a board without raw-paste (before 1.14) is refused.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from microclaw.errors import DeviceError, DeviceTimeout, DeviceUnreachable, ProtocolError
from microclaw.text import clean_text
from microclaw.transports.serial_ports import SerialPort

_INTERRUPT: Final = b"\r\x03\x03"
_ENTER: Final = b"\r\x01"
_LEAVE: Final = b"\r\x02"
_BANNER: Final = b"raw REPL; CTRL-B to exit\r\n>"
_PASTE: Final = b"\x05A\x01"
_END: Final = b"\x04"
_MORE: Final = 0x01
_RESET_BANNER: Final = re.compile(rb"\brst:0x[0-9a-f]{1,2} \([A-Z0-9_]+\)")  # of the chip's ROM, after each reset
_STEP_S: Final = 5.0
_RETRY_S: Final = 0.5  # often enough to be heard between the chip's start and that of a main.py which hangs
_SETTLE_S: Final = 0.2
_MAX_OUTPUT_BYTES: Final = 256 * 1024
_MAX_WINDOW: Final = 64 * 1024
PULLED: Final = "check cable and plug, then run it again: it goes on where it was"


class BoardCodeError(DeviceError):
    """Code that we ran on the board raised; `traceback` is what the board said."""

    code = "board_code_error"

    def __init__(self, traceback: str) -> None:
        last = traceback.strip().splitlines()[-1] if traceback.strip() else "it did not say why"
        super().__init__(
            f"the board refused what it was told to do: {clean_text(last, one_line=True)[:200]}",
            next_step="run it again; microclaw flash --erase starts afresh",
        )
        self.traceback = traceback


class BoardRestarted(DeviceError):
    """The board reset by itself while it was being talked to: a panic, its watchdog, or its supply."""

    code = "board_restarted"


class RawRepl:
    """`where` names the port in errors."""

    def __init__(self, port: SerialPort, where: str) -> None:
        self._port = port
        self._where = where
        self._buffer = bytearray()

    async def enter(self, timeout_s: float) -> None:
        """Interrupt what runs and enter raw mode; DeviceTimeout when no MicroPython answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            self._buffer.clear()
            await self._write(_INTERRUPT)
            await self._write(_ENTER)
            try:
                await self._until(_BANNER, min(_RETRY_S, max(0.1, deadline - loop.time())))
            except (DeviceTimeout, BoardRestarted):  # it may be starting just now
                if loop.time() >= deadline:
                    raise DeviceTimeout(
                        f"no MicroPython answers on {self._where}", next_step="press the board's RESET button once"
                    ) from None
            else:
                await self._settle()
                return

    async def soft_reset(self, timeout_s: float = 15.0) -> None:
        """A fresh interpreter, in which boot.py has run and main.py has not."""
        await self._write(_END)
        await self._until(b"soft reboot", timeout_s)
        await self._until(_BANNER, timeout_s)

    async def run(self, code: str, timeout_s: float = 15.0) -> str:
        """Run the code and return what it printed; BoardCodeError when it raised."""
        await self._paste(code.encode())
        out = await self._until(_END, timeout_s)
        error = await self._until(_END, _STEP_S)
        await self._until(b">", _STEP_S)
        if error:
            raise BoardCodeError(error.decode("utf-8", "replace"))
        return out.decode("utf-8", "replace")

    async def start(self, code: str) -> None:
        """Hand over code that does not come back (a reset)."""
        await self._paste(code.encode())

    async def leave(self) -> None:
        """Back to the prompt that people use."""
        await self._write(_LEAVE)

    async def _paste(self, code: bytes) -> None:
        await self._write(_PASTE)
        answer = await self._take(2, _STEP_S)
        if answer != b"R\x01":
            raise ProtocolError(
                f"the MicroPython on {self._where} is too old: it has no raw-paste mode",
                next_step="put a newer one on the board: microclaw flash --erase",
            )
        step = int.from_bytes(await self._take(2, _STEP_S), "little")
        if not 0 < step <= _MAX_WINDOW:
            raise ProtocolError(f"the board on {self._where} offered a window of {step} bytes", next_step=PULLED)
        window, sent = step, 0
        while sent < len(code):
            while window == 0 or self._buffer:
                flow = (await self._take(1, _STEP_S))[0]
                if flow == _MORE:
                    window += step
                    continue
                if flow != _END[0]:
                    raise ProtocolError(f"the board on {self._where} lost step while code was sent", next_step=PULLED)
                await self._write(_END)  # the board wants no more: its compiler gave up; the error follows
                return
            piece = code[sent : sent + window]
            await self._write(piece)
            sent += len(piece)
            window -= len(piece)
        await self._write(_END)
        while (flow := (await self._take(1, _STEP_S))[0]) == _MORE:
            pass
        if flow != _END[0]:
            raise ProtocolError(f"the board on {self._where} lost step while code was sent", next_step=PULLED)

    async def _settle(self) -> None:
        """Drop what a second banner or a prompt still brings."""
        try:
            while True:
                async with asyncio.timeout(_SETTLE_S):
                    await self._port.read()
        except TimeoutError:
            self._buffer.clear()
        except (OSError, EOFError) as exc:
            raise self._gone(exc) from exc

    async def _until(self, ending: bytes, timeout_s: float) -> bytes:
        while (at := self._buffer.find(ending)) < 0:
            if len(self._buffer) > _MAX_OUTPUT_BYTES:
                raise ProtocolError(
                    f"the board on {self._where} sent more than {_MAX_OUTPUT_BYTES} bytes", next_step=PULLED
                )
            await self._more(timeout_s)
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(ending)]
        return found

    async def _take(self, count: int, timeout_s: float) -> bytes:
        while len(self._buffer) < count:
            await self._more(timeout_s)
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    async def _more(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                self._buffer += await self._port.read()
        except TimeoutError as exc:
            raise DeviceTimeout(
                f"the board on {self._where} said nothing for {timeout_s:.0f} s", next_step=PULLED
            ) from exc
        except (OSError, EOFError) as exc:
            raise self._gone(exc) from exc
        if _RESET_BANNER.search(self._buffer):
            raise BoardRestarted(
                f"the board on {self._where} restarted by itself",
                next_step="plug it in directly, without a hub, and run it again: it goes on where it was",
            )

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(_STEP_S):
                await self._port.write(data)
        except TimeoutError as exc:
            raise DeviceTimeout(f"the board on {self._where} takes no more bytes", next_step=PULLED) from exc
        except (OSError, EOFError) as exc:
            raise self._gone(exc) from exc

    def _gone(self, exc: Exception) -> DeviceUnreachable:
        return DeviceUnreachable(f"the board on {self._where} went away: {exc}", next_step=PULLED)
