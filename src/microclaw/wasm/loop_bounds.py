"""Says which loops of a function certainly end, after how many turns, and how much they compute in one turn.

A loop ends if on every way round a local steps one way and is compared with something, or walks through memory, which
has an end, or is halved. Any other may run for ever, and gets a guard (pause_points.py). Knows functions by index only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from microclaw.wasm.loop_values import AND, EQ, NE, OR, UNKNOWN, Value, inverted, join, locals_of

Code: TypeAlias = Sequence[tuple[int, tuple[int, ...]]]
"""A body's instructions: opcodes with their operands."""

_BLOCK, _LOOP, _IF, _ELSE, _END, _BR, _BR_IF, _BR_TABLE, _RETURN, _CALL, _CALL_INDIRECT = (*range(2, 6), *range(11, 18))
_UNREACHABLE, _DROP, _SELECT, _GET, _SET, _TEE, _CONST = 0, 0x1A, 0x1B, 0x20, 0x21, 0x22, 0x41
_EQZ: Final = 0x45
_LOADS: Final = range(0x28, 0x36)
_STORES: Final = range(0x36, 0x3F)
_UNARY: Final = frozenset((0x45, 0x50, *range(0x67, 0x6A), *range(0x79, 0x7C), *range(0x8B, 0x92), *range(0x99, 0xA0)))
_CONVERSIONS: Final = range(0xA7, 0xC0)
_MAX_STEP: Final = 1 << 16  # a larger one might jump over the memory


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
    steps: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # of locals that step: where, by how much
    strides: dict[int, list[tuple[int, int]]] = field(
        default_factory=dict
    )  # that step by another local: where, by which
    halves: dict[int, list[int]] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)  # locals that are written in another way
    tests: list[tuple[int, bool, Value]] = field(default_factory=list)  # where, whether it stays in the loop if true
    addresses: list[tuple[int, Value]] = field(default_factory=list)
    first: dict[int, Value] = field(default_factory=dict)  # what is known when it begins
    multiples: dict[int, int] = field(default_factory=dict)  # of what locals are multiples on a way there, the last one


def loop_bounds(code: Code) -> list[LoopBound]:
    """The bounds of every loop, in the order in which they begin."""
    bounds = _Reader(code).bounds
    for bound in bounds:
        _find_end(code, bound)
        _find_end_by_strides(code, bound, bounds)
    return bounds


def _find_end_by_strides(code: Code, bound: LoopBound, bounds: Sequence[LoopBound]) -> None:
    """As in a sieve, `j += i`, where i counts up from above 0 in an outer loop."""
    for local, strides in bound.strides.items():
        if local in bound.others or local in bound.halves or local in bound.steps:
            continue
        outer = bounds[bound.parent] if bound.parent is not None else None
        if outer is None or not all(_grows(by, outer) and by not in bound.written for _, by in strides):
            continue
        stops = {at for at, stays, test in bound.tests if _stops(test, stays, local, 0, bound)}
        passes = _always_passes(code, bound, {at for at, _ in strides})
        bound.ends |= passes and _always_passes(code, bound, stops)


def _grows(local: int, loop: LoopBound) -> bool:
    """Whether a local is above 0 all through a loop, until it runs over."""
    first = loop.first.get(local, UNKNOWN)
    steps = [size for _, size in loop.steps.get(local, ())]
    return (
        local not in loop.others | loop.strides.keys() and first.kind == "constant" and min(first.number, *steps, 1) > 0
    )


def _find_end(code: Code, bound: LoopBound) -> None:
    for local, steps in bound.steps.items():
        sizes = [size for _, size in steps]
        one_way = all(size > 0 for size in sizes) or all(size < 0 for size in sizes)
        if (
            local in bound.others
            or local in bound.halves
            or local in bound.strides
            or not one_way
            or max(map(abs, sizes)) > _MAX_STEP
        ):
            continue
        if not _always_passes(code, bound, {place for place, _ in steps}):
            continue
        walks = {at for at, address in bound.addresses if _walks(address, local, bound)}
        stops = {at for at, stays, test in bound.tests if _stops(test, stays, local, max(map(abs, sizes)), bound)}
        if _always_passes(code, bound, walks) or _always_passes(code, bound, stops):
            bound.ends = True
            bound.turns = bound.turns or _turns(bound, local, sizes, stops)
    for local, places in bound.halves.items():
        if (
            local in bound.others
            or local in bound.steps
            or local in bound.strides
            or not _always_passes(code, bound, set(places))
        ):
            continue
        stops = {at for at, stays, test in bound.tests if _stops(test, stays, local, 1, bound)}
        bound.ends |= _always_passes(code, bound, stops)
        bound.turns = bound.turns or (32 if bound.ends else None)


