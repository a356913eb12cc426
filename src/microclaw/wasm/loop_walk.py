"""Walks through a function's body once: its loops, how each goes round and ends, and where it may go round awake.

Knows functions by index only; loops.py says what they mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from microclaw.wasm.opcodes import instructions

ANYTHING: Final = -1  # stands for what a call through a pointer reaches
_BLOCK, LOOP, _IF, _BR, _BR_TABLE, _RETURN, _CALL = 2, 3, 4, 12, 14, 15, 16
_UNREACHABLE, _LOCAL_GET, _LOCAL_TEE, _GLOBAL_SET, _GROW, _CONST, _ADD = 0, 0x20, 0x22, 0x24, 0x40, 0x41, 0x6A
_LOADS: Final = range(0x28, 0x36)
_STORES: Final = range(0x36, 0x3F)
_CHECKING: Final = frozenset((_CONST, _LOCAL_TEE, 0x71, *range(0x45, 0x50)))  # a constant, and, comparisons
_COMPARES: Final = frozenset((0x47, 0x48, 0x49, 0x4C, 0x4D))  # ne, lt_s, lt_u, le_s, le_u
_NEVER_GO_ON: Final = frozenset((_UNREACHABLE, _BR, _BR_TABLE, _RETURN))
_ELSE, _END = 5, 11
_CONTROL: Final = frozenset((0, _BLOCK, LOOP, _IF, _ELSE, _END, _BR, 13, _BR_TABLE, _RETURN, 17))


@dataclass(slots=True)
class Loop:
    """A loop: which of its function's, in order; what it calls; how it ends and goes on."""

    number: int
    is_inner: bool  # it lies in another one
    calls: set[int] = field(default_factory=set)
    is_left: bool = False
    goes_round: bool = False
    goes_round_awake: bool = False  # there is a way round on which nothing sleeps
    turns: int | None = None  # at most so many, where its end shows that
    waits: bool = False  # there is a way round on which nothing happens: only a callback can change what it looks at
    holds_waiting: bool = False  # that is so of it, or of a loop in it
    looks: bool = False  # whether it goes on depends on a variable in memory, which a callback may change
    changes: bool = False  # something besides what it calls: a variable, or a value that the next turn sees

    @property
    def is_endless(self) -> bool:
        return self.goes_round and not self.is_left


@dataclass(slots=True)
class Function:
    """What a function calls, its loops, and whether every way through it sleeps."""

    calls: set[int] = field(default_factory=set)
    loops: list[Loop] = field(default_factory=list)
    is_conditional: bool = False
    always_sleeps: bool = False


def walk(body: bytes, sleeping: set[int], handlers: set[int]) -> Function:
    """What a body has; `sleeping` are the functions that always sleep, `handlers` those that tell of a fault and end.

    A jump to a handler is left out: what is looked at is the program as it is without faults.
    """
    return _Walk(body, sleeping, handlers).function


