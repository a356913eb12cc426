"""Tells which loops of a function certainly end, after how many turns, and how much they compute in one turn.

A loop ends if, in each turn, a local steps by a constant and is compared with something that stays as it is. Any other
may run for ever, and gets a guard (pause_points.py). Knows functions by index only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Code: TypeAlias = Sequence[tuple[int, tuple[int, ...]]]
"""A body's instructions: opcodes with their operands."""

_BLOCK, _LOOP, _IF, _ELSE, _END, _BR, _BR_IF, _BR_TABLE, _CALL, _CALL_INDIRECT = (*range(2, 6), *range(11, 15), 16, 17)
_GET, _SET, _TEE, _CONST, _ADD, _AND = 0x20, 0x21, 0x22, 0x41, 0x6A, 0x71
_EQZ, _EQ, _NE, _LAST_COMPARE = 0x45, 0x46, 0x47, 0x4F
_LOADS: Final = range(0x28, 0x36)
_MEMORY: Final = -1  # in the place of a local
_MAX_STEP: Final = 1 << 16  # a larger one might jump over what it is compared with


@dataclass(slots=True)
class LoopBound:
    """A loop from `begin` to `end` in the code: whether it ends, its turns where they are known, what a turn holds."""

    begin: int
    parent: int | None
    end: int = 0
    ends: bool = False
    turns: int | None = None
    size: int = 0  # instructions, without those of inner loops
    calls: list[int] = field(default_factory=list)  # likewise; -1 for those through a pointer
    own: list[int] = field(default_factory=list)  # instructions in no block of it, up to the first jump to its head
    rounds: int = 0  # jumps to its head


def loop_bounds(code: Code) -> list[LoopBound]:
    """The bounds of every loop, in the order in which they begin."""
    bounds: list[LoopBound] = []
    blocks: list[int | None] = []  # numbers of the open loops; None for other blocks
    for at, (opcode, operands) in enumerate(code):
        inner = next((number for number in reversed(blocks) if number is not None), None)
        if inner is not None:
            bound = bounds[inner]
            bound.size += 1
            if opcode in (_CALL, _CALL_INDIRECT):
                bound.calls.append(operands[0] if opcode == _CALL else -1)
            if blocks[-1] == inner and not bound.rounds:
                bound.own.append(at)
        if opcode in (_BR, _BR_IF, _BR_TABLE):
            for target in operands:
                if target < len(blocks) and (number := blocks[-1 - target]) is not None:
                    bounds[number].rounds += 1
        elif opcode in (_BLOCK, _LOOP, _IF):
            blocks.append(len(bounds) if opcode == _LOOP else None)
            if opcode == _LOOP:
                bounds.append(LoopBound(at, inner))
        elif opcode == _END and blocks and (number := blocks.pop()) is not None:
            bounds[number].end = at
    for bound in bounds:
        _find_end(code, bound)
    return bounds


def _find_end(code: Code, bound: LoopBound) -> None:
    """No way from the head back to it leads around an instruction of `own`."""
    writes: dict[int, list[int]] = {}
    for at in range(bound.begin, bound.end):
        opcode, operands = code[at]
        if opcode in (_SET, _TEE):
            writes.setdefault(operands[0], []).append(at)
    for at in bound.own:
        opcode, operands = code[at]
        if opcode != _BR_IF or (operands[0] == 0 and bound.rounds != 1):
            continue
        for local, limit, is_exact in _tests(code, at - 1):
            step = _step(code, writes.get(local, ()), bound)
            if not step or limit.local in writes or (is_exact and limit.local == _MEMORY):
                continue
            first, divides_first = _at_begin(code, bound.begin, local)
            known: tuple[int | None, int | None] = (
                (limit.number, limit.number) if limit.local is None else _at_begin(code, bound.begin, limit.local)
            )
            last, divides_last = known
            if not is_exact or abs(step) == 1 or _meets(step, divides_first, divides_last):
                bound.ends = True
                if first is not None and last is not None:
                    bound.turns = abs(last - first) // abs(step) + 1


def _meets(step: int, first: int | None, last: int | None) -> bool:
    """Whether steps of a power of 2 come to equality, as in a loop that the compiler has unrolled."""
    return step & -step == abs(step) and first is not None and last is not None and (first | last) % step == 0


def _step(code: Code, writes: Sequence[int], bound: LoopBound) -> int:
    """By how much a turn changes a local; 0: in another way, or too far."""
    if len(writes) != 1 or (at := writes[0]) not in bound.own:
        return 0
    (get, read), (const, step), (add, _) = code[at - 3 : at]
    if (get, const, add) != (_GET, _CONST, _ADD) or read != code[at][1] or abs(step[0]) > _MAX_STEP:
        return 0
    return step[0]


@dataclass(frozen=True, slots=True)
class _Operand:
    """A local, something in memory, or a constant; its instructions begin at `begin`."""

    begin: int
    local: int | None = None
    number: int = 0


def _tests(code: Code, end: int) -> Iterator[tuple[int, _Operand, bool]]:
    """What the condition that ends there compares: a local, and with what; True where only equality counts."""
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
        if opcode in (_LOOP, _IF, _ELSE, _END):
            break
        if opcode in (_SET, _TEE) and operands[0] == local:
            (before, value), masked = code[at - 1], code[at - 2]
            if before == _CONST:
                return value[0], value[0]
            return None, masked[1][0] & -masked[1][0] if (before, masked[0]) == (_AND, _CONST) else None
    return None, None
