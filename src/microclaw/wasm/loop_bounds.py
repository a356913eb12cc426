"""A loop of a function's body, and the number of its turns where it counts from one constant to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct, field

Code: TypeAlias = Sequence[tuple[int, tuple[int, ...]]]
"""A body's instructions: opcodes with their operands."""

_LOOP, _END, _BR_IF = 3, 11, 13
_GET, _SET, _TEE, _CONST, _ADD = 0x20, 0x21, 0x22, 0x41, 0x6A
_EQ, _NE, _LAST_COMPARE = 0x46, 0x47, 0x4F


class Loop(Struct):
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


def count_turns(code: Code, loop: Loop) -> None:
    """Set `turns` where LLVM's code is: step a local by a constant, compare it with a constant, jump by that.

    No way from the head back to it leads around an instruction of `own`.
    """
    written = [operands for opcode, operands in code[loop.begin : loop.end] if opcode in (_SET, _TEE)]
    for at in loop.own:
        compare = code[at - 1][0]
        is_compared = _EQ <= compare <= _LAST_COMPARE and code[at - 2][0] == _CONST
        last, limit = (at - 3, code[at - 2][1][0]) if is_compared else (at - 1, 0)
        if code[at][0] != _BR_IF or (code[at][1][0] == 0 and loop.rounds != 1) or last - 3 <= loop.begin:
            continue
        opcodes, operands = zip(*code[last - 3 : last + 1], strict=True)
        if opcodes != (_GET, _CONST, _ADD, _TEE) or operands[0] != operands[3] or written.count(operands[3]) != 1:
            continue
        first, step = _at_begin(code, loop.begin, operands[3]), operands[1][0]
        if first is not None and (limit - first) * step > 0:
            turns, rest = divmod(limit - first, step)
            is_signed = is_compared and compare > _NE and compare % 2 == 0
            if not rest or is_signed:  # one without a sign may step over its end and wrap
                loop.turns = turns + 1


def _at_begin(code: Code, begin: int, local: tuple[int, ...]) -> int | None:
    """The constant that a local has when its loop begins."""
    for at in range(begin - 1, 0, -1):
        opcode, operands = code[at]
        if opcode in (_LOOP, _END):
            break
        if opcode in (_SET, _TEE) and operands == local:
            return code[at - 1][1][0] if code[at - 1][0] == _CONST else None
    return None
