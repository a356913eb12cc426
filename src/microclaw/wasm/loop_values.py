"""What is known of the numbers on a function's stack and in its locals, for loop_bounds.py. Walks no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EQ, NE, LAST_COMPARE, ADD, SUB, MUL, AND, OR, SHL = 0x46, 0x47, 0x4F, 0x6A, 0x6B, 0x6C, 0x71, 0x72, 0x74
_HALVES: Final = {0x6D: 2, 0x6E: 2, 0x76: 1}  # div_s, div_u, shr_u: from which constant on they make a number smaller


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a number: a constant; a local plus one; a sum of two locals; half of a local; a comparison.

    `left` and `right` are of a comparison; `is_part`: it is joined with another condition by `and` or `or`.
    """

    kind: str
    local: int = -1
    number: int = 0
    other: int = -1
    left: Value | None = None
    right: Value | None = None
    is_part: int = 0


UNKNOWN: Final = Value("unknown")


def locals_of(value: Value | None) -> set[int]:
    return {value.local, value.other} | locals_of(value.left) | locals_of(value.right) if value is not None else set()


_INVERSE: Final = {0x46: 0x47, 0x48: 0x4E, 0x49: 0x4F, 0x4A: 0x4C, 0x4B: 0x4D}
_INVERTED: Final = {**_INVERSE, **{there: here for here, there in _INVERSE.items()}}


def inverted(value: Value) -> Value:
    if value.kind == "compare" and not value.is_part:
        return Value("compare", number=_INVERTED[value.number], left=value.left, right=value.right)
    return Value("compare", number=EQ, left=value, right=Value("constant"))


def join(opcode: int, left: Value, right: Value) -> Value:
    """What two numbers give."""
    if EQ <= opcode <= LAST_COMPARE:
        return Value("compare", number=opcode, left=left, right=right)
    if opcode in (AND, OR) and "compare" in (left.kind, right.kind):
        kept = left if left.kind == "compare" else right
        return Value("compare", number=kept.number, left=kept.left, right=kept.right, is_part=opcode)
    if opcode == AND and left.kind == right.kind == "linear" and left.local == right.local:
        return Value("half", left.local) if {left.number, right.number} == {0, -1} else UNKNOWN
    if opcode in (ADD, SUB):
        return _sum(left, right if opcode == ADD else _negative(right))
    if right.kind == "constant":
        if left.kind == "linear" and right.number >= _HALVES.get(opcode, 1 << 31):
            return Value("half", left.local)
        if opcode in (SHL, MUL):
            factor = 1 << (right.number & 31) if opcode == SHL else right.number
            return Value("multiple", left.local, factor) if left.kind == "linear" else Value("multiple", number=factor)
        if opcode == AND and right.number:
            return Value("multiple", number=right.number & -right.number)
    return UNKNOWN


def _negative(value: Value) -> Value:
    return Value("constant", number=-value.number) if value.kind == "constant" else UNKNOWN


def _sum(left: Value, right: Value) -> Value:
    if left.kind == "constant":
        left, right = right, left
    if right.kind == "constant":
        if left.kind in ("linear", "constant"):
            return Value(left.kind, left.local, left.number + right.number)
        return left if left.kind == "sum" else UNKNOWN
    if {left.kind, right.kind} <= {"linear", "multiple"} and left.local >= 0 and right.local >= 0:
        return Value("sum", left.local, other=right.local)
    return UNKNOWN
