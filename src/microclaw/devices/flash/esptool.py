"""esptool in its own process: reads chip, flash and PSRAM, erases and writes. Its output is parsed strictly.

It is a child process because a stuck USB driver must not block `flash`, and because its licence (GPL) is not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.devices.flash.board_port import BUSY, HOLD_BOOT, BoardPort, explain
from microclaw.devices.flash.images import MB
from microclaw.devices.flash.raw_repl import PULLED
from microclaw.devices.transports.address import HostPort
from microclaw.errors import DeviceError, DeviceUnreachable
from microclaw.text import clean_text

Progress: TypeAlias = Callable[[float], None]

# Erasing 16 MB prints nothing for up to two minutes (esptool CHIP_ERASE_TIMEOUT).
QUIET_S: Final = 150.0
# For a command that only reads, with esptool's own tries.
ASK_S: Final = 180.0
# How much longer an image may take than by its baud rate: blocks are sent again.
_SLACK: Final = 4
_BAUD: Final = "460800"
# The rate that every cable reaches.
_USUAL_BAUD: Final = 115_200
# A program that looks at each new port, as ModemManager does, has closed it by then.
BUSY_S: Final = 5.0
_AGAIN_S: Final = 0.2
_MAX_OUTPUT_BYTES: Final = 256 * 1024
_READ_BYTES: Final = 4096
_PERCENT: Final = re.compile(r"\s(\d{1,3}(?:\.\d)?)%")
_CHIP: Final = r"^Connected to (ESP[0-9A-Z-]{2,20}) on "
_TYPE: Final = r"^Chip type: +(.+)$"
_MAC: Final = r"^MAC: +((?:[0-9a-f]{2}:){5}[0-9a-f]{2})"
_SIZE: Final = r"^Detected flash size: +(\d{1,3}[MK]B)\s*$"
_PSRAM: Final = r"^Features:.*Embedded PSRAM(?: (\d{1,3})MB)?"


class ChipFacts(Struct, frozen=True):
    """The chip as esptool reads it. `psram_bytes` is inside the chip's package: it cannot see the PSRAM of a module."""

    chip: str
    description: str
    mac: str
    flash_bytes: int
    psram_bytes: int

    @property
    def revision(self) -> str | None:
        """The chip's revision, such as `v0.2`; None if esptool did not name it."""
        match = re.search(r"\brevision (v\d{1,2}\.\d{1,2})\b", self.description)
        if match is None:
            return None
        return match[1]


class Esptool(Struct, frozen=True):
    """The tool at one port. It resets the board by DTR and RTS, which a port on the network does not have."""

    port: BoardPort

    @property
    def stays(self) -> bool:
        """True if the board stays in download mode at the end, because nothing can reset it."""
        return isinstance(self.port.address, HostPort)

    async def facts(self) -> ChipFacts:
        """Connect and read the chip's facts. The board stays in download mode."""
        output = await self._run(["flash-id"], stays=True)
        try:
            return parse_facts(output)
        except ValueError as exc:
            text = f"unexpected esptool output about the board on {self.port}: {exc}"
            raise DeviceError(text, next_step=f"python -m esptool --port {self.port} flash-id") from exc

    async def read(self, address: int, size: int) -> bytes:
        """Read the flash at an address. The board stays in download mode."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "flash.bin")
            await self._run(["read-flash", "--no-progress", hex(address), hex(size), str(file)], stays=True)
            data = await asyncio.to_thread(file.read_bytes)
        if len(data) != size:
            raise DeviceError(f"the board sent {len(data)} of {size} bytes of its flash", next_step=PULLED)
        return data

    async def write(self, address: int, data: bytes, progress: Progress, *, erases: bool) -> None:
        """Write bytes at an address of the flash, compare them there by MD5, and restart the board."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "flash.bin")
            await asyncio.to_thread(file.write_bytes, data)
            words = ["write-flash"]
            if erases:
                words.append("--erase-all")
            words += [hex(address), str(file)]
            # A byte is ten bits on the line.
            sending_s = _SLACK * len(data) * 10 / _USUAL_BAUD
            output = await self._run(words, stays=False, limit_s=ASK_S + QUIET_S + sending_s, progress=progress)
        if "Hash of data verified" not in output:
            raise DeviceError("the board did not confirm what was written", next_step="run it again")

    async def restart(self) -> None:
        """Restart the board from download mode into its program."""
        await self._run(["read-mac"], stays=False)

    async def _run(
        self, words: Sequence[str], *, stays: bool, limit_s: float = ASK_S, progress: Progress | None = None
    ) -> str:
        """Return the output. A port in use is tried again for BUSY_S, as nothing was done to the board."""
        deadline = asyncio.get_running_loop().time() + BUSY_S
        while True:
            code, output = await self._once(words, stays=stays, limit_s=limit_s, progress=progress)
            if code == 0:
                return output
            if not BUSY.search(output) or asyncio.get_running_loop().time() >= deadline:
                raise explain(output, str(self.port))
            await asyncio.sleep(_AGAIN_S)

    async def _once(
        self, words: Sequence[str], *, stays: bool, limit_s: float, progress: Progress | None
    ) -> tuple[int, str]:
        before = "no-reset" if self.stays else "default-reset"
        after = "no-reset" if stays or self.stays else "hard-reset"
        command = [sys.executable, "-m", "esptool", "--port", await self.port.path(), "--baud", _BAUD]
        command += ["--before", before, "--after", after, *words]
        environ = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "400", "PYTHONUNBUFFERED": "1"}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
        )
        assert process.stdout is not None
        output = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                while data := await _read_some(process.stdout):
                    output += data
                    del output[:-_MAX_OUTPUT_BYTES]
                    percents = _PERCENT.findall(data.decode("utf-8", "replace"))
                    if progress is not None and percents:
                        progress(min(100.0, float(percents[-1])))
                return await process.wait(), output.decode("utf-8", "replace")
        except TimeoutError as exc:
            raise DeviceUnreachable(f"the board on {self.port} did not finish in time", next_step=HOLD_BOOT) from exc
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _read_some(output: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(QUIET_S):
        return await output.read(_READ_BYTES)


def parse_facts(output: str) -> ChipFacts:
    """Parse the output of `esptool flash-id`; ValueError if a line is missing."""
    chip = _search(_CHIP, output)
    mac = _search(_MAC, output)
    size = _search(_SIZE, output)
    if not (chip and mac and size):
        raise ValueError("no line with its chip, its MAC or the size of its flash")
    unit_bytes = MB if size.endswith("MB") else 1024
    psram = re.search(_PSRAM, output, re.MULTILINE)
    if psram is None:
        psram_mb = 0
    else:
        # The ESP32-PICO-V3-02 has 2 MB and names no size.
        psram_mb = int(psram[1] or 2)
    description = clean_text(_search(_TYPE, output) or chip, one_line=True)
    return ChipFacts(chip, description, mac, int(size[:-2]) * unit_bytes, psram_mb * MB)


def _search(pattern: str, output: str) -> str:
    """Return the text in the pattern's group, or "" if no line matches."""
    match = re.search(pattern, output, re.MULTILINE)
    if match is None:
        return ""
    return match[1]