def _walks(address: Value, local: int, bound: LoopBound) -> bool:
    if address.kind == "linear":
        return address.local == local
    other = {address.local: address.other, address.other: address.local}.get(local, -1)
    return address.kind == "sum" and other >= 0 and other not in bound.written


def _stops(test: Value, stays: bool, local: int, step: int, bound: LoopBound) -> bool:
    """Whether a condition must at last leave the loop while the local steps one way."""
    if test.is_part and test.is_part != (AND if stays else OR):
        return False
    if test.kind == "linear":  # it stays until the number itself is 0
        test = Value("compare", number=NE, left=test, right=Value("constant"))
    if test.kind != "compare" or test.left is None or test.right is None:
        return False
    for mine, other in ((test.left, test.right), (test.right, test.left)):
        if (mine.kind, mine.local) != ("linear", local):
            continue
        if test.number not in (EQ, NE):
            return True
        if (test.number == NE) == stays and not locals_of(other) & bound.written:
            first, last = _rest(bound.first.get(local, UNKNOWN), step), _rest(other, step)
            return first == last if first is not None else last == 0 and bound.multiples.get(local) == step
    return False


def _rest(value: Value, step: int) -> int | None:
    """What is left of a number when it is divided by the step, where that is known."""
    if step <= 1:
        return 0 if step else None  # 0: a step that is not known
    if value.kind == "constant":
        return value.number % step
    return 0 if value.kind == "multiple" and value.number % step == 0 else None


