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
_RUN_S: Final = 15.0
_RETRY_S: Final = 0.5  # often enough to be heard between the chip's start and that of a main.py which hangs
_TALK_S: Final = 2.0  # for the banner from a board that prints other things meanwhile
_SETTLE_S: Final = 0.2
_MAX_BANNER_BYTES: Final = 64  # of a reset, split between two reads
_ENDLESS_BYTES: Final = 4096  # that many while it is entered are no prompt, no traceback and no boot message
_MAX_OUTPUT_BYTES: Final = 256 * 1024
_MAX_WINDOW: Final = 64 * 1024
STOP_IT: Final = (
    "hold the board's BOOT button, press RESET (EN) once, let BOOT go: nothing of it runs then; and microclaw flash"
)
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
        self._heard = bytearray()  # the beginning of what came while it was entered, for words about it

    async def enter(self, timeout_s: float) -> None:
        """Interrupt what runs and enter raw mode; DeviceTimeout when no MicroPython answers, whatever else talks."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        self._heard.clear()
        while True:
            self._buffer.clear()
            try:
                await self._write(_INTERRUPT)
                await self._write(_ENTER)
                left_s = max(0.1, deadline - loop.time())
                await self._until(_BANNER, min(_TALK_S, left_s), quiet_s=min(_RETRY_S, left_s))
                await self._settle()
            except (DeviceTimeout, BoardRestarted, ProtocolError):  # it may be starting just now
                if loop.time() >= deadline:
                    raise self._no_micropython() from None
            else:
                return

    async def soft_reset(self, timeout_s: float = 15.0) -> None:
        """A fresh interpreter, in which boot.py has run and main.py has not."""
        await self._write(_END)
        await self._until(b"soft reboot", timeout_s)
        await self._until(_BANNER, timeout_s)

    async def run(self, code: str, timeout_s: float = _RUN_S) -> str:
        """Run the code and return what it printed; BoardCodeError when it raised. DeviceTimeout when sending it, or
        what it does, takes longer than this."""
        await self._paste(code.encode(), timeout_s)
        out = await self._until(_END, timeout_s)
        error = await self._until(_END, _STEP_S)
        await self._until(b">", _STEP_S)
        if error:
            raise BoardCodeError(error.decode("utf-8", "replace"))
        return out.decode("utf-8", "replace")

    async def start(self, code: str) -> None:
        """Hand over code that does not come back (a reset)."""
        await self._paste(code.encode(), _RUN_S)

    async def leave(self) -> None:
        """Back to the prompt that people use."""
        await self._write(_LEAVE)

    async def _paste(self, code: bytes, timeout_s: float) -> None:
        """All of the code within this time, however the board takes it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        await self._write(_PASTE)
        answer = await self._take(2, deadline)
        if answer != b"R\x01":
            raise ProtocolError(
                f"the MicroPython on {self._where} is too old: it has no raw-paste mode",
                next_step="put a newer one on the board: microclaw flash --erase",
            )
        step = int.from_bytes(await self._take(2, deadline), "little")
        if not 0 < step <= _MAX_WINDOW:
            raise ProtocolError(f"the board on {self._where} offered a window of {step} bytes", next_step=PULLED)
        window, sent = step, 0
        while sent < len(code):
            while window == 0 or self._buffer:
                flow = (await self._take(1, deadline))[0]
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
        while (flow := (await self._take(1, deadline))[0]) == _MORE:
            pass
        if flow != _END[0]:
            raise ProtocolError(f"the board on {self._where} lost step while code was sent", next_step=PULLED)

    async def _settle(self) -> None:
        """Drop what a second banner or a prompt still brings; DeviceTimeout when that does not end."""
        deadline = asyncio.get_running_loop().time() + _TALK_S
        try:
            while asyncio.get_running_loop().time() < deadline:
                async with asyncio.timeout(_SETTLE_S):
                    self._hear(await self._port.read())
        except TimeoutError:
            self._buffer.clear()
            return
        except (OSError, EOFError) as exc:
            raise self._gone(exc) from exc
        raise DeviceTimeout(f"the board on {self._where} does not stop printing", next_step=STOP_IT)

    async def _until(self, ending: bytes, timeout_s: float, *, quiet_s: float | None = None) -> bytes:
        """What came before `ending`, within this time, and at most `quiet_s` after the byte before."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (at := self._buffer.find(ending)) < 0:
            if len(self._buffer) > _MAX_OUTPUT_BYTES:
                raise ProtocolError(
                    f"the board on {self._where} sent more than {_MAX_OUTPUT_BYTES} bytes in one answer",
                    next_step=STOP_IT,
                )
            await self._more(deadline, quiet_s)
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(ending)]
        return found

    async def _take(self, count: int, deadline: float) -> bytes:
        while len(self._buffer) < count:
            await self._more(deadline)
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    async def _more(self, deadline: float, quiet_s: float | None = None) -> None:
        """At least one byte by then (the event loop's time); a port that always has some is held to it too."""
        now = asyncio.get_running_loop().time()
        seen = len(self._buffer)
        try:
            if now >= deadline:
                raise TimeoutError
            async with asyncio.timeout_at(deadline if quiet_s is None else min(deadline, now + quiet_s)):
                self._buffer += await self._port.read()
        except TimeoutError as exc:
            raise DeviceTimeout(f"the board on {self._where} did not answer in time", next_step=PULLED) from exc
        except (OSError, EOFError) as exc:
            raise self._gone(exc) from exc
        self._hear(self._buffer[seen:])
        if _RESET_BANNER.search(self._buffer, max(0, seen - _MAX_BANNER_BYTES)):
            raise BoardRestarted(
                f"the board on {self._where} restarted by itself",
                next_step="plug it in directly, without a hub, and run it again: it goes on where it was",
            )

    def _hear(self, data: bytes | bytearray) -> None:
        self._heard += data[: _ENDLESS_BYTES - len(self._heard)]

    def _no_micropython(self) -> DeviceTimeout:
        """In the words that fit what was heard."""
        said = bytes(self._heard)
        what = f"no MicroPython answers on {self._where}"
        if not said.strip():
            return DeviceTimeout(
                f"{what}: it says nothing",
                next_step="press the board's RESET button once and run it again, or try its other USB socket",
            )
        if len(said) >= _ENDLESS_BYTES:
            return DeviceTimeout(f"{what}: something prints there without end", next_step=STOP_IT)
        if not said.replace(_INTERRUPT, b"").replace(_ENTER, b"").strip():
            return DeviceTimeout(
                f"{what}: what is sent there only comes back",
                next_step="is this port the board's? take off what joins its pins RX and TX",
            )
        return DeviceTimeout(f"{what}: another program talks there", next_step=STOP_IT)

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(_STEP_S):
                await self._port.write(data)
        except TimeoutError as exc:
            raise DeviceTimeout(f"the board on {self._where} takes no more bytes", next_step=PULLED) from exc
        except (OSError, EOFError) as exc:
            raise self._gone(exc) from exc

    def _gone(self, exc: Exception) -> DeviceUnreachable:
        why = (isinstance(exc, OSError) and exc.strerror) or exc
        return DeviceUnreachable(f"the board on {self._where} went away: {why}", next_step=PULLED)
