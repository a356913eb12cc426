"""A compiler with a cache of its own, and a firmware in Python that records what a compiled program asks of it."""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.wasm.instance import Instance

from microclaw.boards.profile import BoardProfile
from microclaw.boards.reader import load_board
from microclaw.devices.calls import AppInstall, AppUninstall
from microclaw.virtual_boards.trial_pool import BoardKind, TrialBoard
from microclaw.wasm import BuildCache, Image, compile_module
from microclaw.wire.wasmachine.ioctl import DATA_SEQ_FRAME, DATA_SEQ_HEADER

CompileC = Callable[..., Awaitable[Image]]


@pytest.fixture(scope="session")
def board() -> BoardProfile:
    return load_board("virtual")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("builds"))


@pytest.fixture
def compile_c(board: BoardProfile, cache: BuildCache) -> CompileC:
    async def compile_c(source: str, **options: Any) -> Image:
        return await compile_module(source, options.pop("board", board), cache=cache, **options)

    return compile_c


@dataclass
class Ioctl:
    """A call as the firmware reads it: the node, the command and the data_seq's frames, values still as bytes."""

    path: str
    command: int
    frames: list[tuple[int, bytes]]


@dataclass
class Firmware(Instance):
    """The natives that glue and patterns call. Files are dicts of levels; time stands still but for `run_ms`."""

    wasm: bytes
    levels: dict[str, int] = field(default_factory=dict)
    registers: dict[int, dict[int, int]] = field(
        default_factory=dict
    )  # I2C address -> register -> byte, or a word over 255
    refuses: set[str] = field(default_factory=set)
    drives: list[tuple[int, str, int]] = field(default_factory=list)  # t_ms, path, level written
    ioctls: list[Ioctl] = field(default_factory=list)
    opened: list[tuple[str, int]] = field(default_factory=list)
    open_files: dict[int, str] = field(default_factory=dict)
    timers: dict[int, tuple[int, int]] = field(default_factory=dict)  # id -> next, interval
    log: list[str] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    now_ms: int = 0
    loses_destroy: bool = False
    next_timer: int = 1

    def __post_init__(self) -> None:
        self.start(self.wasm)

    def run_ms(self, duration_ms: int) -> None:
        """Let timers fire in order until the time is over; all are periodic, as `every` and `after` make them."""
        end = self.now_ms + duration_ms
        while self.timers:
            due, timer = min((due, timer) for timer, (due, _) in self.timers.items())
            if due > end:
                break
            self.now_ms = due
            interval = self.timers[timer][1]
            self.timers[timer] = (due + interval, interval)
            self.call("on_timer_callback", timer)
        self.now_ms = end

    def text_at(self, address: int) -> str:
        return self.bytes_at(address, 200).partition(b"\0")[0].decode()

    def word_at(self, address: int) -> int:
        return int(struct.unpack("<I", self.bytes_at(address, 4))[0])

    def native_open(self, path: int, flags: int, _va: int) -> int:
        name = self.text_at(path)
        if name in self.refuses or name in self.open_files.values():
            return -1
        fd = 3 + len(self.opened)
        self.opened.append((name, flags))
        self.open_files[fd] = name
        return fd

    def native_close(self, fd: int) -> int:
        del self.open_files[fd]
        return 0

    def native_write(self, fd: int, buffer: int, size: int) -> int:
        if fd not in self.open_files:
            return -1
        path = self.open_files[fd]
        self.levels[path] = self.bytes_at(buffer, size)[0]
        self.drives.append((self.now_ms, path, self.levels[path]))
        return size

    def native_read(self, fd: int, buffer: int, size: int) -> int:
        if fd not in self.open_files:
            return -1
        self.memory.write(self.store, bytes([self.levels.get(self.open_files[fd], 0)]), buffer)
        return size

    def native_ioctl(self, fd: int, command: int, va: int) -> int:
        path = self.open_files[fd]
        sequence = self.word_at(va)
        if command in (0x8402, 0x8405, 0x8406):
            self.ioctls.append(Ioctl(path, command, [(0, struct.pack("<I", sequence))] if command == 0x8402 else []))
            return 0
        version, num, used = DATA_SEQ_HEADER.unpack(self.bytes_at(sequence, DATA_SEQ_HEADER.size))
        assert (version, num) == (1, used)
        frames = []
        for index in range(used):
            at = sequence + DATA_SEQ_HEADER.size + index * DATA_SEQ_FRAME.size
            kind, size, value = DATA_SEQ_FRAME.unpack(self.bytes_at(at, DATA_SEQ_FRAME.size))
            frames.append((kind, self.bytes_at(value, size)))
        call = Ioctl(path, command, frames)
        self.ioctls.append(call)
        return self.i2c(dict(frames), command) if path == "/dev/i2c/0" else 0

    def i2c(self, frames: dict[int, bytes], command: int) -> int:
        if command == 0x8201:
            return 0
        address, *words = (int.from_bytes(frames[key], "little") for key in sorted(frames) if key != 1)
        registers = self.registers.get(address)
        if registers is None:
            return -1
        if command == 0x8203:
            _delay, tx, _tx_size, rx, rx_size = words
            first = self.bytes_at(tx, 1)[0]
            word = registers.get(first, 0)
            many = bytes(registers.get(first + i, 0) for i in range(rx_size)) if word < 256 else word.to_bytes(2, "big")
            self.memory.write(self.store, many, rx)
        else:
            buffer, size = words
            first, *values = self.bytes_at(buffer, size)
            registers.update({first + i: value for i, value in enumerate(values)})
        return 0

    def native_wasm_create_timer(self, interval: int, periodic: int, auto_start: int) -> int:
        assert (periodic, auto_start) == (1, 1)
        timer = self.next_timer
        self.next_timer += 1
        self.timers[timer] = (self.now_ms + interval, interval)
        return timer

    def native_wasm_timer_destroy(self, timer: int) -> None:
        if self.loses_destroy:
            self.loses_destroy = False
        else:
            self.timers.pop(timer, None)

    def native_wasm_get_sys_tick_ms(self) -> int:
        return self.now_ms

    def native_printf(self, text: int, va: int) -> int:
        def argument(match: re.Match[str]) -> str:
            nonlocal va
            kind = match[0][-1]
            if kind == "f":
                va = (va + 7) & ~7
                value: Any = struct.unpack("<d", self.bytes_at(va, 8))[0]
                va += 8
            else:
                word = self.word_at(va)
                va += 4
                value = self.text_at(word) if kind == "s" else word if kind == "u" else word - (word >> 31 << 32)
            return str(match[0] % value)

        self.log.append(re.sub(r"%[0-9.]*[dusf]", argument, self.text_at(text)))
        return 0

    def native_vprintf(self, text: int, va: int) -> int:
        return self.native_printf(text, va)

    def native_vsnprintf(self, out: int, size: int, text: int, va: int) -> int:
        self.native_printf(text, va)
        printed = self.log.pop().encode()
        if size:
            self.memory.write(self.store, printed[: size - 1] + b"\0", out)
        return len(printed)

    def native_wasm_response_send(self, buffer: int, size: int) -> int:
        self.answers.append(self.bytes_at(buffer, size))
        return 1

    def native_puts(self, text: int) -> int:
        self.log.append(self.text_at(text) + "\n")
        return 0

    def native_strcmp(self, a: int, b: int) -> int:
        left, right = self.text_at(a), self.text_at(b)
        return (left > right) - (left < right)