def _turns(bound: LoopBound, local: int, sizes: Sequence[int], stops: set[int]) -> int | None:
    """How many turns at most, where it begins and ends at constants."""
    first = bound.first.get(local)
    if first is None or first.kind != "constant":
        return None
    turns = []
    for at, _, test in bound.tests:
        ends = [v.number for v in (test.left, test.right) if v is not None and v.kind == "constant"]
        if test.kind == "linear":
            ends = [0]
        if at in stops and ends:
            turns.append(abs(ends[0] - first.number) // min(map(abs, sizes)) + 1)
    return min(turns, default=None)


def _always_passes(code: Code, bound: LoopBound, events: set[int]) -> bool:
    """Whether every way from the loop's head back to it passes one of these instructions."""
    if not events:
        return False
    clean = True  # some way came here from the head without one
    arrivals: list[bool] = []
    before: list[bool | None] = []
    for at in range(bound.begin + 1, bound.end):
        opcode, operands = code[at]
        clean &= at not in events
        if opcode in (_BLOCK, _LOOP, _IF):
            arrivals.append(False)
            before.append(clean if opcode == _IF else None)
        elif opcode == _ELSE:
            arrivals[-1] |= clean
            clean, before[-1] = before[-1] or False, None
        elif opcode == _END:
            clean |= arrivals.pop() | (before.pop() or False)
        elif opcode in (_BR, _BR_IF, _BR_TABLE):
            for target in operands:
                if target == len(arrivals) and clean:
                    return False
                if target < len(arrivals):
                    arrivals[-1 - target] |= clean
        if opcode in (_BR, _BR_TABLE, _RETURN, _UNREACHABLE):
            clean = False
    return True


class _Reader:
    """One pass over the code with what is known of the values on the stack and in the locals."""

    def __init__(self, code: Code) -> None:
        self.bounds: list[LoopBound] = []
        self._code = code
        self._stack: list[Value] = []
        self._known: dict[int, Value] = {}
        self._blocks: list[tuple[int, LoopBound | None, set[int]]] = []
        self._multiples: dict[int, int] = {}
        self._written = _written_in_loops(code)
        for self._at, (opcode, operands) in enumerate(code):
            self._count(opcode, operands)
            self._step(opcode, operands)

    def _count(self, opcode: int, operands: tuple[int, ...]) -> None:
        inner = next(self._open_loops(), None)
        if inner is not None:
            inner.size += 1
            if opcode in (_CALL, _CALL_INDIRECT):
                inner.calls.append(operands[0] if opcode == _CALL else -1)

    def _step(self, opcode: int, operands: tuple[int, ...]) -> None:
        if opcode in (_BLOCK, _LOOP, _IF):
            self._open(opcode)
        elif opcode in (_ELSE, _END):
            self._close(opcode)
        elif opcode in (_BR_IF, _BR, _BR_TABLE, _RETURN, _UNREACHABLE):
            if opcode == _BR_IF:
                self._test(operands[0], self._pop())
            self._stack.clear()
        elif opcode == _CONST:
            self._stack.append(Value("constant", number=operands[0]))
        elif opcode == _GET:
            self._stack.append(self._known.get(operands[0], Value("linear", operands[0])))
        elif opcode in (_SET, _TEE):
            self._write(operands[0], self._pop())
            if opcode == _TEE:
                self._stack.append(self._known.get(operands[0], Value("linear", operands[0])))
        elif opcode in _LOADS or opcode in _STORES:
            if opcode in _STORES:
                self._pop()
            address = self._pop()
            for loop in self._open_loops():
                loop.addresses.append((self._at, address))
            if opcode in _LOADS:
                self._stack.append(UNKNOWN)
        else:
            self._compute(opcode)

    def _compute(self, opcode: int) -> None:
        if opcode in (_CALL, _CALL_INDIRECT):
            self._stack.clear()  # how many it takes is not known here; what is missing is unknown
        elif opcode == _DROP:
            self._pop()
        elif opcode == _SELECT:
            self._stack[-3:] = [UNKNOWN]
        elif opcode == _EQZ:
            self._stack.append(inverted(self._pop()))
        elif opcode in _UNARY or opcode in _CONVERSIONS:
            self._pop()
            self._stack.append(UNKNOWN)
        elif opcode in (0x23, 0x3F, 0x42, 0x43, 0x44):  # globals, memory.size, other constants
            self._stack.append(UNKNOWN)
        elif opcode == 0x24:
            self._pop()
        elif opcode == 0x40:
            self._stack[-1:] = [UNKNOWN]
        elif 0x46 <= opcode <= 0xA6:
            right, left = self._pop(), self._pop()
            self._stack.append(join(opcode, left, right))

    def _pop(self) -> Value:
        return self._stack.pop() if self._stack else UNKNOWN

    def _write(self, local: int, value: Value) -> None:
        is_step = value.kind == "linear" and value.local == local and value.number != 0
        is_half = value.kind == "half" and value.local == local
        for loop in self._open_loops():
            loop.written.add(local)
            if is_step:
                loop.steps.setdefault(local, []).append((self._at, value.number))
            elif value.kind == "sum" and local in (value.local, value.other) and value.local != value.other:
                by = value.other if value.local == local else value.local
                loop.strides.setdefault(local, []).append((self._at, by))
            elif is_half:
                loop.halves.setdefault(local, []).append(self._at)
            else:
                loop.others.add(local)
        for _, _, written in self._blocks:
            written.add(local)
        if value.kind == "multiple":  # the compiler unrolls a loop so, behind a branch for what is left over
            self._multiples[local] = value.number
        self._known.pop(local, None)
        if value.kind != "unknown" and local not in locals_of(value):
            self._known[local] = value

    def _open(self, opcode: int) -> None:
        loop = None
        if opcode == _IF:
            self._pop()
        if opcode == _LOOP:
            outer = next(self._open_loops(), None)
            loop = LoopBound(self._at, None if outer is None else self.bounds.index(outer))
            loop.first, loop.multiples = dict(self._known), dict(self._multiples)
            self.bounds.append(loop)
            self._forget(self._written[self._at])
        self._blocks.append((opcode, loop, set()))
        self._stack.clear()

    def _close(self, opcode: int) -> None:
        self._stack.clear()
        if not self._blocks:
            return
        kind, loop, written = self._blocks[-1]
        self._forget(written)
        if opcode == _END:
            self._blocks.pop()
            if kind == _LOOP and loop is not None:
                loop.end = self._at

    def _forget(self, locals_: set[int]) -> None:
        self._known = {local: value for local, value in self._known.items() if not locals_ & {local, *locals_of(value)}}

    def _test(self, target: int, condition: Value) -> None:
        """A jump on a condition: out of loops, or on to the next turn; also one over a jump that leaves."""
        depth = len(self._blocks) - 1 - target
        following, operands = self._code[self._at + 1]
        leaves = following in (_RETURN, _UNREACHABLE)
        for place, (_, loop, _) in enumerate(self._blocks):
            if loop is None:
                continue
            if depth < place:
                loop.tests.append((self._at, False, condition))
            elif depth == place or (
                target == 0 and (leaves or (following == _BR and len(self._blocks) - 1 - operands[0] < place))
            ):
                loop.tests.append((self._at, True, condition))

    def _open_loops(self) -> Iterator[LoopBound]:
        return (loop for _, loop, _ in reversed(self._blocks) if loop is not None)


def _written_in_loops(code: Code) -> dict[int, set[int]]:
    """By where a loop begins, which locals are written in it."""
    found: dict[int, set[int]] = {}
    blocks: list[int] = []
    for at, (opcode, operands) in enumerate(code):
        if opcode in (_BLOCK, _LOOP, _IF):
            blocks.append(at)
            found[at] = set()
        elif opcode == _END and blocks:
            blocks.pop()
        elif opcode in (_SET, _TEE):
            for block in blocks:
                found[block].add(operands[0])
    return found
