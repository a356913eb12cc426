"""Walks through a function's body once: its loops, how each goes round and ends, and where it may go round awake.

Knows functions by index only; loops.py says what they mean. It reads LLVM's objects, which have no if and no else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from msgspec import Struct, field

from microclaw.programs.wasm.opcodes import instructions

Code: TypeAlias = Sequence[tuple[int, tuple[int, ...]]]
"""A body's instructions: opcodes with their operands."""

ANYTHING: Final = -1  # stands for what a call through a pointer reaches
_BLOCK = 2
_LOOP = 3
_END = 11
_BR = 12
_BR_IF = 13
_BR_TABLE = 14
_RETURN = 15
_CALL = 16
_UNREACHABLE = 0
_GET = 0x20
_SET = 0x21
_TEE = 0x22
_GLOBAL_SET = 0x24
_GROW = 0x40
_CONST = 0x41
_ADD = 0x6A
_EQ = 0x46
_NE = 0x47
_LAST_COMPARE = 0x4F
_LOADS: Final = range(0x28, 0x36)
_STORES: Final = range(0x36, 0x3F)
_CHECKING: Final = frozenset((_CONST, _TEE, 0x71, *range(0x45, 0x50)))  # a constant, and, comparisons
_NEVER_GO_ON: Final = frozenset((_UNREACHABLE, _BR, _BR_TABLE, _RETURN))
_CONTROL: Final = frozenset((_UNREACHABLE, _BLOCK, _LOOP, _END, _BR, _BR_IF, _BR_TABLE, _RETURN, _CALL, 17))


class WasmLoop(Struct):
    """A loop from `begin` to `end` in its function's code: what it does, how it goes round and ends."""

    number: int
    parent: int | None  # the number of the loop in which it lies
    begin: int
    end: int = 0
    size: int = 0  # instructions, without those of inner loops
    called: list[int] = field(default_factory=list)  # each call, likewise
    own: list[int] = field(default_factory=list)  # instructions in no block of it, up to the first jump to its head
    rounds: int = 0  # jumps to its head
    turns: int | None = None  # at most so many; None: nobody knows
    calls: set[int] = field(default_factory=set)  # those of inner loops, too
    is_left: bool = False
    goes_round_awake: bool = False  # there is a way round on which nothing sleeps
    waits: bool = False  # there is a way round on which nothing happens: only a callback can change what it looks at
    holds_waiting: bool = False  # that is so of it, or of a loop in it
    looks: bool = False  # whether it goes on depends on a variable in memory, which a callback may change
    changes: bool = False  # something besides what it calls: a variable, or a value that the next turn sees

    @property
    def is_endless(self) -> bool:
        return self.rounds > 0 and not self.is_left

    @property
    def is_empty(self) -> bool:
        """True if there is only the jump to its head in it."""
        return self.end == self.begin + 2


class Function(Struct):
    """The calls of a function, its loops in the order in which they begin, and True if every way through it sleeps."""

    calls: set[int] = field(default_factory=set)
    loops: list[WasmLoop] = field(default_factory=list)
    always_sleeps: bool = False


def walk(body: bytes, sleeping: set[int], handlers: set[int]) -> Function:
    """Walk a body; `sleeping` are the functions that always sleep, `handlers` those that tell of a fault and end.

    A jump to a handler is left out: what is looked at is the program as it is without faults.
    """
    code = [(opcode, operands) for _, _, opcode, operands in instructions(body)]
    function = _Walk(code, sleeping, handlers).function
    for loop in function.loops:
        _count_turns(code, loop)
    return function


