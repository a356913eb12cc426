"""A module that runs in wasmtime; doubles of the firmware are made of it, with natives of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wasmtime


class Instance:
    """What the module imports are methods: `native_` and the name."""

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
        found: Callable[..., Any] = getattr(self, f"native_{wanted.name}")
        return found

    def call(self, name: str, *arguments: Any) -> Any:
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        return function(self.store, *arguments)

    def bytes_at(self, address: int, size: int) -> bytes:
        return bytes(self.memory.read(self.store, address, address + size))

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(self.store, data, address)

    def native_abort(self, _code: int) -> None:
        raise RuntimeError("aborted")

    def native_usleep(self, _microseconds: int) -> int:
        return 0

    def native_memcpy(self, to: int, source: int, size: int) -> int:
        self.write(to, self.bytes_at(source, size))
        return to

    def native_memset(self, to: int, value: int, size: int) -> int:
        self.write(to, bytes([value & 255]) * size)
        return to
