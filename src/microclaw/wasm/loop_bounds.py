"""Proves of a counted loop that it ends, and after how many turns; such a loop needs no guard.

In each turn a local steps by a constant and is compared with something that the loop does not step. Knows functions by
index only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from msgspec import Struct, field

Code: TypeAlias = Sequence[tuple[int, tuple[int, ...]]]
"""A body's instructions: opcodes with their operands."""

_LOOP, _END, _BR_IF = 3, 11, 13
_GET, _SET, _TEE, _CONST, _ADD, _AND = 0x20, 0x21, 0x22, 0x41, 0x6A, 0x71
_EQZ, _EQ, _NE, _LAST_COMPARE = 0x45, 0x46, 0x47, 0x4F
_LOADS: Final = range(0x28, 0x36)
_MEMORY: Final = -1  # in the place of a local
_MAX_STEP: Final = 1 << 16  # a larger one might jump over what it is compared with


class Loop(Struct):
    """A loop of a function's body, from `begin` to `end` in its code: what it does, how it goes round and ends."""

    number: int
    parent: int | None  # the number of the loop in which it lies
    begin: int
    end: int = 0
    size: int = 0  # instructions, without those of inner loops
    called: list[int] = field(default_factory=list)  # each call, likewise
    own: list[int] = field(default_factory=list)  # instructions in no block of it, up to the first jump to its head
    rounds: int = 0  # jumps to its head
    ends: bool = False  # for certain
    turns: int | None = None  # then at most so many, where it is known
    calls: set[int] = field(default_factory=set)  # those of inner loops, too
    is_left: bool = False
    goes_round_awake: bool = False  # there is a way round on which nothing sleeps
    waits: bool = False  # there is a way round on which nothing happens: only a callback can change what it looks at
    holds_waiting: bool = False  # that is so of it, or of a loop in it
    looks: bool = False  # whether it goes on depends on a variable in memory, which a callback may change
    changes: bool = False  # something besides what it calls: a variable, or a value that the next turn sees

    @property
    def goes_round(self) -> bool:
        return self.rounds > 0

    @property
    def is_endless(self) -> bool:
        return self.goes_round and not self.is_left


def prove_end(code: Code, loop: Loop) -> None:
    """Set `ends` and `turns`. No way from the head back to it leads around an instruction of `own`."""
    writes: dict[int, list[int]] = {}
    for at in range(loop.begin, loop.end):
        if code[at][0] in (_SET, _TEE):
            writes.setdefault(code[at][1][0], []).append(at)
    for at in loop.own:
        opcode, operands = code[at]
        if opcode != _BR_IF or (operands[0] == 0 and loop.rounds != 1):
            continue
        for local, limit, is_exact in _tests(code, at - 1):
            step = _step(code, writes.get(local, ()), loop)
            if not step or limit.local in writes or (is_exact and limit.local == _MEMORY):
                continue
            number = limit.number
            first, of_first = _at_begin(code, loop.begin, local)
            last, of_last = (number, number) if limit.local is None else _at_begin(code, loop.begin, limit.local)
            if not is_exact or abs(step) == 1 or _meets(step, of_first, of_last):
                loop.ends = True
                if first is not None and last is not None:
                    loop.turns = abs(last - first) // abs(step) + 1


def _meets(step: int, first: int | None, last: int | None) -> bool:
    """True if steps of a power of 2 come to equality, as in a loop that the compiler has unrolled."""
    return step & -step == abs(step) and first is not None and last is not None and (first | last) % step == 0


def _step(code: Code, writes: Sequence[int], loop: Loop) -> int:
    """By how much a turn changes a local; 0: in another way, or too far."""
    if len(writes) != 1 or (at := writes[0]) not in loop.own:
        return 0
    (get, read), (const, step), (add, _) = code[at - 3 : at]
    if (get, const, add) != (_GET, _CONST, _ADD) or read != code[at][1] or abs(step[0]) > _MAX_STEP:
        return 0
    return step[0]


class _Operand(Struct, frozen=True):
    """A local, something in memory, or a constant; its instructions begin at `begin`."""

    begin: int
    local: int | None = None
    number: int = 0


def _tests(code: Code, end: int) -> Iterator[tuple[int, _Operand, bool]]:
    """Yield the local that the condition compares, and the other operand; True where only equality counts."""
    opcode = code[end][0]
    right = _operand(code, end - 1) if _EQ <= opcode <= _LAST_COMPARE else _Operand(end + (opcode != _EQZ))
    left = None if right is None else _operand(code, right.begin - 1)
    if right is not None and left is not None:
        for mine, other in ((left, right), (right, left)):
            if mine.local is not None:
                yield mine.local, other, opcode not in range(_NE + 1, _LAST_COMPARE + 1)


def _operand(code: Code, end: int) -> _Operand | None:
    opcode, operands = code[end]
    match opcode:
        case 0x41:
            return _Operand(end, number=operands[0])
        case 0x20:
            return _Operand(end, operands[0])
        case _ if opcode in _LOADS and (address := _operand(code, end - 1)) is not None:
            return _Operand(address.begin, _MEMORY)
        case 0x22 if [one for one, _ in code[end - 3 : end]] == [_GET, _CONST, _ADD]:
            return _Operand(end - 3, operands[0])
        case _:
            return None


def _at_begin(code: Code, begin: int, local: int) -> tuple[int | None, int | None]:
    """The constant that a local has when its loop begins, and what divides it; None: not known."""
    for at in range(begin - 1, 0, -1):
        opcode, operands = code[at]
        if opcode in (_LOOP, _END):
            break
        if opcode in (_SET, _TEE) and operands[0] == local:
            (before, value), masked = code[at - 1], code[at - 2]
            if before == _CONST:
                return value[0], value[0]
            return None, masked[1][0] & -masked[1][0] if (before, masked[0]) == (_AND, _CONST) else None
    return None, None
