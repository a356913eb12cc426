"""Links a program so that its `main` is called; one that sleeps there becomes event-driven with Binaryen's Asyncify.

The firmware calls on_init and callbacks, never `main` (docs/decisions/0005-blocking-programs.md). A program with
on_init stays as it is; a `main` that never sleeps is called from our on_init, at no further cost. Compiles nothing.
"""

from __future__ import annotations

import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm.diagnostics import at, read_linker_output
from microclaw.wasm.inspect import Module, parse_module
from microclaw.wasm.loops import MAY_SLEEP, WAITING, Loops, insert_in_loops
from microclaw.wasm.opcodes import Calls, calls_of, instructions
from microclaw.wasm.process import Processes, ProcessResult, build_failure
from microclaw.wasm.source_text import SourceText
from microclaw.wasm.symbols import Symbols, point_key, source_name
from microclaw.wasm.toolchain import CALLBACKS, NOTE_START, Entry, Toolchain
from microclaw.wire.wasm_binary import (
    HEADER,
    FeatureError,
    ModuleError,
    Reader,
    read_sections,
    write_i32,
    write_section,
    write_u32,
)

_FUNCTION_NAMES: Final = 1


@dataclass(frozen=True, slots=True)
class CallGraph:
    """Functions are indices over imports and own functions, as in the module."""

    module: Module
    names: Mapping[int, str]
    calls: Mapping[int, Calls]

    def index(self, name: str) -> int | None:
        """A function by its name in the linked program."""
        return next((index for index, own in self.names.items() if own == name), None)

    def import_index(self, space: str, name: str) -> int | None:
        for index, wanted in enumerate(self.module.imports):
            if (wanted.module, wanted.name) == (space, name):
                return index
        return None

    def direct(self, function: int) -> Iterable[int]:
        """What a function calls by name."""
        calls = self.calls.get(function)
        return calls.direct if calls is not None else ()

    def possible(self, function: int) -> Iterable[int]:
        """What a function may call, by name or through a pointer."""
        calls = self.calls.get(function)
        if calls is None:
            return ()
        wanted = {self.module.types[kind] for kind in calls.indirect}
        pointed_at = [f for f in self.module.table_functions if self.module.signature_of(f) in wanted] if wanted else ()
        return (*calls.direct, *pointed_at)

    def path(self, start: int, goals: frozenset[int], step: Callable[[int], Iterable[int]]) -> tuple[int, ...] | None:
        """The shortest chain of calls from `start` to one of `goals`, both included; None when there is none."""
        came_from = {start: start}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            if here in goals:
                chain = [here]
                while chain[-1] != start:
                    chain.append(came_from[chain[-1]])
                return tuple(reversed(chain))
            for there in sorted(step(here)):
                if there not in came_from:
                    came_from[there] = here
                    queue.append(there)
        return None


def read_callgraph(wasm: bytes) -> CallGraph:
    """The calls of a module; raises ModuleError or FeatureError."""
    module = parse_module(wasm)
    first = len(module.imports)
    calls = {first + i: calls_of(body) for i, body in enumerate(module.bodies)}
    return CallGraph(module, _function_names(wasm), calls)


def _function_names(wasm: bytes) -> dict[int, str]:
    """The custom section "name": WebAssembly 1.0, appendix 7.4.1."""
    names: dict[int, str] = {}
    for number, content, _ in read_sections(wasm):
        body = Reader(content)
        if number != _CUSTOM or body.name() != "name":
            continue
        while not body.at_end:
            kind = body.byte()
            part = body.sub_reader(body.u32())
            if kind == _FUNCTION_NAMES:
                names.update((part.u32(), part.name()) for _ in range(part.count()))
    return names


_CUSTOM, _EXPORTS, _CODE = 0, 7, 10


def without_custom_sections(wasm: bytes) -> bytes:
    """The module without names and notes, which no runtime needs."""
    return wasm[: len(HEADER)] + b"".join(whole for number, _, whole in read_sections(wasm) if number != _CUSTOM)


def without_exports(wasm: bytes, *prefixes: str) -> bytes:
    """The module without the exports whose names begin so."""
    parts = [wasm[: len(HEADER)]]
    for number, body, whole in read_sections(wasm):
        if number != _EXPORTS:
            parts.append(whole)
            continue
        kept = [entry for name, entry in _exports(body) if not name.startswith(prefixes)]
        parts.append(write_section(_EXPORTS, write_u32(len(kept)) + b"".join(kept)))
    return b"".join(parts)


