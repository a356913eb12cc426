"""A module that runs in wasmtime; doubles of the firmware are made of it, with natives of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wasmtime


class Instance:
    """An instance whose imports are methods: `native_` and the name; without one it returns 0."""

    def start(self, wasm: bytes) -> None:
        self.store = wasmtime.Store()
        module = wasmtime.Module(self.store.engine, wasm)
        functions = []
        for wanted in module.imports:
            assert wanted.module == "env"
            assert isinstance(wanted.type, wasmtime.FuncType)
            functions.append(wasmtime.Func(self.store, wanted.type, self.native(wanted)))
        self.exports = wasmtime.Instance(self.store, module, functions).exports(self.store)
        memory = self.exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory

    def native(self, wanted: wasmtime.ImportType) -> Callable[..., Any]:
        kind = wanted.type
        assert isinstance(kind, wasmtime.FuncType)
        found: Callable[..., Any] = getattr(self, f"native_{wanted.name}", lambda *_: 0 if kind.results else None)
        return found

    def call(self, name: str, *arguments: Any) -> Any:
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        return function(self.store, *arguments)

    def bytes_at(self, address: int, size: int) -> bytes:
        return bytes(self.memory.read(self.store, address, address + size))

    def text_at(self, address: int) -> str:
        return self.bytes_at(address, 200).partition(b"\0")[0].decode()

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(self.store, data, address)

    def native_abort(self, _code: int) -> None:
        raise RuntimeError("aborted")

    def native_memcpy(self, to: int, source: int, size: int) -> int:
        self.write(to, self.bytes_at(source, size))
        return to

    def native_memset(self, to: int, value: int, size: int) -> int:
        self.write(to, bytes([value & 255]) * size)
        return to

    def native_strcmp(self, a: int, b: int) -> int:
        left = self.text_at(a)
        right = self.text_at(b)
        return (left > right) - (left < right)


class Clockwork(Instance):
    """Natives over a clock that a test sets; timers only note what they were asked, lines are counted."""

    def __init__(self, wasm: bytes) -> None:
        self.now_ms = self.timers = self.lines = 0
        self.armed: list[tuple[int, int]] = []
        self.start(wasm)

    def native_wasm_get_sys_tick_ms(self) -> int:
        return (self.now_ms + 2**31 & 0xFFFFFFFF) - 2**31

    def native_wasm_create_timer(self, _interval: int, _periodic: int, _start: int) -> int:
        self.timers += 1
        return self.timers

    def native_wasm_timer_restart(self, timer: int, interval: int) -> None:
        self.armed.append((timer, interval))

    def native_wasm_timer_destroy(self, _timer: int) -> None:
        self.timers -= 1

    def native_puts(self, _text: int) -> int:
        self.lines += 1
        return 0
