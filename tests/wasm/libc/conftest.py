"""Our libc, compiled as for a program, in a wasm runtime with the natives that it calls; and the host's libc."""

from __future__ import annotations

import ctypes
import math
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from tests.wasm.instance import Instance

from microclaw.wasm import HEADERS
from microclaw.wasm.toolchain import Toolchain, find_toolchain

TIMEOUT_S = 120
LIBC_FILES = sorted((HEADERS / "libc").glob("*.c"))
PAGES = 4


def compile_libc(toolchain: Toolchain, directory: Path) -> Path:
    """Every function of the libc in one module, each of them exported."""
    commands = [toolchain.glue_command(LIBC_FILES)]
    objects = [f"{path.stem}.o" for path in LIBC_FILES]
    options = [
        "--no-entry",
        "--export-all",
        "--import-undefined",
        "--fatal-warnings",
        "--growable-table",
        f"--initial-memory={PAGES << 16}",
    ]
    commands.append([*toolchain.linker, *options, *objects, "-o", "libc.wasm"])
    for command in commands:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr
    return directory / "libc.wasm"


class Libc(Instance):
    """Calls of our functions with Python values: bytes become text in the wasm memory, Buffer room to be written."""

    def __init__(self, wasm: Path) -> None:
        self.printed = b""
        self.written = b""  # into files
        self.start(wasm.read_bytes())
        base = self.exports["__heap_base"]
        assert isinstance(base, wasmtime.Global)
        self._base = int(base.value(self.store))
        self._top = self._base

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function; bytes are placed in memory with a NUL behind them. What was placed before is forgotten."""
        return super().call(name, *(self.place(a) if isinstance(a, bytes) else a for a in arguments))

    def place(self, data: bytes) -> int:
        """Put bytes and a NUL where nothing else is; the address, a multiple of 8."""
        address = (self._top + 15) & ~7
        self._top = address + len(data) + 1
        assert self._top < PAGES << 16, "the test's memory is full"
        self.memory.write(self.store, data + b"\0", address)
        return address

    def forget(self) -> None:
        self._top = self._base
        self.printed = b""
        self.written = b""

    def text_at(self, address: int) -> bytes:
        return self.bytes_at(address, (PAGES << 16) - address).partition(b"\0")[0]

    def int_at(self, address: int) -> int:
        return int(struct.unpack("<i", self.bytes_at(address, 4))[0])

    def set_int(self, address: int, value: int) -> None:
        self.memory.write(self.store, struct.pack("<i", value), address)

    @property
    def errno(self) -> int:
        return self.int_at(self.call("microclaw_errno"))

    @errno.setter
    def errno(self, value: int) -> None:
        self.set_int(self.call("microclaw_errno"), value)

    def pack(self, arguments: Sequence[int | float | bytes], longs: Sequence[bool] = ()) -> int:
        """A va_list: ints and addresses in 4 bytes, long long (where `longs` says so) and double in 8, aligned."""
        packed = b""
        for number, value in enumerate(arguments):
            wide = number < len(longs) and longs[number]
            if isinstance(value, float) or wide:
                packed += b"\0" * (-len(packed) % 8)
                packed += (
                    struct.pack("<d", value) if isinstance(value, float) else struct.pack("<q", _signed(value, 64))
                )
            else:
                word = self.place(value) if isinstance(value, bytes) else value
                packed += struct.pack("<i", _signed(word, 32))
        return self.place(packed)

    def native_write(self, _fd: int, text: int, size: int) -> int:
        self.written += self.memory.read(self.store, text, text + size)
        return size

    def native_free(self, _address: int) -> None:
        pass

    def native_printf(self, form: int, va: int) -> int:
        return self._print(self._formatted(form, va))

    def native_snprintf(self, out: int, size: int, form: int, va: int) -> int:
        text = self._formatted(form, va)
        if size:
            self.memory.write(self.store, text[: size - 1] + b"\0", out)
        return len(text)

    def _formatted(self, form: int, va: int) -> bytes:
        """What the firmware prints of the few conversions that the libc gives it."""

        def argument(match: re.Match[bytes]) -> bytes:
            nonlocal va
            word = self.int_at(va)
            va += 4
            return self.text_at(word) if match[0] == b"%s" else b"%d" % word

        return re.sub(rb"%[sd]", argument, self.text_at(form))

    def native_vprintf(self, form: int, va: int) -> int:
        return self.native_printf(form, va)

    def native_putchar(self, char: int) -> int:
        return self._print(bytes([char & 255]))

    def _print(self, text: bytes) -> int:
        self.printed += text
        return len(text)

    def native_malloc(self, size: int) -> int:
        return self.place(bytes(size))

    def native_pow(self, x: float, y: float) -> float:
        return math.pow(x, y)

    def native_clock_gettime(self, _clock: int, out: int) -> int:
        self.memory.write(self.store, struct.pack("<qi4x", *divmod(5_000_000_123_000, 10**9)), out)
        return 0

    def native_time(self, out: int) -> int:
        self.memory.write(self.store, struct.pack("<q", 5), out)
        return 5

    def native_sleep(self, _seconds: int) -> int:
        return 0


def _signed(value: int | bytes, bits: int) -> int:
    assert isinstance(value, int)
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


# Started by a Python of its own: libquadmath, which comes with numpy, changes the printf of its process (with it
# glibc pads "%0*g" of a negative width by zeros).
PRINTER = """
import ctypes, pickle, sys

snprintf = ctypes.CDLL("libc.so.6").snprintf
room = ctypes.create_string_buffer(4096)
while True:
    try:
        form, arguments, longs = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    passed = [
        ctypes.c_double(a) if isinstance(a, float)
        else a if isinstance(a, bytes)
        else ctypes.c_longlong(a) if wide
        else ctypes.c_int(a)
        for a, wide in zip(arguments, longs, strict=True)
    ]
    count = snprintf(room, len(room), form, *passed)
    pickle.dump((count, room.value), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


class HostLibc:
    """The host's libc through ctypes; its printf in a process where nothing else was loaded."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL("libc.so.6", use_errno=True)
        self.m = ctypes.CDLL("libm.so.6")
        command = [sys.executable, "-I", "-S", "-c", PRINTER]
        self._printer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def printed(self, form: bytes, arguments: Sequence[int | float | bytes], longs: Sequence[bool]) -> bytes:
        """What printf prints of `form`; a `long long` where `longs` says so."""
        assert self._printer.stdin is not None
        assert self._printer.stdout is not None
        pickle.dump((form, arguments, longs), self._printer.stdin)
        self._printer.stdin.flush()
        count, text = pickle.load(self._printer.stdout)
        assert count == len(text)
        return bytes(text)

    def close(self) -> None:
        self._printer.communicate()

    def of_double(self, name: str, count: int) -> Callable[..., float]:
        function = getattr(self.m, name)
        function.argtypes = [ctypes.c_double] * count
        function.restype = ctypes.c_double
        return function  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def libc_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_libc(find_toolchain(), tmp_path_factory.mktemp("libc"))


@pytest.fixture(scope="session")
def shared_libc(libc_module: Path) -> Libc:
    return Libc(libc_module)


@pytest.fixture
def libc(shared_libc: Libc) -> Libc:
    shared_libc.forget()
    return shared_libc


@pytest.fixture(scope="session")
def host() -> Iterator[HostLibc]:
    libc = HostLibc()
    yield libc
    libc.close()
