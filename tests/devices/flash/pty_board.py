"""A board on a cable: a pty, at its other end the chip's ROM loader, or MicroPython once an image is in the flash.

A pty has no DTR and RTS. So the first sync of esptool counts as the reset into download mode, and closing the port in
download mode as the reset out of it. Ctrl-C starts a fresh interpreter; a real board would keep the modules it has.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
import tty
from pathlib import Path
from typing import Final

from tests.devices.flash.images import is_whole, whole_image
from tests.devices.flash.rom_loader import RomLoader

ON_BOARD: Final = Path(__file__).parent / "on_board"
MODULES: Final = f"{ON_BOARD}:{ON_BOARD.parents[2] / 'firmware' / 'simulated'}"
MICROPYTHON: Final = Path(__file__).parents[3] / ".micropython/bin/micropython"
FILES_AT: Final = 0x200000
FILES_BYTES: Final = 1024 * 1024
SYNC: Final = b"\xc0\x00\x08\x24\x00"
BANNER: Final = b"raw REPL; CTRL-B to exit\r\n>"
WINDOW: Final = 128  # half of MicroPython's input buffer, MICROPY_REPL_STDIN_BUFFER_MAX
PATIENCE_S: Final = 20.0


class PtyBoard:
    """`port` is what to give to -p; it stays the same when the cable is pulled and put back."""

    def __init__(self, folder: Path, rom: RomLoader, *, has_micropython: bool = False) -> None:
        self.rom = rom
        self.port = folder / "ttyUSB0"
        self.files = folder / "files.lfs"
        self.start = 0x1000 if rom.kind.chip_id is None else 0
        self.pull_after: int | None = None  # bytes written into the flash, after which the cable is pulled
        self.pull_after_pastes: int | None = None
        self.panic_after_pastes: int | None = None
        self.printed = folder / "printed"  # by main.py; a real board would send it over the cable
        self.lost = 0  # bytes sent beyond the window: a real board drops them
        self.pastes = 0
        self._in_rom = False
        self._is_raw = False
        self._paste: bytearray | None = None
        self._window = 0
        self._skip = 0
        self._interpreter: subprocess.Popen[bytes] | None = None
        self._main: subprocess.Popen[bytes] | None = None
        self._master = -1
        self._pulled: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="pty board", daemon=True)
        if has_micropython:
            image = whole_image(rom.kind.chip_id or 0)
            rom.flash[self.start : self.start + len(image)] = image
        self.files.write_bytes(bytes(rom.flash[FILES_AT : FILES_AT + FILES_BYTES]))

    def __enter__(self) -> PtyBoard:
        self.plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        self._end_programs()
        if self._master >= 0:
            os.close(self._master)
        for slave in self._pulled:
            os.close(slave)

    def plug(self) -> None:
        """The cable is in, and the power on."""
        master, slave = os.openpty()
        tty.setraw(slave)
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(os.ttyname(slave))
        os.close(slave)
        self._master = master

    def pull(self) -> None:
        """The cable is out: whoever has the port open gets an error; the chip has no power."""
        # This end stays open: while it does, no board of another worker gets this port's number.
        self._pulled.append(os.open(self.port, os.O_RDWR | os.O_NOCTTY))
        self.port.unlink()
        master = self._master
        self._master = -1
        os.close(master)
        self._reset(boots=False)

    def has(self, path: str) -> bool:
        try:
            self.file(path)
        except FileNotFoundError:
            return False
        return True

    def file(self, path: str) -> bytes:
        """Read the board's file system as any other littlefs tool would."""
        from littlefs import LittleFS, UserContext

        context = UserContext(buffsize=FILES_BYTES)
        context.buffer = bytearray(self.files.read_bytes())
        system = LittleFS(context=context, block_size=4096, block_count=FILES_BYTES // 4096)
        with system.open(path, "rb") as file:
            data: bytes = file.read()
        return data

    # The cable

    def _serve(self) -> None:
        is_open = False
        while not self._stop.is_set():
            if self._master < 0:
                time.sleep(0.01)
                continue
            poll = select.poll()
            poll.register(self._master, select.POLLIN)
            events = poll.poll(20)
            if not events:
                is_open = True
                continue
            try:
                if events[0][1] & select.POLLIN:
                    data = os.read(self._master, 4096)
                else:
                    data = b""
            except OSError:
                data = b""
            if not data:
                if is_open and self._in_rom:
                    self._reset()
                is_open = False
                time.sleep(0.01)
                continue
            is_open = True
            with contextlib.suppress(BrokenPipeError):
                self._receive(data)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._master >= 0:
            try:
                view = view[os.write(self._master, view) :]
            except OSError:
                return

    def _receive(self, data: bytes) -> None:
        if self._in_rom and not self.rom.is_packet(data):
            # The port was closed and opened again before this thread looked.
            self._reset()
        if not self._in_rom and SYNC in data and self._paste is None:
            self._reset(boots=False)
            self.rom.flash[FILES_AT : FILES_AT + FILES_BYTES] = self.files.read_bytes()
            self._in_rom = True
        if self._in_rom:
            self._send(self.rom.receive(data))
            if self.pull_after is not None and self.rom.written >= self.pull_after:
                self.pull_after = None
                self.pull()
        elif is_whole(self.rom.flash, 0x10000):
            self._type(data)
        else:
            self._send(b"invalid header: 0xffffffff\r\n")

    def _reset(self, *, boots: bool = True) -> None:
        if self._in_rom:
            self.files.write_bytes(bytes(self.rom.flash[FILES_AT : FILES_AT + FILES_BYTES]))
        self._in_rom = self._is_raw = False
        self._paste = None
        self.rom.reset()
        self._end_programs()
        if boots and is_whole(self.rom.flash, 0x10000):
            self._boot()

    # MicroPython

    def _boot(self) -> None:
        if not self.has("main.py"):
            return
        with self.printed.open("ab") as printed:
            self._main = subprocess.Popen(
                self._command("main"), env={}, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
            )

    def _command(self, mode: str) -> list[str]:
        """To be started with an environment: a test may have replaced that of this process for one of its commands."""
        return [str(MICROPYTHON), str(ON_BOARD / "board_process.py"), str(self.files), MODULES, mode]

    def _type(self, data: bytes) -> None:
        for at in range(len(data)):
            byte = data[at : at + 1]
            if self._paste is not None:
                self._take_paste(byte)
            elif byte == b"\x03":
                self._end_programs()
                self._send(b"\r\nMicroPython v1.26.1\r\n>>> ")
            elif byte == b"\x01":
                self._is_raw = True
                self._start_raw()
                self._send(BANNER)
            elif byte == b"\x02":
                self._is_raw = False
                self._send(b"\r\n>>> ")
            elif self._is_raw and byte == b"\x04":
                self._end_programs()
                self._start_raw()
                self._send(b"OK\r\nMPY: soft reboot\r\n" + BANNER)
            elif self._is_raw and byte == b"\x05" and data[at : at + 3] == b"\x05A\x01":
                self._paste = bytearray()
                self._skip = 2  # the A and 0x01 that follow
                self._window = WINDOW
                self._send(b"R\x01" + WINDOW.to_bytes(2, "little"))

    def _take_paste(self, byte: bytes) -> None:
        assert self._paste is not None
        if self._skip:
            self._skip -= 1
            return
        if byte == b"\x03":
            self._paste = None
            self._send(b"\x04\x04KeyboardInterrupt: \r\n\x04>")
            return
        if byte == b"\x04":
            self.pastes += 1
            code = bytes(self._paste)
            self._paste = None
            if self.pastes == self.panic_after_pastes:
                self._reset()
                self._send(b"Guru Meditation Error\r\nRebooting...\r\nrst:0xc (SW_CPU_RESET),boot:0x12\r\n")
                return
            self._send(b"\x04")
            self._run(code)
            if self.pull_after_pastes is not None and self.pastes >= self.pull_after_pastes:
                self.pull_after_pastes = None
                self.pull()
            return
        if self._window == 0:
            self.lost += 1
            return
        self._window -= 1
        self._paste += byte
        if self._window <= WINDOW // 2:
            self._window += WINDOW
            self._send(b"\x01")

    def _start_raw(self) -> None:
        if self._interpreter is None:
            self._interpreter = subprocess.Popen(
                self._command("raw"), env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )

    def _run(self, code: bytes) -> None:
        interpreter = self._interpreter
        assert interpreter is not None
        assert interpreter.stdin is not None
        assert interpreter.stdout is not None
        interpreter.stdin.write(len(code).to_bytes(4, "little") + code)
        interpreter.stdin.flush()
        ends = 0
        output = interpreter.stdout.fileno()
        while ends < 2:
            data = os.read(output, 4096)
            if not data:  # machine.reset(): the program is gone
                self._reset()
                return
            ends += data.count(b"\x04")
            self._send(data)
        self._send(b">")

    def _end_programs(self) -> None:
        for process in (self._interpreter, self._main):
            if process is not None:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()
        self._interpreter = self._main = None
