"""Finds the loops of a program that would keep its board busy: those without an end, and those that need a pause point.

The firmware can only remove a program that comes back from its entry functions now and then
(docs/decisions/0005-blocking-programs.md). A loop that nothing leaves and in which nothing waits is an error. Another
loop of main that may go round without sleeping gets a pause point, put there by eventful.py, where it asks the firmware
for something, or waits for a variable that only a callback can change. It reads the compiled object, with its names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from microclaw.errors import Diagnostic
from microclaw.wasm.diagnostics import at
from microclaw.wasm.opcodes import instructions
from microclaw.wasm.source_text import SourceText
from microclaw.wasm.symbols import CONSTRUCTORS, MAINS, Symbols, point_key, source_name
from microclaw.wasm.toolchain import CALLBACKS

MAX_CODE_BYTES: Final = 128 << 10  # a larger program is not looked through: the time is better spent on its trial
WAITING: Final = frozenset(("sleep", "usleep", "nanosleep", "delay", "delay_ms", "delayMicroseconds"))
"""The functions that a program may call to sleep (headers/shim, headers/libc)."""
_SLEEPS: Final = WAITING - {"delayMicroseconds"}  # below a millisecond that one keeps the processor
_ENDS: Final = frozenset(("exit", "abort", "microclaw_assert_failed"))
_MATH: Final = """
sin cos tan asin acos atan atan2 sinh cosh tanh exp exp2 log log2 log10 pow sqrt cbrt hypot fmod floor ceil round
trunc lround fabs fmin fmax ldexp
"""
_COMPUTING: Final = """
abs atof atoi atol bcmp bcopy bsearch bzero calloc ctime ctime_r difftime div free gmtime gmtime_r index isalnum
isalpha isascii isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit itoa labs ldiv llabs
localtime localtime_r ltoa malloc map memccpy memchr memcmp memcpy memmem memmove mempcpy memrchr memset
microclaw_errno microclaw_snprintf microclaw_sprintf microclaw_strtoul microclaw_vsnprintf microclaw_vsprintf mktime
qsort rand random realloc snprintf sprintf srand srandom sscanf stpcpy stpncpy strcasecmp strcasestr strcat strchr
strcmp strcoll strcpy strcspn strdup strerror strftime strlcat strlcpy strlen strncasecmp strncat strncmp strncpy
strndup strnlen strpbrk strrchr strsep strspn strstr strtod strtof strtok strtok_r strtol strtoll strtoul strtoull
toascii tolower toupper utoa vsnprintf vsprintf
"""
_COMPUTES: Final = frozenset(_COMPUTING.split()) | {name + kind for name in _MATH.split() for kind in ("", "f")}
"""Functions of the firmware and of ours that only compute, and so end soon. Any other one is taken to need time."""
_WRITING: Final = """
analogWrite digitalWrite fflush fprintf fputc fputs fwrite gpio_close gpio_open gpio_set gpio_toggle microclaw_fprintf
microclaw_printf microclaw_vfprintf perror pinMode printf putc putchar puts pwm_close pwm_open pwm_set vfprintf
vprintf write
"""
_WRITES: Final = frozenset(_WRITING.split())
"""Functions that tell a program nothing new: a loop that calls no others comes to its end by computing."""
_CALLED: Final = frozenset(("program_on_destroy", "on_init", *CALLBACKS))
_FEW_TURNS, _OUTER_MS, _INNER_MS = 256, 100, 150
_BLOCK, _LOOP, _IF, _BR, _BR_TABLE, _RETURN, _CALL = 2, 3, 4, 12, 14, 15, 16
_UNREACHABLE, _LOCAL_GET, _LOCAL_TEE, _GLOBAL_SET, _GROW, _CONST, _ADD = 0, 0x20, 0x22, 0x24, 0x40, 0x41, 0x6A
_STORES: Final = range(0x36, 0x3F)
_COMPARES: Final = frozenset((0x47, 0x48, 0x49, 0x4C, 0x4D))  # ne, lt_s, lt_u, le_s, le_u
_NEVER_GO_ON: Final = frozenset((_UNREACHABLE, _BR, _BR_TABLE, _RETURN))
_ENDLESS_HEADS: Final = (("while", "(", "1", ")"), ("while", "(", "true", ")"), ("for", "(", ";", ";"))
_ANYTHING: Final = -1  # stands for what a call through a pointer reaches


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


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of an object: `functions` by index over its imports and own functions."""

    symbols: Symbols
    functions: Mapping[int, Function]

    def findings(self, text: SourceText) -> tuple[Diagnostic, ...]:
        """An error for each function that certainly keeps its board busy for ever, a warning of endless recursion."""
        found = []
        for index, function in self.functions.items():
            name = source_name(self.symbols.names[index])
            if any(self._never_waits(loop) for loop in function.loops):
                found.append(_endless_loop(name, text))
            elif self._calls_itself(index):
                found.append(_endless_calls(name, text))
        by_place = {
            (each.line, each.column): each for each in found
        }  # an inlined function's loop is its own, last told
        return (*by_place.values(), *self._never_returning(text))

    def _never_returning(self, text: SourceText) -> Iterator[Diagnostic]:
        """An error for each function that the firmware calls, which must return, and certainly does not."""
        main = self._main()
        may_end = {index for index, name in enumerate(self.symbols.names) if name in _ENDS} | {_ANYTHING}
        for start, name in self._entries(main):
            for index in (start, *sorted(self.reached(self.functions[start].calls) & self.functions.keys() - main)):
                loops = (loop for loop in self.functions[index].loops if not self._never_waits(loop))  # those are told
                if any(loop.is_endless and not self.reached(loop.calls) & may_end for loop in loops):
                    yield _never_returns(source_name(name), source_name(self.symbols.names[index]), text)
                    break

    def _entries(self, main: set[int]) -> Iterator[tuple[int, str]]:
        """The functions that the firmware calls besides main, with their names; tasks of every and after are such."""
        called = set().union(*(function.calls for function in self.functions.values()))
        for index in self.functions.keys() - main:
            name = self.symbols.names[index]
            if name in _CALLED or not called & {index, _ANYTHING}:
                yield index, name

    def _main(self) -> set[int]:
        """What main reaches, itself included; nothing where the firmware does not call it."""
        if "on_init" in self.symbols.functions:
            return set()
        names = self.symbols.names
        return self.reached(i for i in self.functions if names[i] in MAINS or names[i].startswith(CONSTRUCTORS))

    def pause_points(self) -> dict[str, dict[int, int]]:
        """After how many ms each loop that main reaches is to pause: by the function's name and the loop's number.

        The outermost loops of main pause first, so that what they do in one turn stays in one piece where it can.
        """
        points: dict[str, dict[int, int]] = {}
        main = self._main()
        for index, function in self.functions.items():
            name = point_key(self.symbols.names[index])
            for loop in function.loops:
                if (index in main or _ANYTHING in main) and self._needs_pause(loop):
                    points.setdefault(name, {})[loop.number] = self._pause_after_ms(name, loop)
        return points

    def _pause_after_ms(self, name: str, loop: Loop) -> int:
        if loop.waits:
            return 0  # it waits for a variable that only a callback can change: let that one run
        return _OUTER_MS if name == "main" and not loop.is_inner else _INNER_MS

    def _never_waits(self, loop: Loop) -> bool:
        calls = self.reached(loop.calls)
        return loop.is_endless and not loop.holds_waiting and self._calls_only(calls, _COMPUTES | _WRITES)

    def _needs_pause(self, loop: Loop) -> bool:
        if loop.waits:
            return True
        if not loop.goes_round_awake or (loop.turns is not None and loop.turns <= _FEW_TURNS):
            return False
        harmless = _COMPUTES if loop.turns is not None else _COMPUTES | _WRITES
        return not self._calls_only(self.reached(loop.calls), harmless)

    def _calls_only(self, calls: set[int], names: frozenset[str]) -> bool:
        """Whether what lies outside of the program is one of these."""
        first = len(self.symbols.names) - len(self.symbols.bodies)
        return all(c != _ANYTHING and (c >= first or self.symbols.names[c] in names) for c in calls)

    def reached(self, calls: Iterable[int]) -> set[int]:
        """Everything that is called from there, however deep."""
        reached = set(calls)
        waiting = list(reached)
        while waiting:
            function = self.functions.get(waiting.pop())
            new = function.calls - reached if function is not None else set()
            reached |= new
            waiting.extend(new)
        return reached

    def _calls_itself(self, index: int) -> bool:
        """Whether it comes back to itself through functions that have no condition at all; clang tells of its own."""
        certain = {i for i, f in self.functions.items() if not f.is_conditional and i not in f.calls}
        return index in certain and index in self.reached(self.functions[index].calls & certain)


