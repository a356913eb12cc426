"""Links a program so that its `main` is called; one that sleeps there becomes event-driven with Binaryen's Asyncify.

The firmware calls on_init and callbacks, never `main` (docs/decisions/0005-blocking-programs.md). A program with
on_init stays as it is; a `main` that never sleeps is called from our on_init, at no further cost. Compiles nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.builds.outputs import read_output, write_input
from microclaw.programs.builds.process import Processes, ProcessResult, build_failure
from microclaw.programs.wasm.callgraph import WasmCallGraph, read_callgraph
from microclaw.programs.wasm.diagnostics import at, read_linker_output
from microclaw.programs.wasm.loop_guards import Guards
from microclaw.programs.wasm.loops import MAY_SLEEP, WAITING
from microclaw.programs.wasm.opcodes import instructions
from microclaw.programs.wasm.pause_points import BREATHE, WATCH, with_entries_noted, with_guards, without_exports
from microclaw.programs.wasm.source_scanner import RESERVED
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.symbols import Symbols, source_name
from microclaw.programs.wasm.toolchain import CALLBACKS, Entry, Toolchain
from microclaw.wire.wasm_binary import HEADER, ModuleError, read_sections

_CUSTOM: Final = 0
_CALL = 0x10
_CONST = 0x41
PASS_OPTIONS: Final = ("--asyncify", "--pass-arg=asyncify-ignore-imports", "-Os", "--mvp-features")
INSTALL_BINARYEN: Final = "apt-get install binaryen (or make setup-system), or write it event-driven: every(ms, task)"
_NATIVE_SLEEPS: Final = ("sleep", "usleep")
_UNWINDERS: Final = "asyncify_"  # what the pass offers to a host that unwinds; here the shim does
_MAINS: Final = frozenset(("__main_void", "__main_argc_argv"))


class LinkedProgram(Struct, frozen=True):
    """A linked program. `compiled_bytes` is its size without the shim where it was made event-driven, else None."""

    wasm: bytes
    took_ms: float
    compiled_bytes: int | None = None


class Linker(Struct, frozen=True):
    """Everything that linking one program takes; `directory` holds its program.o."""

    toolchain: Toolchain
    libraries: Mapping[str, Path]
    stack_bytes: int
    text: SourceText
    directory: Path
    processes: Processes
    symbols: Symbols
    guards: Guards
    wanted: tuple[str, ...] = ()  # what else of our libraries it is to have
    traced: bool = False  # for a trial that needs the lines of a trap
    is_logged: bool = False  # what it prints is kept for a host as well

    def link(self) -> LinkedProgram:
        """Link the program; if its main sleeps or polls, make it event-driven. Raises BuildError."""
        has_main = bool(self.symbols.functions & _MAINS) and "on_init" not in self.symbols.functions
        if self.symbols.has_constructors and not has_main and not self.traced:
            raise BuildError((self._constructors_before_on_init(),), stage="check")
        if not has_main:
            return self._finished(self._linked("none", *self._run("none")))
        ends = "exit" in self.symbols.missing and find_binaryen() is not None
        polls = self.guards.polls
        waits = bool(self.symbols.missing & WAITING)
        if not (waits or ends or polls):
            return self._finished(self._linked("plain", *self._run("plain")))
        # Without the shim, to see whether main sleeps, and with it at the same time, in case it does.
        result, blocking = self._run("plain", "blocking")
        named = self._linked("plain", result)
        plain = self._finished(named)
        if not polls and not self._may_sleep(named.wasm, ends=ends):
            return plain
        if "on_timer_callback" not in self.symbols.functions:
            return self._make_event_driven(plain, blocking, pauses=ends or polls)
        if waits or polls:
            place = self.text.find_name("on_timer_callback")
            message = "main waits, and on_timer_callback is defined as well: a main that waits needs it for itself"
            hint = "use every(ms, task) of microclaw.h beside main, or on_init instead of main"
            raise BuildError((at(self.text, place, message, hint),), stage="check")
        return plain

    def _may_sleep(self, wasm: bytes, *, ends: bool) -> bool:
        """Return True if main may call a native that sleeps, or exit if the program `ends` by it."""
        graph = self._read(wasm)
        sleeps = {graph.import_index("env", name) for name in _NATIVE_SLEEPS}
        if ends:
            sleeps.add(graph.import_index("env", "exit"))
        return self._reaches(graph, frozenset(sleeps))

    def _run(self, *entries: Entry) -> list[ProcessResult]:
        """Link the program once for each of these callers of its main, side by side."""
        commands = []
        for entry in entries:
            command = self.toolchain.link_command(
                self.libraries,
                self.stack_bytes,
                entry,
                names=bool(self.guards) or len(entries) > 1,
                constructors=self.symbols.has_constructors and entry != "none",
                output=f"{entry}.wasm",
                traced=self.traced,
                is_logged=self.is_logged,
            )
            for name in self.wanted:
                command.append(f"--undefined={name}")
            if self.guards and (entry != "blocking" or self.guards.watches):
                command.append(f"--export={WATCH}")
            if self.guards and entry == "blocking":
                command.append(f"--export={BREATHE}")
            commands.append((command, self.directory))
        return self.processes.run_together(commands)

    def _linked(self, entry: Entry, result: ProcessResult) -> LinkedProgram:
        if result.returncode != 0:
            raise build_failure(result, read_linker_output(result.output, self.text), self.text.file, "link")
        wasm = read_output(self.directory / f"{entry}.wasm", stage="link")
        if not self.traced:
            wasm = with_entries_noted(wasm)
        return LinkedProgram(wasm, result.took_ms)

    def _stripped(self, wasm: bytes) -> bytes:
        """Return the module without names and notes, which no runtime needs; a traced one keeps them."""
        if self.traced:
            return wasm
        parts = [wasm[: len(HEADER)]]
        for number, _, whole in read_sections(wasm):
            if number != _CUSTOM:
                parts.append(whole)
        return b"".join(parts)

    def _guarded(self, wasm: bytes) -> bytes:
        if not self.guards:
            return wasm
        graph = self._read(wasm)
        return with_guards(wasm, graph.module, graph.names, self.guards)

    def _finished(self, linked: LinkedProgram) -> LinkedProgram:
        wasm = self._stripped(self._guarded(linked.wasm))
        if self.guards:
            wasm = without_exports(wasm, RESERVED)
        return replace(linked, wasm=wasm)

    def _read(self, wasm: bytes) -> WasmCallGraph:
        try:
            return read_callgraph(wasm)
        except ModuleError as exc:
            message = f"the linked module cannot be read: {exc}"
            raise BuildError((Diagnostic("error", message, self.text.file),), stage="link") from exc

    def _reaches(self, graph: WasmCallGraph, goals: frozenset[int | None]) -> bool:
        start = graph.index("on_init")
        return start is not None and graph.path(start, goals, graph.possible) is not None

    def _exports_of_the_pass(self, graph: WasmCallGraph) -> Iterator[Diagnostic]:
        for export in graph.module.exports:
            if export.name.startswith(_UNWINDERS):
                message = f"it exports {export.name}, a name that a sleeping program needs for itself"
                yield at(self.text, self.text.find_string(export.name), message, "leave the export out")

    def _sleeping_callbacks(self, graph: WasmCallGraph, sleeps: frozenset[int]) -> Iterator[Diagnostic]:
        """Yield an error for each callback that certainly reaches a sleep.

        A sleep that is called through a pointer is only found at run time.
        """
        may_sleep = {graph.index(name) for name in MAY_SLEEP}

        def certain(function: int) -> Iterable[int]:
            if function in may_sleep or function not in graph.calls:
                return ()
            return graph.calls[function].direct

        for start in _callbacks(graph):
            path = graph.path(start, sleeps - may_sleep, certain)
            if path is None:
                continue
            names = [source_name(graph.names.get(function, "?")) for function in path]
            place = self.text.find_name(names[0])
            message = f"{names[0]} sleeps ({' -> '.join(names)}), and only main may"
            hint = "note the time with millis() and act in a later call, or let main do it when a variable is set"
            yield at(self.text, place, message, hint)

    def _make_event_driven(self, plain: LinkedProgram, blocking: ProcessResult, *, pauses: bool) -> LinkedProgram:
        """Return the program with the shim after the Asyncify pass; `plain` if main reaches no sleep of its own."""
        linked = self._linked("blocking", blocking)
        wasm = self._guarded(linked.wasm)
        graph = self._read(wasm)
        unwinding = graph.import_index("asyncify", "start_unwind")
        # The functions that sleep, and exit.
        pausing = frozenset(function for function, calls in graph.calls.items() if unwinding in calls.direct)
        sleeps = pausing - {graph.index("exit"), graph.index(BREATHE)}
        goals = pausing if pauses else sleeps
        if not self._reaches(graph, goals):
            return plain
        errors = (*self._exports_of_the_pass(graph), *self._sleeping_callbacks(graph, sleeps))
        if errors:
            raise BuildError(errors, stage="check")
        binaryen = find_binaryen()
        if binaryen is None:
            raise BuildError((self._without_binaryen(),), stage="check", next_step=INSTALL_BINARYEN)
        options = [*PASS_OPTIONS]
        if not any(graph.path(function, pausing, graph.possible) for function in graph.module.table_functions):
            options.append("--pass-arg=asyncify-ignore-indirect")
        internal = [_UNWINDERS]
        if self.traced:
            options.append("-g")
        else:
            internal.append(RESERVED)
        write_input(self.directory / "compiled.wasm", self._stripped(wasm), stage="link")
        result = self.processes.run([str(binaryen), "compiled.wasm", *options, "-o", "program.wasm"], self.directory)
        if result.returncode != 0:
            raise build_failure(result, (), self.text.file, "link")
        wasm = without_exports(read_output(self.directory / "program.wasm", stage="link"), *internal)
        return LinkedProgram(wasm, max(plain.took_ms, linked.took_ms) + result.took_ms, len(plain.wasm))

    def _constructors_before_on_init(self) -> Diagnostic:
        place = self.text.find_definition("on_init")
        message = "a global object has a constructor, and nothing runs it: the firmware calls on_init only"
        hint = "use main, or setup and loop, instead of on_init; or make the object inside of a function"
        return at(self.text, place, message, hint)

    def _without_binaryen(self) -> Diagnostic:
        names = sorted(map(source_name, self.symbols.missing & WAITING))
        place = next(filter(None, map(self.text.find_name, names)), None)
        if names:
            what = f"{names[0]} in main"
        else:
            what = "a loop of main that never sleeps"
        message = f"{what} needs wasm-opt of Binaryen, which makes a program event-driven"
        return at(self.text, place, message, INSTALL_BINARYEN)


def find_binaryen() -> Path | None:
    """Return the path of Binaryen's wasm-opt, or None."""
    path = shutil.which("wasm-opt")
    if path is not None:
        return Path(path).resolve()
    return None