class _Walk:
    """One pass over a body. `awake` is a set of bits: where such a way starts that came here without sleeping.

    Bit 0 stands for the function's beginning, bit n + 1 for the head of its loop n. Code behind a jump has none.
    """

    def __init__(self, body: bytes, sleeping: set[int], handlers: set[int]) -> None:
        self.function = Function()
        self._sleeping = sleeping
        self._handlers = handlers
        self._blocks: list[_Block] = [_Block(_BLOCK, None)]
        self._awake = 1
        self._reachable = True
        self._last: deque[tuple[int, int]] = deque(maxlen=6)  # instructions with their first operand
        code = [(opcode, operands) for _, _, opcode, operands in instructions(body)]
        self._dead_ends = _dead_ends(code, handlers)
        for self._at, (opcode, operands) in enumerate(code):
            self._step(opcode, operands)
            self._last.append((opcode, operands[0] if operands else 0))
        self.function.always_sleeps = not self._blocks_end & 1

    def _step(self, opcode: int, operands: tuple[int, ...]) -> None:
        match opcode:
            case 2 | 3 | 4:
                self._open(opcode)
            case 5:
                self._else()
            case 11:
                self._close()
            case 16 | 17:
                self._call(operands[0] if opcode == _CALL else ANYTHING)
            case 12 | 13 | 14:
                targets = [target for target in operands if not self._blocks[-1 - target].is_dead_end]
                self.function.is_conditional |= opcode != _BR and bool(targets)
                for target in targets:
                    self._jump(target, is_conditional=opcode != _BR)
            case 15:
                self._jump(len(self._blocks) - 1, is_conditional=False)
            case 0x20:
                for block in self._blocks:
                    if operands[0] not in block.written:
                        block.read_first.add(operands[0])
            case 0x21 | 0x22:
                for block in self._blocks:
                    block.written.add(operands[0])
            case _ if opcode in _STORES or opcode in (_GLOBAL_SET, _GROW):
                for loop in self._open_loops():
                    loop.changes = True
        if opcode in _NEVER_GO_ON:
            self._awake, self._reachable = 0, False

    def _open(self, opcode: int) -> None:
        loop = None
        if opcode == LOOP:
            loop = Loop(len(self.function.loops), any(self._open_loops()))
            self.function.loops.append(loop)
            self._awake |= 2 << loop.number if self._reachable else 0
        self.function.is_conditional |= opcode == _IF
        block = _Block(opcode, loop, is_dead_end=self._at in self._dead_ends)
        if opcode == _IF:
            block.before, block.reachable_before = self._awake, self._reachable
        self._blocks.append(block)

    def _else(self) -> None:
        block = self._blocks[-1]
        block.arrivals |= self._awake
        block.is_target |= self._reachable
        self._awake, self._reachable = block.before, block.reachable_before
        block.has_else = True

    def _close(self) -> None:
        block = self._blocks.pop()
        if block.loop is None:
            self._awake |= block.arrivals
            self._reachable |= block.is_target
            if block.opcode == _IF and not block.has_else:
                self._awake |= block.before
                self._reachable |= block.reachable_before
        else:
            block.loop.is_left |= self._reachable
            loop = block.loop
            loop.changes |= bool(block.written & block.read_first)
            loop.waits |= loop.goes_round and loop.is_left and not (loop.calls or loop.changes)
            for outer in (loop, *self._open_loops()):
                outer.holds_waiting |= loop.waits
            self._awake &= ~(2 << loop.number)
        if not self._blocks:
            self._blocks_end = self._awake

    def _call(self, called: int) -> None:
        if called in self._handlers:
            return
        self.function.calls.add(called)
        for loop in self._open_loops():
            loop.calls.add(called)
        if called in self._sleeping:
            self._awake = 0

    def _jump(self, target: int, *, is_conditional: bool) -> None:
        goal = len(self._blocks) - 1 - target
        innermost = next((block.loop for block in reversed(self._blocks) if block.loop is not None), None)
        if innermost is not None and is_conditional and self._has_looked():
            innermost.looks = True
        for block in self._blocks[goal + 1 :]:
            if block.loop is not None and self._reachable:
                block.loop.is_left = True
        block = self._blocks[goal]
        if block.loop is None:
            block.arrivals |= self._awake
            block.is_target |= self._reachable
        elif self._reachable:
            loop = block.loop
            loop.waits |= is_conditional and not (loop.calls or loop.changes or block.written)
            loop.goes_round_awake |= bool(self._awake & 2 << loop.number)
            loop.turns = None if loop.goes_round else self._counted()
            loop.goes_round = True

    def _counted(self) -> int | None:
        """How many turns a loop takes that counts up from about 0 and compares with a constant; None: it does not."""
        opcodes = [opcode for opcode, _ in self._last]
        if opcodes[:-1] != [_LOCAL_GET, _CONST, _ADD, _LOCAL_TEE, _CONST] or opcodes[-1] not in _COMPARES:
            return None
        (_, counter), (_, step), _, (_, written), (_, limit), _ = self._last
        return limit // step + 1 if counter == written and step > 0 and limit > 0 else None

    def _has_looked(self) -> bool:
        """Whether the last instructions load a global variable and, at most, compare it."""
        opcodes = [opcode for opcode, _ in self._last]
        for at in range(len(opcodes) - 1):
            if opcodes[at] == _CONST and opcodes[at + 1] in _LOADS and _CHECKING.issuperset(opcodes[at + 2 :]):
                return True
        return False

    def _open_loops(self) -> Iterator[Loop]:
        return (block.loop for block in self._blocks if block.loop is not None)


@dataclass(slots=True)
class _Block:
    """A block, loop or if while it is walked through; the first one is the function's body."""

    opcode: int
    loop: Loop | None
    is_dead_end: bool = False  # a jump to its end only leads to a handler
    arrivals: int = 0  # bits of the ways that jump to its end
    is_target: bool = False
    before: int = 0  # bits at an if
    reachable_before: bool = False
    has_else: bool = False
    written: set[int] = field(default_factory=set)  # the locals that it wrote so far, in the order of the code
    read_first: set[int] = field(default_factory=set)  # and those that it read before it wrote them


def _dead_ends(code: Sequence[tuple[int, tuple[int, ...]]], handlers: set[int]) -> set[int]:
    """Where the blocks begin behind whose end nothing comes but the call of a handler."""
    open_blocks: list[int] = []
    found = set()
    for at, (opcode, _) in enumerate(code):
        if opcode in (_BLOCK, LOOP, _IF):
            open_blocks.append(at)
        elif opcode == _END and open_blocks:
            begin = open_blocks.pop()
            if code[begin][0] == _BLOCK and _leads_to(code, at + 1, handlers):
                found.add(begin)
    return found


def _leads_to(code: Sequence[tuple[int, tuple[int, ...]]], at: int, handlers: set[int]) -> bool:
    for opcode, operands in code[at:]:
        if opcode == _CALL:
            return operands[0] in handlers
        if opcode in _CONTROL:
            return False
    return False