class _Walk:
    """A pass over a body. `awake` is a set of bits: where such a way starts that came here without sleeping.

    Bit 0 stands for the function's beginning, bit n + 1 for the head of its loop n. Code behind a jump has none.
    """

    def __init__(self, code: Code, sleeping: set[int], handlers: set[int]) -> None:
        self.function = Function()
        self._code = code
        self._sleeping = sleeping
        self._handlers = handlers
        self._blocks = [_Block()]
        self._open: list[WasmLoop] = []
        self._awake = 1
        self._reachable = True
        self._dead_ends = _dead_ends(code, handlers)
        for self._at, (opcode, operands) in enumerate(code):
            self._step(opcode, operands)
        self.function.always_sleeps = not self._awake & 1

    def _step(self, opcode: int, operands: tuple[int, ...]) -> None:
        if self._open:
            self._open[-1].size += 1
            if self._blocks[-1].loop is not None and not self._open[-1].rounds:
                self._open[-1].own.append(self._at)
        match opcode:
            case 2 | 3:
                self._begin(opcode)
            case 11:
                self._end()
            case 16:
                self._call(operands[0])
            case 17:
                self._call(ANYTHING)
            case 12 | 13 | 14:
                self._branch(operands, is_conditional=opcode != _BR)
            case 15:
                self._jump(len(self._blocks) - 1, is_conditional=False)
            case _:
                self._note_variables(opcode, operands)
        if opcode in _NEVER_GO_ON:
            self._awake = 0
            self._reachable = False

    def _branch(self, targets: tuple[int, ...], *, is_conditional: bool) -> None:
        for target in targets:
            if not self._blocks[-1 - target].is_dead_end:
                self._jump(target, is_conditional=is_conditional)

    def _note_variables(self, opcode: int, operands: tuple[int, ...]) -> None:
        """Note what an instruction reads or changes: a local, a global, memory."""
        if opcode in (_SET, _TEE):
            for block in self._blocks:
                block.written.add(operands[0])
        elif opcode == _GET:
            for block in self._blocks:
                if operands[0] not in block.written:
                    block.read_first.add(operands[0])
        elif opcode in _STORES or opcode in (_GLOBAL_SET, _GROW):
            for loop in self._open:
                loop.changes = True

    def _begin(self, opcode: int) -> None:
        loop = None
        if opcode == _LOOP:
            parent = self._open[-1].number if self._open else None
            loop = WasmLoop(len(self.function.loops), parent, self._at)
            self.function.loops.append(loop)
            self._open.append(loop)
            if self._reachable:
                self._awake |= 2 << loop.number
        self._blocks.append(_Block(loop, is_dead_end=self._at in self._dead_ends))

    def _end(self) -> None:
        block = self._blocks.pop()
        loop = block.loop
        if loop is None:
            self._awake |= block.arrivals
            self._reachable |= block.is_target
            return
        self._open.pop()
        loop.end = self._at
        loop.is_left |= self._reachable
        loop.changes |= bool(block.written & block.read_first)
        loop.waits |= loop.rounds > 0 and loop.is_left and not (loop.calls or loop.changes)
        for outer in (loop, *self._open):
            outer.holds_waiting |= loop.waits
        self._awake &= ~(2 << loop.number)

    def _call(self, called: int) -> None:
        if called in self._handlers:
            return
        self.function.calls.add(called)
        for loop in self._open:
            loop.calls.add(called)
        if self._open:
            self._open[-1].called.append(called)
        if called in self._sleeping:
            self._awake = 0

    def _jump(self, target: int, *, is_conditional: bool) -> None:
        goal = len(self._blocks) - 1 - target
        if self._open and is_conditional and self._has_looked():
            self._open[-1].looks = True
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
            loop.rounds += 1

    def _has_looked(self) -> bool:
        """Return True if the last instructions load a global variable and, at most, compare it."""
        last = [opcode for opcode, _ in self._code[max(0, self._at - 6) : self._at]]
        for end, (address, load) in enumerate(pairwise(last), 2):
            if address == _CONST and load in _LOADS and _CHECKING.issuperset(last[end:]):
                return True
        return False


class _Block(Struct):
    """A block or loop while it is walked through; the first one is the function's body."""

    loop: WasmLoop | None = None
    is_dead_end: bool = False  # a jump to its end only leads to a handler
    arrivals: int = 0  # bits of the ways that jump to its end
    is_target: bool = False
    written: set[int] = field(default_factory=set)  # the locals that it wrote so far, in the order of the code
    read_first: set[int] = field(default_factory=set)  # and those that it read before it wrote them


def _dead_ends(code: Code, handlers: set[int]) -> set[int]:
    """Return the beginnings of the blocks behind whose end nothing comes but the call of a handler."""
    begins = set[int]()
    ends = list[bool]()
    is_handled = False
    for at in range(len(code) - 1, -1, -1):
        opcode, operands = code[at]
        if opcode == _END:
            ends.append(is_handled)
        elif opcode in (_BLOCK, _LOOP) and ends.pop() and opcode == _BLOCK:
            begins.add(at)
        if opcode in _CONTROL:
            is_handled = opcode == _CALL and operands[0] in handlers
    return begins


def _count_turns(code: Code, loop: WasmLoop) -> None:
    """Set `turns` if LLVM's code is: step a local by a constant, compare it with a constant, jump by that.

    No way from the head back to it leads around an instruction of `own`.
    """
    written = [operands for opcode, operands in code[loop.begin : loop.end] if opcode in (_SET, _TEE)]
    for at in loop.own:
        opcode, targets = code[at]
        is_to_head = opcode == _BR_IF and targets[0] == 0
        if opcode != _BR_IF or (is_to_head and loop.rounds != 1):
            continue
        compare = code[at - 1][0]
        limit = 0
        last = at - 1
        is_compared = _EQ <= compare <= _LAST_COMPARE and code[at - 2][0] == _CONST
        if is_compared:
            limit = code[at - 2][1][0]
            last = at - 3
        if last - 3 <= loop.begin:
            continue
        opcodes, operands = zip(*code[last - 3 : last + 1], strict=True)
        is_step = opcodes == (_GET, _CONST, _ADD, _TEE) and operands[0] == operands[3]
        if not is_step or written.count(operands[3]) != 1:
            continue
        first = _at_begin(code, loop.begin, operands[3])
        step = operands[1][0]
        if first is not None and (limit - first) * step > 0:
            turns, rest = divmod(limit - first, step)
            # A comparison without a sign may step over its end and wrap.
            is_signed = is_compared and compare > _NE and compare % 2 == 0
            if not rest or is_signed:
                loop.turns = turns + 1


def _at_begin(code: Code, begin: int, local: tuple[int, ...]) -> int | None:
    """Return the constant that a local has when its loop begins, or None."""
    for at in range(begin - 1, 0, -1):
        opcode, operands = code[at]
        if opcode in (_LOOP, _END):
            return None
        if opcode in (_SET, _TEE) and operands == local:
            before, constant = code[at - 1]
            if before == _CONST:
                return constant[0]
            return None
    return None