def read_loops(symbols: Symbols) -> Loops:
    """The loops of every function of an object; none where it is too large to be looked through."""
    if sum(map(len, symbols.bodies)) > MAX_CODE_BYTES:
        return Loops(symbols, {})
    first = len(symbols.names) - len(symbols.bodies)
    sleeping = {index for index, name in enumerate(symbols.names[:first]) if name in _SLEEPS}
    functions: dict[int, Function] = {}
    while True:
        functions = {
            first + place: functions[first + place]
            if functions and not functions[first + place].calls & sleeping
            else _Walk(body, sleeping).function
            for place, body in enumerate(symbols.bodies)
        }
        more = {index for index, function in functions.items() if function.always_sleeps} - sleeping
        if not more:
            return Loops(symbols, functions)
        sleeping |= more


def insert_in_loops(body: bytes, code: Mapping[int, bytes]) -> bytes:
    """The function body with instructions at the head of some of its loops, by the loop's number."""
    parts, done, number = [], 0, 0
    for _, end, opcode, _ in instructions(body):
        if opcode == _LOOP:
            if number in code:
                parts += [body[done:end], code[number]]
                done = end
            number += 1
    return b"".join((*parts, body[done:]))


class _Walk:
    """One pass over a body. `awake` is a set of bits: where such a way starts that came here without sleeping.

    Bit 0 stands for the function's beginning, bit n + 1 for the head of its loop n. Code behind a jump has none.
    """

    def __init__(self, body: bytes, sleeping: set[int]) -> None:
        self.function = Function()
        self._sleeping = sleeping
        self._blocks: list[_Block] = [_Block(_BLOCK, None)]
        self._awake = 1
        self._reachable = True
        self._last: deque[tuple[int, int]] = deque(maxlen=6)  # instructions with their first operand
        for _, _, opcode, operands in instructions(body):
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
                self._call(operands[0] if opcode == _CALL else _ANYTHING)
            case 12 | 13 | 14:
                self.function.is_conditional |= opcode != _BR
                for target in operands:
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
        if opcode == _LOOP:
            loop = Loop(len(self.function.loops), any(self._open_loops()))
            self.function.loops.append(loop)
            self._awake |= 2 << loop.number if self._reachable else 0
        self.function.is_conditional |= opcode == _IF
        block = _Block(opcode, loop)
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
        self.function.calls.add(called)
        for loop in self._open_loops():
            loop.calls.add(called)
        if called in self._sleeping:
            self._awake = 0

    def _jump(self, target: int, *, is_conditional: bool) -> None:
        goal = len(self._blocks) - 1 - target
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

    def _open_loops(self) -> Iterator[Loop]:
        return (block.loop for block in self._blocks if block.loop is not None)


