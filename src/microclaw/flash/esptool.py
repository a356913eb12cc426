"""esptool as a process of its own: reads chip, flash and PSRAM, erases and writes. Its output is parsed strictly.

It is a child because a stuck USB driver must not hang `flash`, and because its licence (GPL) is not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from microclaw.errors import ConfigError, DeviceError, DeviceUnreachable, MicroclawError
from microclaw.flash.board_port import BoardPort
from microclaw.flash.chips import MB
from microclaw.flash.image import FlashImage
from microclaw.text import clean_text

Progress: TypeAlias = Callable[[float], None]

QUIET_S: Final = 150.0  # erasing 16 MB says nothing for up to two minutes (esptool CHIP_ERASE_TIMEOUT)
ASK_S: Final = 180.0  # for all of what only asks, with esptool's own tries
_SLACK: Final = 4  # how much longer than by its baud rate an image may take: blocks are sent again
_USUAL_BAUD: Final = 115_200  # what a cable does that does not do more
_KILL_S: Final = 5.0
BUSY_S: Final = 5.0  # who looks at each new port, as ModemManager does, lets go of it by then
_AGAIN_S: Final = 0.2
_MAX_OUTPUT_BYTES: Final = 256 * 1024
_READ_BYTES: Final = 4096
_PERCENT: Final = re.compile(r"\s(\d{1,3}(?:\.\d)?)%")
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_SIZE: Final = re.compile(r"(\d{1,3})(MB|KB)")
_PSRAM: Final = re.compile(r"Embedded PSRAM(?: (\d{1,3})MB)?")
PULLED_NEXT: Final = "check cable and plug, then run it again: it goes on where it was"
HOLD_BOOT: Final = "hold the board's BOOT button, press RESET (EN) once, let BOOT go, and run it again"


@dataclass(frozen=True, slots=True)
class ChipFacts:
    """What esptool read. `psram_bytes` is that inside the chip's package: what a module adds it cannot see."""

    chip: str
    description: str
    mac: str
    flash_bytes: int
    psram_bytes: int

    @property
    def revision(self) -> str | None:
        """Of the chip, such as `v0.2`; None where esptool named none."""
        found = re.search(r"\brevision (v\d{1,2}\.\d{1,2})\b", self.description)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class EsptoolOptions:
    """Handed through to esptool: how it resets the board before and after, and how fast it talks."""

    before: str = "default-reset"
    after: str = "hard-reset"
    baud: int = 460_800


