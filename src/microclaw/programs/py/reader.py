"""Reads, checks and rewrites one Python program, in a process of its own that the host asks (compile.py)."""

from __future__ import annotations

import ast
import gc
import warnings
from collections import deque
from pathlib import Path
from typing import Final

from msgspec import Struct, msgpack

from microclaw.conversion import decode_msgpack
from microclaw.errors import BuildError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.programs.py.advice import warn
from microclaw.programs.py.blocking_waits import BlockingWaits, warn_of_blocking
from microclaw.programs.py.bundle import Bundle, Joined
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.formats import Simplifier, used_words
from microclaw.programs.py.imports import check_imports
from microclaw.programs.py.network_reader import NetworkReading, check_network, read_network
from microclaw.programs.py.own_clock import give_own_clock
from microclaw.programs.py.pins import check_pins
from microclaw.programs.py.plans import LibraryCalls
from microclaw.programs.py.py_image import MAX_MPY_BYTES, LineMap, ProgramAnswer, ProgramQuestion, Rewritten
from microclaw.programs.py.refused_waits import check_waits
from microclaw.programs.py.rewrite import Rewriter
from microclaw.programs.py.scopes import Scopes
from microclaw.programs.py.source import SIMPLER, Findings, PythonSource, at, read_python
from microclaw.programs.py.syntax import check_syntax
from microclaw.programs.py.units import DriverModules, FileModules
from microclaw.programs.py.waits import Waits
from microclaw.programs.py.wired_parts import find_wired_parts
from microclaw.text import count_text

ARCHITECTURES: Final = {"ESP32": "xtensawin", "ESP32-S3": "xtensawin", "ESP32-C3": "rv32imc", "ESP32-C6": "rv32imc"}
_SHOWN_NAMES: Final = 12
_WRAPPING_CLOCKS: Final = ("ticks_ms", "ticks_us", "ticks_cpu")


class _Whole(Struct):
    """A program with its drivers and libraries, its call graph, the parts that it names, and its network."""

    tree: ast.Module
    graph: PyCallGraph
    wired: tuple[WiredPart, ...]
    network: NetworkReading


def main() -> None:
    """Answer the question that lies in this process' folder (programs/builds/reading.py)."""
    # One question is answered: of its trees nothing is free before the end.
    gc.disable()
    question = decode_msgpack(Path("question").read_bytes(), ProgramQuestion)
    Path("answer").write_bytes(msgpack.encode(answer(question)))


def answer(question: ProgramQuestion) -> ProgramAnswer:
    """Return the checked program, or what was found in it."""
    if question.board is None:
        return ProgramAnswer(is_python=_is_python(question.source))
    try:
        source = read_python(question.source, question.name)
        return ProgramAnswer(rewritten=_rewrite(source, question.board, question))
    except BuildError as exc:
        return ProgramAnswer(diagnostics=exc.diagnostics, stage=exc.stage)