def with_pause_points(wasm: bytes, graph: CallGraph, points: Mapping[str, Mapping[int, int]]) -> bytes:
    """The linked module with a call of the shim's pause point at the head of loops: ms by function and loop."""
    call = b"\x10" + write_u32(graph.index(_BREATHE) or 0)
    first = len(graph.module.imports)
    bodies = []
    for index, body in enumerate(graph.module.bodies, first):
        loops = points.get(point_key(graph.names.get(index, "")), {})
        code = {number: b"\x41" + write_i32(after_ms) + call for number, after_ms in loops.items()}
        bodies.append(insert_in_loops(body, code) if code else body)
    return _with_bodies(wasm, bodies)


def with_start_noted(wasm: bytes) -> bytes:
    """The linked module, with a call of libc/clock.c first thing in on_init where the program asks for the time."""
    if NOTE_START.encode() not in wasm:
        return wasm
    module = parse_module(wasm)
    functions = {export.name: export.index for export in module.exports if export.kind == "function"}
    if NOTE_START not in functions:
        return wasm
    bodies = list(module.bodies)
    if (place := functions.get("on_init", -1) - len(module.imports)) >= 0:
        start = next(begin for begin, *_ in instructions(bodies[place]))
        call = b"\x10" + write_u32(functions[NOTE_START])
        bodies[place] = bodies[place][:start] + call + bodies[place][start:]
    return without_exports(_with_bodies(wasm, bodies), NOTE_START)


def _with_bodies(wasm: bytes, bodies: Sequence[bytes]) -> bytes:
    content = write_u32(len(bodies)) + b"".join(write_u32(len(body)) + body for body in bodies)
    parts = (write_section(_CODE, content) if number == _CODE else whole for number, _, whole in read_sections(wasm))
    return wasm[: len(HEADER)] + b"".join(parts)


def _exports(body: bytes) -> Iterator[tuple[str, bytes]]:
    reader = Reader(body)
    for _ in range(reader.count()):
        start = reader.position
        name = reader.name()
        reader.byte()
        reader.u32()
        yield name, body[start : reader.position]