class Esptool:
    def __init__(self, port: BoardPort, options: EsptoolOptions | None = None) -> None:
        self._port = port
        self._options = options or EsptoolOptions()

    @property
    def stays(self) -> bool:
        """Whether the board stays in download mode at the end, as nothing may reset it."""
        return self._options.after == "no-reset"

    async def facts(self) -> ChipFacts:
        """Connect and read what the board is. The board stays in download mode."""
        output = await self._run(["flash-id"], stays=True)
        try:
            return parse_facts(output)
        except ValueError as exc:
            raise DeviceError(
                f"esptool answered something unknown about the board on {self._port}: {exc}",
                next_step="try another cable; if it stays so, report it with the output of: "
                f"python -m esptool --port {self._port} flash-id",
            ) from exc

    async def read(self, address: int, size: int) -> bytes:
        """What the flash has at an address. The board stays in download mode."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "flash.bin")
            await self._run(["read-flash", "--no-progress", hex(address), hex(size), str(file)], stays=True)
            data = await asyncio.to_thread(file.read_bytes)
        if len(data) != size:
            raise DeviceError(f"the board sent {len(data)} of {size} bytes of its flash", next_step=PULLED_NEXT)
        return data

    async def write(self, image: FlashImage, progress: Progress, *, erases: bool) -> None:
        """Put the image into the flash, compared there by its MD5, and reset the board into it."""
        await self._write([(image.start, image.path)], progress, erases=erases)

    async def write_pieces(self, pieces: Sequence[tuple[int, bytes]], progress: Progress, *, erases: bool) -> None:
        """The same of bytes for some addresses; they may hold passwords, and are on the disk only meanwhile."""
        with tempfile.TemporaryDirectory() as folder:  # its owner's alone
            files = [(address, Path(folder, f"{address:x}.bin")) for address, _ in pieces]
            for (_, path), (_, data) in zip(files, pieces, strict=True):
                await asyncio.to_thread(path.write_bytes, data)
            await self._write(files, progress, erases=erases)

    async def _write(self, files: Sequence[tuple[int, Path]], progress: Progress, *, erases: bool) -> None:
        words = ["write-flash", *(("--erase-all",) if erases else ())]
        words += [word for address, path in files for word in (hex(address), str(path))]
        size = sum([path.stat().st_size for _, path in files])
        sending_s = _SLACK * size * 10 / min(self._options.baud, _USUAL_BAUD)  # ten bits a byte
        output = await self._run(words, stays=False, limit_s=ASK_S + QUIET_S + sending_s, progress=progress)
        if output.count("Hash of data verified") != len(files):
            raise DeviceError("the board did not confirm what was written", next_step="run it again")

    async def restart(self) -> None:
        """Out of download mode, into what the flash has."""
        await self._run(["read-mac"], stays=False)

    async def _run(
        self, words: Sequence[str], *, stays: bool, limit_s: float = ASK_S, progress: Progress | None = None
    ) -> str:
        """What it printed. A port that another program has is tried again for BUSY_S: nothing was done to the board."""
        deadline = asyncio.get_running_loop().time() + BUSY_S
        while True:
            code, output = await self._once(words, stays=stays, limit_s=limit_s, progress=progress)
            if code == 0:
                return output
            if not re.search(_BUSY, output) or asyncio.get_running_loop().time() >= deadline:
                raise explain(output, str(self._port))
            await asyncio.sleep(_AGAIN_S)

    async def _once(
        self, words: Sequence[str], *, stays: bool, limit_s: float, progress: Progress | None
    ) -> tuple[int, str]:
        options = self._options
        after = "no-reset" if stays else options.after
        command = [sys.executable, "-m", "esptool", "--port", await self._port.path(), "--baud", str(options.baud)]
        command += ["--before", options.before, "--after", after, *words]
        environ = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "400", "PYTHONUNBUFFERED": "1"}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
        )
        try:
            async with asyncio.timeout(limit_s) as whole:
                output = await _collect(process, progress)
                code = await process.wait()
        except TimeoutError as exc:
            what = "nothing came from" if not whole.expired() else "esptool did not come to an end with"
            limit_s = limit_s if whole.expired() else QUIET_S
            raise DeviceUnreachable(
                f"{what} the board on {self._port} in {limit_s:.0f} s", next_step=HOLD_BOOT
            ) from exc
        finally:
            await _end(process)
        return code, output


async def _collect(process: asyncio.subprocess.Process, progress: Progress | None) -> str:
    """All that it prints; progress is told as it comes."""
    assert process.stdout is not None
    kept = bytearray()
    while True:
        async with asyncio.timeout(QUIET_S):
            data = await process.stdout.read(_READ_BYTES)
        if not data:
            return kept.decode("utf-8", "replace")
        kept += data
        del kept[:-_MAX_OUTPUT_BYTES]
        shown = _PERCENT.findall(data.decode("utf-8", "replace"))
        if progress is not None and shown:
            progress(min(100.0, float(shown[-1])))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_KILL_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def parse_facts(output: str) -> ChipFacts:
    """What `esptool flash-id` printed; ValueError names the line that is missing."""
    values: dict[str, str] = {}
    for line in output.splitlines():
        name, separator, value = line.partition(":")
        if separator and name.strip() in ("Chip type", "Features", "MAC", "Detected flash size"):
            values[name.strip()] = value.strip()
    chip = next((m[1] for m in re.finditer(r"^Connected to (ESP[0-9A-Z-]{2,20}) on ", output, re.MULTILINE)), None)
    mac = _MAC.match(values.get("MAC", ""))
    size = _SIZE.fullmatch(values.get("Detected flash size", ""))
    if chip is None:
        raise ValueError("no line about the chip")
    if mac is None:
        raise ValueError("no line with its MAC")
    if size is None:
        raise ValueError("the size of its flash is unknown (is its flash chip connected well?)")
    psram = _PSRAM.search(values.get("Features", ""))
    psram_mb = 0 if psram is None else int(psram[1] or 2)  # without a size: ESP32-PICO-V3-02, which has 2 MB
    description = clean_text(values.get("Chip type", chip), one_line=True)
    flash_bytes = int(size[1]) * (MB if size[2] == "MB" else 1024)
    return ChipFacts(chip, description, mac[0], flash_bytes, psram_mb * MB)


_BUSY: Final = r"exclusively lock|Access is denied|Resource busy|Errno 16"
_REASONS: Final[tuple[tuple[str, type[MicroclawError], str, str], ...]] = (
    (
        r"Permission denied",
        ConfigError,
        "your user may not open {port}",
        "sudo usermod -aG dialout $USER, then log in again",
    ),
    (
        _BUSY,
        DeviceUnreachable,
        "another program has {port} open",
        "close the serial monitor or editor that uses it",
    ),
    (
        r"Could not open",
        DeviceUnreachable,
        "there is no board on {port}",
        "plug it in with a cable that carries data, not only power; microclaw doctor --port {port} looks closer",
    ),
    (
        r"Wrong boot mode|Failed to connect|No serial data received",
        DeviceUnreachable,
        "the board on {port} does not enter download mode",
        HOLD_BOOT,
    ),
    (
        r"MD5 of file does not match|does not match data in flash",
        DeviceError,
        "what the flash has is not what was written: a bad supply or a worn flash chip",
        "plug the board in directly, without a hub, and run it again",
    ),
    (
        r"[Ss]ecure (?:[Bb]oot|[Dd]ownload)|[Ff]lash [Ee]ncryption",
        ConfigError,
        "the board's maker locked its flash (secure boot or encryption)",
        "use a board that is not locked",
    ),
    (
        r"stream stopped|transfer stopped|Invalid head of packet|Guru Meditation|No more data|readiness to read|"
        r"Input/output error|Write timeout|device disconnected|not configured|multiple access|Bad file descriptor|"
        r"Response doesn't match|StopIteration|Errno 5|Errno 6|originates from pySerial",
        DeviceUnreachable,
        "the board on {port} went away or reset while it was being flashed",
        PULLED_NEXT,
    ),
)


def explain(output: str, port: str) -> MicroclawError:
    """esptool's failure as a sentence with its next step."""
    for pattern, error, message, remedy in _REASONS:
        if re.search(pattern, output):
            return error(message.format(port=port), next_step=remedy.format(port=port))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "it said nothing")
    return DeviceError(
        f"esptool failed on {port}: {clean_text(last, one_line=True)[:200]}",
        next_step="plug the board in again and run it once more",
    )