def _is_python(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            # Of a program that is not ours.
            warnings.simplefilter("ignore", SyntaxWarning)
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _rewrite(source: PythonSource, board: BoardProfile, question: ProgramQuestion) -> Rewritten:
    """Check a program and turn it into one coroutine. Raises BuildError."""
    try:
        return _check_and_rewrite(source, board, question)
    except RecursionError as exc:
        raise BuildError((at(source, None, "the program is too deeply nested", SIMPLER),), stage="check") from exc


def _check_and_rewrite(source: PythonSource, board: BoardProfile, question: ProgramQuestion) -> Rewritten:
    findings = Findings(source)
    files = _join_modules(source, findings, is_trimmed=question.is_trimmed)
    give_own_clock(files.tree, findings)
    whole = _with_drivers(files, board, findings)
    tree = whole.tree
    graph = whole.graph
    check_syntax(graph, findings)
    imports = check_imports(graph, board, findings)
    claims, analog = check_pins(graph, board, findings)
    check_network(whole.network, question.hosts, findings)
    findings.raise_errors()
    waits, findings = _find_waits(tree, graph, findings)
    graph = waits.graph
    # Before the rewriter, which changes the tree.
    clocks = _used_clocks(graph)
    rewritten = Rewriter(waits).program(tree)
    text = ast.unparse(rewritten) + "\n"
    return Rewritten(
        rewritten=text,
        lines=_line_map(rewritten, text),
        imports=imports,
        claims=claims,
        arch=_architecture(graph, board),
        warnings=tuple(findings.warnings),
        clocks=clocks,
        analog=analog,
        wired=whole.wired,
        network=whole.network.use,
    )


def _join_modules(source: PythonSource, findings: Findings, *, is_trimmed: bool) -> Joined:
    """Return the program's files as one tree. Raises BuildError."""
    simplifier = Simplifier(used_words([source.tree, *source.modules.values()]))
    tree: ast.Module = simplifier.visit(source.tree)
    if not source.files:
        return Joined(tree, {}, [])
    modules = {name: simplifier.visit(module) for name, module in source.modules.items()}
    bundle = Bundle(tree, FileModules(source.files, modules, findings), findings)
    findings.raise_errors()
    joined = bundle.joined(is_trimmed=is_trimmed)
    findings.raise_errors()
    if joined.left_out:
        names = ", ".join(joined.left_out[:_SHOWN_NAMES])
        message = f"{count_text(len(joined.left_out), 'definition')} left out that nothing uses: {names}"
        findings.warn(None, message, f"with them the program has more than {MAX_MPY_BYTES:,} bytes")
    return joined


def _find_waits(tree: ast.Module, graph: PyCallGraph, findings: Findings) -> tuple[Waits, Findings]:
    """Return what waits, and the findings. A tree that must block somewhere gets copies, and is read again."""
    first = findings.copy()
    library = LibraryCalls(graph, first)
    waits = Waits(graph, library, first)
    blocking = BlockingWaits(waits)
    if blocking.blocking:
        functions = blocking.join(tree)
        warn_of_blocking(blocking, findings)
        first = findings
        library = LibraryCalls(PyCallGraph(Scopes(tree)), first, functions)
        waits = Waits(library.graph, library, first)
    library.check_loops()
    check_waits(waits, library, first, blocking.refused)
    warn(waits, first)
    first.raise_errors()
    return waits, first


def _used_clocks(graph: PyCallGraph) -> tuple[str, ...]:
    origins = {graph.origin(node) for node in graph.scopes.of if isinstance(node, ast.Name | ast.Attribute)}
    return tuple(clock for clock in _WRAPPING_CLOCKS if f"time.{clock}" in origins)


def _architecture(graph: PyCallGraph, board: BoardProfile) -> str | None:
    """Return the processor that native and viper functions are compiled for; None without such functions."""
    if any(function.is_compiled for function in graph.functions.values()):
        return ARCHITECTURES.get(board.chip.upper(), "xtensawin")
    return None


def _with_drivers(program: Joined, board: BoardProfile, findings: Findings) -> _Whole:
    """Return the program with the drivers and libraries that it imports."""
    bundle = Bundle(program.tree, DriverModules(), findings)
    graph = PyCallGraph(bundle.scopes)
    # Before the drivers are in the program: their classes have other names there, and they name hosts, too.
    wired = find_wired_parts(graph, board, program.origins)
    network = read_network(graph)
    if bundle.is_empty:
        return _Whole(program.tree, graph, wired, network)
    joined = bundle.joined()
    findings.raise_errors()
    return _Whole(joined.tree, PyCallGraph(Scopes(joined.tree)), wired, network)


def _line_map(tree: ast.Module, text: str) -> LineMap:
    """Return the source's line of each line of the text that was printed from a tree: its nodes have the source's.

    A line of a driver has that of its import as a negative number.
    """
    lines = [0] * (text.count("\n") + 2)
    waiting: deque[tuple[ast.AST, ast.AST]] = deque([(tree, ast.parse(text))])
    while waiting:
        ours, printed = waiting.popleft()
        line = getattr(printed, "lineno", None)
        if line is not None and not lines[line]:
            lines[line] = getattr(ours, "lineno", 0)
        # It is printed on the line of its statement.
        if isinstance(printed, ast.expr):
            continue
        for pair in zip(ast.iter_child_nodes(ours), ast.iter_child_nodes(printed), strict=False):
            if type(pair[0]) is type(pair[1]):
                waiting.append(pair)
    # A line without a node has the source's line of the one before.
    last_line = 0
    for number, line in enumerate(lines):
        last_line = line or last_line
        lines[number] = last_line
    return tuple(lines[1:])
