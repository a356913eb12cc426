"""The call graph of a linked module, by name or through a pointer. Changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from typing import Final, TypeVar

from msgspec import Struct

from microclaw.programs.wasm.inspect import Module, parse_module
from microclaw.programs.wasm.opcodes import Calls, calls_of
from microclaw.programs.wasm.wasm_image import Signature
from microclaw.wire.wasm_binary import Reader, read_sections

T = TypeVar("T")
_CUSTOM: Final = 0
_FUNCTION_NAMES: Final = 1


class WasmCallGraph(Struct, frozen=True, dict=True):
    """Functions are indices over imports and own functions, as in the module."""

    module: Module
    names: Mapping[int, str]
    calls: Mapping[int, Calls]

    def index(self, name: str) -> int | None:
        """Return the index of the function with this name in the linked program, or None."""
        for index, function_name in self.names.items():
            if function_name == name:
                return index
        return None

    def import_index(self, space: str, name: str) -> int | None:
        for index, imported in enumerate(self.module.imports):
            if (imported.module, imported.name) == (space, name):
                return index
        return None

    def possible(self, function: int) -> Iterable[int]:
        """Return the functions that a function may call, by name or through a pointer."""
        calls = self.calls.get(function)
        if calls is None:
            return ()
        functions = set(calls.direct)
        for kind in calls.indirect:
            functions.update(self.pointed_at.get(self.module.types[kind], ()))
        return functions

    @cached_property
    def pointed_at(self) -> dict[Signature, list[int]]:
        """The functions whose address the program takes, by their types."""
        functions: dict[Signature, list[int]] = {}
        for index in self.module.table_functions:
            signature = self.module.signature_of(index)
            if signature is not None:
                functions.setdefault(signature, []).append(index)
        return functions

    def path(
        self, start: int, goals: frozenset[int | None], step: Callable[[int], Iterable[int]]
    ) -> tuple[int, ...] | None:
        """Return the shortest chain of calls from `start` to one of `goals`, both included, or None."""
        came_from = {start: start}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            if here in goals:
                chain = [here]
                while chain[-1] != start:
                    chain.append(came_from[chain[-1]])
                return tuple(reversed(chain))
            for called in sorted(step(here)):
                if called not in came_from:
                    came_from[called] = here
                    queue.append(called)
        return None


def reached(calls: Mapping[T, Collection[T]], start: Iterable[T]) -> set[T]:
    """Return `start`, and everything that is called from it, however deep."""
    visited = set(start)
    waiting = list(visited)
    while waiting:
        new = set(calls.get(waiting.pop(), ())) - visited
        visited |= new
        waiting.extend(new)
    return visited


def read_callgraph(wasm: bytes) -> WasmCallGraph:
    """Read the calls of a module. Raises ModuleError."""
    return graph_of(parse_module(wasm), _function_names(wasm))


def graph_of(module: Module, names: Mapping[int, str]) -> WasmCallGraph:
    """Build the call graph of a module, or of an object file."""
    return WasmCallGraph(module, names, dict(enumerate(map(calls_of, module.bodies), len(module.imports))))


def _function_names(wasm: bytes) -> dict[int, str]:
    """Read the custom section "name": WebAssembly 1.0, appendix 7.4.1."""
    names: dict[int, str] = {}
    for number, content, _ in read_sections(wasm):
        body = Reader(content)
        if number != _CUSTOM or body.name() != "name":
            continue
        while not body.at_end:
            kind = body.byte()
            part = body.sub_reader(body.u32())
            if kind == _FUNCTION_NAMES:
                for _ in range(part.count()):
                    index = part.u32()
                    names[index] = part.name()
    return names
