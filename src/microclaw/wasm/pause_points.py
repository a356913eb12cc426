"""Puts pause points and guards into a linked module, and calls into its entries. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.wasm.inspect import Module, parse_module
from microclaw.wasm.loop_guards import CHECKED_AFTER, Guard
from microclaw.wasm.opcodes import instructions
from microclaw.wasm.symbols import point_key
from microclaw.wasm.toolchain import CALLBACKS, NOTE_START
from microclaw.wire.wasm_binary import HEADER, Reader, read_sections, write_i32, write_section, write_u32

BREATHE: Final = "__microclaw_breathe"
WATCH: Final = "__microclaw_watch"
_ENTERED: Final = "__microclaw_entered"
_GLOBALS, _EXPORTS, _CODE = 6, 7, 10
_BLOCK, _LOOP, _IF, _END, _BR, _BR_IF, _BR_TABLE = 2, 3, 4, 11, 12, 13, 14
_VOID, _I32 = 0x40, 0x7F
_GET, _SET, _TEE, _CALL, _CONST, _SUB, _GREATER, _GLOBAL_GET, _GLOBAL_SET = (
    bytes((code,)) for code in (0x20, 0x21, 0x22, 0x10, 0x41, 0x6B, 0x4A, 0x23, 0x24)
)
_MAX_COPIED_BYTES: Final = 640  # of all loops of a program


def with_loop_calls(
    wasm: bytes,
    module: Module,
    names: Mapping[int, str],
    points: Mapping[str, Mapping[int, int]],
    guards: Mapping[str, Mapping[int, Guard]],
    recursions: Mapping[str, Guard],
) -> bytes:
    """The linked module with pause points and guards, which call BREATHE where it is linked, else WATCH.

    Guards of recursions call WATCH: main cannot pause deep in its calls. They count in a global that all of them share.
    """
    by_name = {name: index for index, name in names.items()}
    call = _CALL + write_u32(by_name[BREATHE] if BREATHE in by_name else by_name[WATCH])
    first = len(module.imports)
    copied_bytes = _MAX_COPIED_BYTES // max(1, sum(map(len, guards.values())))
    bodies = []
    for index, body in enumerate(module.bodies, first):
        name = point_key(names.get(index, ""))
        code = {number: _CONST + write_i32(told) + call for number, told in points.get(name, {}).items()}
        signature = module.signature_of(index)
        if signature is not None and (code or name in guards):
            body = insert_in_loops(body, len(signature.params), code, guards.get(name, {}), call, copied_bytes)
        if name in recursions:
            start = _first_instruction(body)
            check = _count_calls(recursions[name], len(module.globals), _CALL + write_u32(by_name[WATCH]))
            body = body[:start] + check + body[start:]
        bodies.append(body)
    return _with_bodies(_with_a_global(wasm) if recursions else wasm, bodies)


def _count_calls(guard: Guard, counter: int, call: bytes) -> bytes:
    get, put = _GLOBAL_GET + write_u32(counter), _GLOBAL_SET + write_u32(counter)
    count = get + _CONST + write_i32(guard.turn) + _SUB + put + get + _CONST + write_i32(0) + _GREATER
    again = _CONST + write_i32(CHECKED_AFTER) + put
    ask = _CONST + write_i32(guard.told) + call
    return bytes((_BLOCK, _VOID)) + count + bytes((_BR_IF, 0)) + again + ask + bytes((_END,))


def with_entries_noted(wasm: bytes) -> bytes:
    """The linked module, with calls first thing in the functions that the firmware calls.

    Of libc/clock.c in on_init, where the program asks for the time; of glue/watch.c in all, where it has guards: they
    return at once when it is over.
    """
    if NOTE_START.encode() not in wasm and _ENTERED.encode() not in wasm:
        return wasm
    module = parse_module(wasm)
    functions = {export.name: export.index for export in module.exports if export.kind == "function"}
    bodies = list(module.bodies)
    for entry in ("on_init", *CALLBACKS):
        place = functions.get(entry, -1) - len(module.imports)
        if place < 0:
            continue
        code = b""
        if _ENTERED in functions:
            code += _CALL + write_u32(functions[_ENTERED]) + bytes((_BR_IF, 0))
        if entry == "on_init" and NOTE_START in functions:
            code += _CALL + write_u32(functions[NOTE_START])
        start = _first_instruction(bodies[place])
        bodies[place] = bodies[place][:start] + code + bodies[place][start:]
    return without_exports(_with_bodies(wasm, bodies), NOTE_START, _ENTERED)


def insert_in_loops(
    body: bytes,
    params: int,
    code: Mapping[int, bytes],
    guards: Mapping[int, Guard],
    call: bytes,
    copied_bytes: int = _MAX_COPIED_BYTES,
) -> bytes:
    """The function body with instructions at the head of some loops and guards in others, by the loop's number."""
    start = _first_instruction(body)
    head, counter = body[:start], 0
    if guards:
        head, counter = _with_a_local(body[:start], params)
        head += _CONST + write_i32(CHECKED_AFTER) + _SET + write_u32(counter)
    return head + _Insertion(body, list(_numbered(body)), code, guards, call, counter, copied_bytes).render(0, None)


@dataclass(frozen=True, slots=True)
class _Instruction:
    start: int
    end: int
    opcode: int
    operands: tuple[int, ...]
    closed_at: int  # place of the end of a block
    loop: int  # number of a loop