PASS_OPTIONS: Final = ("--asyncify", "--pass-arg=asyncify-ignore-imports", "-Os", "--mvp-features")
INSTALL_BINARYEN: Final = "apt-get install binaryen (or make setup-system), or write it event-driven: every(ms, task)"
RESERVED: Final = "__microclaw_"
_BREATHE: Final = f"{RESERVED}breathe"
_BOTH: Final[tuple[Entry, ...]] = ("plain", "blocking")
_NATIVE_SLEEPS: Final = ("sleep", "usleep")
_UNWINDERS: Final = "asyncify_"  # what the pass offers to a host that unwinds; here the shim does
_MAINS: Final = frozenset(("__main_void", "__main_argc_argv"))
_TASK: Final = re.compile(rb"\x41((?:[\x80-\xff]{0,4})[\x00-\x7f])\x10((?:[\x80-\xff]{0,4})[\x00-\x7f])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LinkedProgram:
    """A linked program. `compiled_bytes` is its size without the shim where it was made event-driven, else None."""

    wasm: bytes
    took_ms: float
    compiled_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Linker:
    """Everything that linking one program takes; `directory` holds its program.o."""

    toolchain: Toolchain
    libraries: Mapping[str, Path]
    stack_bytes: int
    text: SourceText
    directory: Path
    processes: Processes

    def link(self, symbols: Symbols, loops: Loops) -> LinkedProgram:
        """Link the program; if its main sleeps or polls, make it event-driven. Raises BuildError."""
        if not symbols.functions & _MAINS or "on_init" in symbols.functions:
            if symbols.has_constructors:
                raise BuildError((self._constructors_before_on_init(),), stage="check")
            return self._run("none")
        ends = "exit" in symbols.missing and find_binaryen() is not None
        points = loops.pause_points()
        if not (symbols.missing & WAITING or ends or points):
            return self._run("plain", constructors=symbols.has_constructors)
        named, blocking = self._run_both(polls=bool(points), constructors=symbols.has_constructors)
        plain = replace(named, wasm=without_custom_sections(named.wasm))
        natives = _NATIVE_SLEEPS + (("exit",) if ends else ())
        graph = self._read(named.wasm)
        sleeps = frozenset(i for n in natives if (i := graph.import_index("env", n)) is not None)
        if not points and not self._reaches(graph, sleeps):
            return plain
        if "on_timer_callback" not in symbols.functions:
            return self._make_event_driven(plain, blocking, symbols, points, ends=ends)
        if symbols.missing & WAITING or points:
            raise BuildError((self._callback_is_taken(),), stage="check")
        return plain

    def _run(self, entry: Entry, *, constructors: bool = False) -> LinkedProgram:
        command = self.toolchain.link_command(self.libraries, self.stack_bytes, entry, constructors=constructors)
        return self._linked(self.processes.run(command, self.directory), "program.wasm")

    def _run_both(self, *, polls: bool, constructors: bool) -> tuple[LinkedProgram, ProcessResult]:
        """Link without the shim, to see whether main sleeps, and with it at the same time, in case it does."""
        link = partial(
            self.toolchain.link_command, self.libraries, self.stack_bytes, names=True, constructors=constructors
        )
        commands = [(link(entry, output=f"{entry}.wasm"), self.directory) for entry in _BOTH]
        if polls:
            commands[-1][0].append(f"--export={_BREATHE}")
        plain, blocking = self.processes.run_together(commands)
        return self._linked(plain, "plain.wasm"), blocking

    def _linked(self, done: ProcessResult, output: str) -> LinkedProgram:
        if done.returncode != 0:
            raise build_failure(done, read_linker_output(done.output, self.text), self.text, "link")
        return LinkedProgram(with_start_noted((self.directory / output).read_bytes()), done.took_ms)

    def _read(self, wasm: bytes) -> CallGraph:
        try:
            return read_callgraph(wasm)
        except (ModuleError, FeatureError) as exc:
            message = f"the linked module cannot be read: {exc}"
            raise BuildError((Diagnostic("error", message, self.text.file),), stage="link") from exc

    def _reaches(self, graph: CallGraph, goals: frozenset[int]) -> bool:
        start = graph.index("on_init")
        return start is not None and graph.path(start, goals, graph.possible) is not None

    def _exports_of_the_pass(self, graph: CallGraph) -> Iterator[Diagnostic]:
        for export in graph.module.exports:
            if export.name.startswith(_UNWINDERS):
                message = f"it exports {export.name}, a name that a sleeping program needs for itself"
                yield at(self.text, self.text.find_string(export.name), message, "leave the export out")

    def _sleeping_callbacks(self, graph: CallGraph, sleeps: frozenset[int]) -> Iterator[Diagnostic]:
        """An error for each callback that certainly reaches a sleep. Through a pointer it is only found at run time."""
        may_sleep = {graph.index(name) for name in MAY_SLEEP}

        def certain(function: int) -> Iterable[int]:
            return () if function in may_sleep else graph.direct(function)

        for start in _callbacks(graph):
            path = graph.path(start, sleeps - may_sleep, certain)
            if path is None:
                continue
            names = [source_name(graph.names.get(i, "?")) for i in path]
            place = self.text.find_name(names[0])
            message = f"{names[0]} sleeps ({' -> '.join(names)}), and only main may"
            hint = "note the time with millis() and act in a later call, or let main do it when a variable is set"
            yield at(self.text, place, message, hint)

    def _make_event_driven(
        self,
        plain: LinkedProgram,
        blocking: ProcessResult,
        symbols: Symbols,
        points: Mapping[str, Mapping[int, int]],
        *,
        ends: bool,
    ) -> LinkedProgram:
        """The program with the shim after the Asyncify pass; `plain` if main reaches no sleep of its own."""
        linked = self._linked(blocking, "blocking.wasm")
        graph = self._read(linked.wasm)
        if points:
            linked = replace(linked, wasm=with_pause_points(linked.wasm, graph, points))
            graph = self._read(linked.wasm)
        pausing = _pausing(graph)
        sleeps = pausing - {graph.index("exit"), graph.index(_BREATHE)}
        if not self._reaches(graph, pausing if ends or points else sleeps):
            return plain
        errors = (*self._exports_of_the_pass(graph), *self._sleeping_callbacks(graph, sleeps))
        if errors:
            raise BuildError(errors, stage="check")
        binaryen = find_binaryen()
        if binaryen is None:
            raise BuildError((self._without_binaryen(symbols),), stage="check", next_step=INSTALL_BINARYEN)
        options = [*PASS_OPTIONS]
        if not any(graph.path(f, pausing, graph.possible) for f in graph.module.table_functions):
            options.append("--pass-arg=asyncify-ignore-indirect")
        (self.directory / "compiled.wasm").write_bytes(without_custom_sections(linked.wasm))
        done = self.processes.run([str(binaryen), "compiled.wasm", *options, "-o", "program.wasm"], self.directory)
        if done.returncode != 0:
            raise build_failure(done, (), self.text, "link")
        wasm = without_exports((self.directory / "program.wasm").read_bytes(), _UNWINDERS, RESERVED)
        return LinkedProgram(wasm, max(plain.took_ms, linked.took_ms) + done.took_ms, len(plain.wasm))

    def _callback_is_taken(self) -> Diagnostic:
        place = self.text.find_name("on_timer_callback")
        message = "main waits, and on_timer_callback is defined as well: a main that waits needs it for itself"
        hint = "use every(ms, task) of microclaw.h beside main, or on_init instead of main"
        return at(self.text, place, message, hint)

    def _constructors_before_on_init(self) -> Diagnostic:
        place = self.text.find_definition("on_init")
        message = (
            "a global object has a constructor, and the firmware calls on_init only: nothing would run the constructor"
        )
        hint = "use main, or setup and loop, instead of on_init; or make the object inside of a function"
        return at(self.text, place, message, hint)

    def _without_binaryen(self, symbols: Symbols) -> Diagnostic:
        names = sorted(map(source_name, symbols.missing & WAITING))
        place = next(filter(None, map(self.text.find_name, names)), None)
        what = f"{names[0]} in main" if names else "a loop of main that never sleeps"
        message = f"{what} needs wasm-opt of Binaryen, which makes a program event-driven"
        return at(self.text, place, message, INSTALL_BINARYEN)


def find_binaryen() -> Path | None:
    """Binaryen's wasm-opt, or None."""
    found = shutil.which("wasm-opt")
    return Path(found).resolve() if found is not None else None


def binaryen_identity() -> tuple[str, ...]:
    """What a cached build depends on besides the compiler; the date of the file stands for its version."""
    path = find_binaryen()
    if path is None:
        return ("no binaryen",)
    stat = path.stat()
    return (str(path), str(stat.st_size), str(stat.st_mtime_ns), *PASS_OPTIONS)


def check_reserved_names(text: SourceText) -> None:
    """BuildError for a name that is the shim's."""
    for token in text.tokens:
        if token.kind == "name" and token.text.startswith(RESERVED):
            message = f"{token.text}: names that begin with {RESERVED} are microclaw's own"
            raise BuildError((at(text, (token.line, token.column), message, "choose another name"),), stage="source")


def main_never_called(symbols: Symbols, text: SourceText) -> tuple[Diagnostic, ...]:
    """A warning where a program has both main and on_init."""
    if not symbols.functions & _MAINS or "on_init" not in symbols.functions:
        return ()
    place = text.find_name("main") or (1, 1)
    message = "on_init is what starts here: main is never called"
    hint = "leave on_init out and let main do its work, or leave main out"
    return (at(text, place, message, hint, severity="warning"),)


def _pausing(graph: CallGraph) -> frozenset[int]:
    """The functions that start to unwind: the sleeps, and exit."""
    start = graph.import_index("asyncify", "start_unwind")
    return frozenset(f for f, calls in graph.calls.items() if start in calls.direct)


def _callbacks(graph: CallGraph) -> Iterator[int]:
    """The program's own functions that the firmware calls beside main, and the tasks of every and after."""
    for name in ("program_on_destroy", *CALLBACKS):
        index = graph.index(name)
        if index is not None and name != "on_timer_callback":
            yield index
    timers = {graph.index("every"), graph.index("after")} - {None}
    first = len(graph.module.imports)
    for function, body in enumerate(graph.module.bodies, first):
        if not timers & graph.calls[function].direct:
            continue
        for match in _TASK.finditer(body):
            task = graph.module.elements.get(Reader(match[1]).u32() if match[1][-1] < 0x40 else -1)
            if task is not None and Reader(match[2]).u32() in timers:
                yield task