def binaryen_identity() -> tuple[str, ...]:
    """Return what a cached build depends on besides the compiler; the date of the file stands for its version."""
    path = find_binaryen()
    if path is None:
        return ("no binaryen",)
    stat = path.stat()
    return (str(path), str(stat.st_size), str(stat.st_mtime_ns), *PASS_OPTIONS)


def main_never_called(symbols: Symbols, text: SourceText) -> tuple[Diagnostic, ...]:
    """Return a warning if a program has both main and on_init."""
    if not symbols.functions & _MAINS or "on_init" not in symbols.functions:
        return ()
    place = text.find_name("main") or (1, 1)
    message = "on_init is what starts here: main is never called"
    hint = "leave on_init out and let main do its work, or leave main out"
    return (at(text, place, message, hint, severity="warning"),)


def _callbacks(graph: WasmCallGraph) -> Iterator[int]:
    """Yield the program's own functions that the firmware calls beside main, and the tasks of every and after."""
    for name in ("program_on_destroy", *CALLBACKS):
        index = graph.index(name)
        if index is not None and name != "on_timer_callback":
            yield index
    timers = {graph.index("every"), graph.index("after")} - {None}
    first = len(graph.module.imports)
    for function, body in enumerate(graph.module.bodies, first):
        if not timers & graph.calls[function].direct:
            continue
        for (_, _, before, constant), (_, _, opcode, called) in pairwise(instructions(body)):
            if before == _CONST and opcode == _CALL and called[0] in timers:
                task = graph.module.elements.get(constant[0])
                if task is not None:
                    yield task