@dataclass(slots=True)
class _Block:
    """A block, loop or if while it is walked through; the first one is the function's body."""

    opcode: int
    loop: Loop | None
    arrivals: int = 0  # bits of the ways that jump to its end
    is_target: bool = False
    before: int = 0  # bits at an if
    reachable_before: bool = False
    has_else: bool = False
    written: set[int] = field(default_factory=set)  # the locals that it wrote so far, in the order of the code
    read_first: set[int] = field(default_factory=set)  # and those that it read before it wrote them


def _endless_loop(name: str, text: SourceText) -> Diagnostic:
    return at(
        text,
        _loop_in(name, text) or text.find_name(name) or (1, 1),
        f"{name} loops for ever and never waits",
        "wait in the loop: delay(1000); or use every(ms, task) and leave the loop out",
        explanation="while it runs the app answers nothing: no timer, no message; only a reset can remove it",
    )


def _never_returns(entry: str, name: str, text: SourceText) -> Diagnostic:
    inside = "" if entry == name else f": {name} loops for ever"
    return at(
        text,
        _loop_in(name, text) or text.find_name(name) or (1, 1),
        f"{entry} never returns{inside}",
        "let main loop, which may wait, or leave the loop out and use every(ms, task)",
        explanation="the firmware calls it and waits for it; until it returns the app cannot be removed",
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