@dataclass(frozen=True, slots=True)
class _Insertion:
    body: bytes
    code: Sequence[_Instruction]
    heads: Mapping[int, bytes]
    guards: Mapping[int, Guard]
    call: bytes
    counter: int
    copied_bytes: int

    def render(self, begin: int, end: int | None) -> bytes:
        """The instructions from `begin` to before `end`."""
        parts, at, last = [], begin, len(self.code) if end is None else end
        while at < last:
            here = self.code[at]
            if here.opcode != _LOOP:
                parts.append(self.body[here.start : here.end])
                at += 1
                continue
            inside = self.heads.get(here.loop, b"") + self.render(at + 1, here.closed_at)
            guard = self.guards.get(here.loop)
            kind = self.body[here.start : here.end]
            if guard is None:
                parts += [kind, inside, bytes((_END,))]
            elif kind[1] != _VOID or guard.copies == 1:
                parts += [kind, self._check(guard), inside, bytes((_END,))]
            else:
                parts.append(self._copied(inside, guard))
            at = here.closed_at + 1
        return b"".join(parts)

    def _check(self, guard: Guard, copies: int = 1) -> bytes:
        """Count down by what was computed; at the end ask, and begin anew. It may jump to the loop's head from here."""
        counter = write_u32(self.counter)
        count = _GET + counter + _CONST + write_i32(guard.turn * copies) + _SUB + _TEE + counter
        count += _CONST + write_i32(0) + _GREATER
        again = _CONST + write_i32(CHECKED_AFTER) + _SET + counter
        ask = _CONST + write_i32(guard.told) + self.call
        return bytes((_BLOCK, _VOID)) + count + bytes((_BR_IF, 0)) + again + ask + bytes((_END,))

    def _copied(self, inside: bytes, guard: Guard) -> bytes:
        """The loop with several of its turns behind each other, and the check behind them: it costs the less."""
        copies = max(1, min(guard.copies, self.copied_bytes // len(inside)))
        turn = bytes((_BLOCK, _VOID)) + _with_outer_blocks(inside) + bytes((_BR, 2, _END))
        begin, end = bytes((_BLOCK, _VOID, _LOOP, _VOID)), bytes((_BR, 0, _END, _END))
        return begin + turn * copies + self._check(guard, copies) + end


def _with_outer_blocks(inside: bytes) -> bytes:
    """What stands in a loop, for a block within two more: jumps out of the loop have farther to go."""
    parts, depth = [], 0
    reader_body = b"\0" + inside
    for start, end, opcode, operands in instructions(reader_body):
        if opcode in (_BLOCK, _LOOP, _IF):
            depth += 1
        elif opcode == _END:
            depth -= 1
        if opcode in (_BR, _BR_IF, _BR_TABLE):
            targets = [target + 2 if target > depth else target for target in operands]
            count = write_u32(len(targets) - 1) if opcode == _BR_TABLE else b""
            parts.append(bytes((opcode,)) + count + b"".join(map(write_u32, targets)))
        else:
            parts.append(reader_body[start:end])
    return b"".join(parts)


def _numbered(body: bytes) -> Iterator[_Instruction]:
    code = list(instructions(body))
    closed: dict[int, int] = {}
    blocks: list[int] = []
    for at, (_, _, opcode, _) in enumerate(code):
        if opcode in (_BLOCK, _LOOP, _IF):
            blocks.append(at)
        elif opcode == _END and blocks:
            closed[blocks.pop()] = at
    number = -1
    for at, (start, end, opcode, operands) in enumerate(code):
        number += opcode == _LOOP
        yield _Instruction(start, end, opcode, operands, closed.get(at, 0), number)


def _first_instruction(body: bytes) -> int:
    return next(begin for begin, *_ in instructions(body))


def _with_a_local(declarations: bytes, params: int) -> tuple[bytes, int]:
    """A body's declarations with one more i32, and its index."""
    reader = Reader(declarations)
    groups = reader.u32()
    rest = declarations[reader.position :]
    index = params
    for _ in range(groups):
        index += reader.u32()
        reader.byte()
    return write_u32(groups + 1) + rest + write_u32(1) + bytes((_I32,)), index


def _with_a_global(wasm: bytes) -> bytes:
    """The module with one more global, the last: a counter of calls."""
    counter = bytes((_I32, 1)) + _CONST + write_i32(CHECKED_AFTER) + bytes((_END,))
    parts, placed = [wasm[: len(HEADER)]], False
    for number, content, whole in read_sections(wasm):
        if number == _GLOBALS:
            reader = Reader(content)
            count = reader.count()
            whole = write_section(_GLOBALS, write_u32(count + 1) + content[reader.position :] + counter)
        elif number > _GLOBALS and not placed:
            whole = write_section(_GLOBALS, write_u32(1) + counter) + whole
        placed |= number >= _GLOBALS
        parts.append(whole)
    return b"".join(parts)


def without_exports(wasm: bytes, *prefixes: str) -> bytes:
    """The module without the exports whose names begin so."""
    parts = [wasm[: len(HEADER)]]
    for number, body, whole in read_sections(wasm):
        if number != _EXPORTS:
            parts.append(whole)
            continue
        kept = [entry for name, entry in _exports(body) if not name.startswith(prefixes)]
        parts.append(write_section(_EXPORTS, write_u32(len(kept)) + b"".join(kept)))
    return b"".join(parts)


def _with_bodies(wasm: bytes, bodies: Sequence[bytes]) -> bytes:
    content = write_u32(len(bodies)) + b"".join(write_u32(len(body)) + body for body in bodies)
    parts = (write_section(_CODE, content) if number == _CODE else whole for number, _, whole in read_sections(wasm))
    return wasm[: len(HEADER)] + b"".join(parts)


def _exports(body: bytes) -> Iterator[tuple[str, bytes]]:
    reader = Reader(body)
    for _ in range(reader.count()):
        start = reader.position
        name = reader.name()
        reader.byte()
        reader.u32()
        yield name, body[start : reader.position]