@pytest.fixture
def firmware() -> type[Firmware]:
    return Firmware


@pytest.fixture(scope="session")
def headers() -> Path:
    from microclaw.wasm import HEADERS

    return HEADERS


@dataclass
class Ran:
    """What a program printed, without and with only what microclaw's shim says beside it; `all` is everything."""

    all: list[str]

    @property
    def own(self) -> list[str]:
        return [line for line in self.all if not line.startswith("microclaw: ")]

    @property
    def shim(self) -> list[str]:
        return [line.removeprefix("microclaw: ") for line in self.all if line.startswith("microclaw: ")]


@dataclass
class OnBoard:
    """A virtual board of the stock kind, a process of its own, on which programs run one after the other."""

    board: TrialBoard

    async def install(self, image: Image, timers: int = 20) -> None:
        await self.board.wasmachine.call(AppInstall(image.name, image.wasm, 8192, timers), 20)

    async def run(self, image: Image, ms: float, timers: int = 20) -> Ran:
        """Install, let board time pass, remove; everything printed, until after the removal."""
        before = (await self.board.control.log()).cursor
        await self.install(image, timers)
        assert (await self.board.control.advance(ms, 60)).stuck is None
        await self.board.wasmachine.call(AppUninstall(image.name), 20)
        return await self.printed(image.name, before)

    async def printed(self, name: str, since: int) -> Ran:
        page = await self.board.control.log(since)
        assert not page.dropped
        return Ran([line.text for line in page.lines if line.app == name])


@pytest.fixture
async def on_board(board: BoardProfile) -> AsyncIterator[OnBoard]:
    async with TrialBoard(BoardKind("virtual"), board) as trial_board:
        yield OnBoard(trial_board)
