"""Warns of programs that hang: endless loops that never sleep, calls that never end. Runs and changes nothing.

Only what is certain is reported: a loop that nothing leaves and that calls nothing that can sleep or end the program,
and functions without a condition that call each other in a circle. It reads the compiled object, which has all names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from microclaw.errors import Diagnostic
from microclaw.wasm.diagnostics import at
from microclaw.wasm.eventful import WAITING
from microclaw.wasm.source_text import SourceText
from microclaw.wasm.symbols import Symbols
from microclaw.wire.wasm_binary import Reader

MAX_CODE_BYTES: Final = 128 << 10  # a larger program is not looked through: the time is better spent on its trial
LETS_GO: Final = WAITING | {"exit", "abort", "microclaw_assert_failed"}
"""Functions in which an endless loop gives the processor away, or ends."""
_MAIN: Final = frozenset(("__main_void", "__main_argc_argv", "__original_main", "main"))
_BLOCKS: Final = frozenset((0x02, 0x03, 0x04))
_LOOP, _IF, _ELSE, _END, _BR, _BR_IF, _BR_TABLE, _RETURN, _CALL, _CALL_INDIRECT = 3, 4, 5, 11, 12, 13, 14, 15, 16, 17
_CONDITIONS: Final = frozenset((_IF, _BR_IF, _BR_TABLE))
_NEVER_GO_ON: Final = frozenset((0x00, _BR, _BR_TABLE, _RETURN))
_ENDLESS_HEADS: Final = (("while", "(", "1", ")"), ("while", "(", "true", ")"), ("for", "(", ";", ";"))
_ANYTHING: Final = -1  # stands for what a call through a pointer reaches


@dataclass(slots=True)
class _Block:
    """A block, loop or if while it is walked through: `depth` is how many lie around it."""

    opcode: int
    depth: int
    calls: set[int]
    left: bool = False  # something branches to a place around it
    targeted: bool = False  # something branches to its end, in a loop to its beginning


@dataclass(frozen=True, slots=True)
class _Function:
    calls: frozenset[int]
    endless: tuple[frozenset[int], ...]  # what each loop calls that nothing leaves
    conditional: bool


def hangs(symbols: Symbols, text: SourceText) -> tuple[Diagnostic, ...]:
    """A warning for each function of the object that certainly never comes back and never sleeps."""
    if sum(map(len, symbols.bodies)) > MAX_CODE_BYTES:
        return ()
    first = len(symbols.names) - len(symbols.bodies)
    functions = {first + place: _walk(body) for place, body in enumerate(symbols.bodies)}
    lets_go = {index for index, name in enumerate(symbols.names[:first]) if name in LETS_GO} | {_ANYTHING}
    found = []
    for index, function in functions.items():
        name = "main" if symbols.names[index] in _MAIN else symbols.names[index]
        if any(not _reached(calls, functions) & lets_go for calls in function.endless):
            found.append(_endless_loop(name, text))
        elif _calls_itself(index, functions):
            found.append(_endless_calls(name, text))
    return tuple(found)


def _endless_loop(name: str, text: SourceText) -> Diagnostic:
    return at(
        text,
        _loop_in(name, text) or text.find_name(name) or (1, 1),
        f"{name} loops for ever and never sleeps",
        "wait in the loop: sleep(1), delay(10); or use every(ms, task) and leave the loop out",
        explanation="while it runs the app answers nothing: no timer, no message; only a reset can remove it",
        severity="warning",
    )


def _endless_calls(name: str, text: SourceText) -> Diagnostic:
    return at(
        text,
        text.find_name(name) or (1, 1),
        f"{name} calls itself without end",
        "return before the call when there is nothing left to do, or use a loop",
        explanation="every call needs stack, and it has no end: the firmware ends the program with an overflow",
        severity="warning",
    )


def _reached(calls: frozenset[int], functions: Mapping[int, _Function]) -> set[int]:
    """Everything that is called from there, however deep."""
    reached = set(calls)
    waiting = list(calls)
    while waiting:
        function = functions.get(waiting.pop())
        new = (function.calls if function is not None else frozenset()) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _calls_itself(index: int, functions: Mapping[int, _Function]) -> bool:
    """Whether it comes back to itself through other functions that have no condition at all; clang tells of its own."""
    certain = {i: f for i, f in functions.items() if not f.conditional and i not in f.calls}
    return index in certain and index in _reached(certain[index].calls, certain)


def _walk(body: bytes) -> _Function:
    """The calls and the endless loops of a function's body."""
    reader = Reader(body)
    for _ in range(reader.count()):
        reader.u32()
        reader.byte()
    calls: set[int] = set()
    endless: list[frozenset[int]] = []
    conditional = False
    blocks: list[_Block] = []
    goes_on = True  # whether the place behind the last instruction can be reached
    for opcode, targets in _instructions(reader):
        conditional |= opcode in _CONDITIONS
        if opcode in _BLOCKS:
            blocks.append(_Block(opcode, len(blocks), set()))
        elif opcode == _END and blocks:
            block = blocks.pop()
            if block.opcode != _LOOP:
                goes_on |= block.targeted or block.opcode == _IF
            elif block.targeted and not block.left and not goes_on:
                endless.append(frozenset(block.calls))
        elif opcode in (_CALL, _CALL_INDIRECT):
            called = targets[0] if opcode == _CALL else _ANYTHING
            calls.add(called)
            for block in blocks:
                block.calls.add(called)
        elif opcode in (_BR, _BR_IF, _BR_TABLE, _RETURN):
            _jump(blocks, targets if opcode != _RETURN else (len(blocks),))
        goes_on = opcode not in _NEVER_GO_ON and (goes_on or opcode == _ELSE)
    return _Function(frozenset(calls), tuple(endless), conditional)


def _jump(blocks: list[_Block], targets: tuple[int, ...]) -> None:
    """A branch repeats a loop or leaves a block; every block inside of its target is left."""
    for target in targets:
        goal = len(blocks) - 1 - target
        for block in blocks[max(0, goal + 1) :]:
            block.left = True
        if goal >= 0:
            blocks[goal].targeted = True


def _instructions(reader: Reader) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Opcodes of WebAssembly 1.0 with the targets of branches and calls."""
    while not reader.at_end:
        opcode = reader.byte()
        targets: tuple[int, ...] = ()
        if opcode in (_BR, _BR_IF, _CALL):
            targets = (reader.u32(),)
        elif opcode == _BR_TABLE:
            targets = tuple(reader.u32() for _ in range(reader.count() + 1))
        elif opcode in _BLOCKS or opcode in (0x3F, 0x40):
            reader.byte()
        elif opcode == _CALL_INDIRECT:
            reader.u32()
            reader.u32()
        elif 0x20 <= opcode <= 0x24:
            reader.u32()
        elif 0x28 <= opcode <= 0x3E:
            reader.u32()
            reader.u32()
        elif opcode in (0x41, 0x42):
            reader.signed(32 if opcode == 0x41 else 64)
        elif opcode in (0x43, 0x44):
            reader.take(4 if opcode == 0x43 else 8)
        yield opcode, targets


def _loop_in(function: str, text: SourceText) -> tuple[int, int] | None:
    """The first `while (1)` or `for (;;)` behind the head of a function, else the first of the program."""
    start = text.find_definition(function) or (1, 1)
    tokens = text.tokens
    places = [
        (tokens[begin].line, tokens[begin].column)
        for begin in range(len(tokens) - 4)
        if tuple(token.text for token in tokens[begin : begin + 4]) in _ENDLESS_HEADS
    ]
    return next((place for place in places if place > start), next(iter(places), None))
