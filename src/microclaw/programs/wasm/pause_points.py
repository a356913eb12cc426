"""Puts guards into the loops and functions of a linked module, and calls into its entries. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.programs.wasm.inspect import KINDS, Module, parse_module
from microclaw.programs.wasm.loop_guards import CHECKED_AFTER, Guard, Guards
from microclaw.programs.wasm.opcodes import after_locals, instructions
from microclaw.programs.wasm.symbols import point_key
from microclaw.programs.wasm.toolchain import CALLBACKS, NOTE_START
from microclaw.wire.wasm_binary import HEADER, Reader, read_sections, write_i32, write_section, write_u32

BREATHE: Final = "__microclaw_breathe"
WATCH: Final = "__microclaw_watch"
_ENTERED: Final = "__microclaw_entered"
_GLOBALS = 6
_EXPORTS = 7
_CODE = 10
_BLOCK = 2
_LOOP = 3
_IF = 4
_END = 11
_BR = 12
_BR_IF = 13
_BR_TABLE = 14
_VOID = 0x40
_I32 = 0x7F
_GET, _SET, _TEE, _CALL, _CONST, _SUB, _GREATER, _GLOBAL_GET, _GLOBAL_SET = (
    bytes((code,)) for code in (0x20, 0x21, 0x22, 0x10, 0x41, 0x6B, 0x4A, 0x23, 0x24)
)
_COUNTER: Final = bytes((_I32, 1)) + _CONST + write_i32(CHECKED_AFTER) + bytes((_END,))  # a global for calls
_MAX_COPIED_BYTES: Final = 640  # of all loops of a program


def with_guards(wasm: bytes, module: Module, names: Mapping[int, str], guards: Guards) -> bytes:
    """Return the linked module with its guards, which call BREATHE if it is linked, else WATCH.

    Guards of recursions call WATCH: main cannot pause deep in its calls. They count in a global that all of them share.
    """
    by_name = {name: index for index, name in names.items()}
    question = BREATHE if BREATHE in by_name else WATCH
    counted = 0
    for in_function in guards.loops.values():
        counted += sum(map(_counts, in_function.values()))
    call = _CALL + write_u32(by_name[question])
    copied_bytes = _MAX_COPIED_BYTES // max(1, counted)
    get = _GLOBAL_GET + write_u32(len(module.globals))
    put = _GLOBAL_SET + write_u32(len(module.globals))
    bodies = []
    for index, body in enumerate(module.bodies, len(module.imports)):
        name = point_key(names.get(index, ""))
        signature = module.signature_of(index)
        if signature is not None and name in guards.loops:
            body = insert_in_loops(body, len(signature.params), guards.loops[name], call, copied_bytes)
        guard = guards.recursions.get(name)
        if guard is not None:
            count = get + _CONST + write_i32(guard.turn) + _SUB + put + get
            check = _asked_at_zero(guard, count, put, _CALL + write_u32(by_name[WATCH]))
            body = _with_begin(body, check)
        bodies.append(body)
    if guards.recursions:
        wasm = with_elements(wasm, {_GLOBALS: _COUNTER})
    return _with_bodies(wasm, bodies)


def _with_begin(body: bytes, code: bytes) -> bytes:
    """Return a function body that begins with this code."""
    start = after_locals(body)
    return body[:start] + code + body[start:]


def _counts(guard: Guard) -> bool:
    """Return True if a guard does not ask in each turn."""
    return guard.turn < CHECKED_AFTER


def _asked_at_zero(guard: Guard, count: bytes, put: bytes, call: bytes) -> bytes:
    """Return code that asks once what `count` leaves on the stack is used up; `put` begins again."""
    again = _CONST + write_i32(CHECKED_AFTER) + put
    ask = _CONST + write_i32(guard.told) + call
    skip = count + _CONST + write_i32(0) + _GREATER + bytes((_BR_IF, 0))
    return bytes((_BLOCK, _VOID)) + skip + again + ask + bytes((_END,))


def with_entries_noted(wasm: bytes) -> bytes:
    """Return the linked module with calls at the beginning of the functions that the firmware calls.

    Of libc/clock.c in on_init, if the program asks for the time; of glue/watch.c in all, if it has guards: they return
    at once after the program's end.
    """
    if NOTE_START.encode() not in wasm and _ENTERED.encode() not in wasm:
        return wasm
    module = parse_module(wasm)
    functions = module.exported_functions
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
        bodies[place] = _with_begin(bodies[place], code)
    return without_exports(_with_bodies(wasm, bodies), NOTE_START, _ENTERED)


def insert_in_loops(
    body: bytes,
    params: int,
    guards: Mapping[int, Guard],
    call: bytes,
    copied_bytes: int = _MAX_COPIED_BYTES,
) -> bytes:
    """Return the function body with guards in some loops, by the loop's number.

    `call` asks; `copied_bytes` is how long the copies of one loop's turn may be together.
    """
    head = body[: after_locals(body)]
    counter = 0
    if any(map(_counts, guards.values())):
        head, counter = _with_a_local(head, params)
        head += _CONST + write_i32(CHECKED_AFTER) + _SET + write_u32(counter)
    code = _GuardCode(call, copied_bytes, counter)
    rendered = [bytearray(head)]  # of the function, and of each loop that is open
    blocks: list[tuple[int, bytes] | None] = []  # what is open: a loop's number and its instruction, or another block
    number = 0
    for start, end, opcode, _ in instructions(body):
        closed = None
        if opcode == _END and blocks:
            closed = blocks.pop()
        elif opcode in (_BLOCK, _IF):
            blocks.append(None)
        if opcode == _LOOP:
            blocks.append((number, body[start:end]))
            rendered.append(bytearray())
            number += 1
        elif closed is not None:
            inside = bytes(rendered.pop())
            closed_number, begin = closed
            rendered[-1] += code.render_loop(begin, inside, guards.get(closed_number))
        else:
            rendered[-1] += body[start:end]
    return bytes(rendered[0])


class _GuardCode(Struct, frozen=True):
    """Writes the guards of one function's loops; `counter` is the local in which they count."""

    call: bytes
    copied_bytes: int
    counter: int

    def render_loop(self, begin: bytes, inside: bytes, guard: Guard | None) -> bytes:
        """Return a loop with its guard. One check behind several copies of its turn costs less."""
        if guard is None:
            return begin + inside + bytes((_END,))
        if begin[1] != _VOID or guard.copies == 1:
            return begin + self._check(guard, 1) + inside + bytes((_END,))
        copies = max(1, min(guard.copies, self.copied_bytes // len(inside)))
        turn = bytes((_BLOCK, _VOID)) + _with_outer_blocks(inside) + bytes((_BR, 2, _END))
        check = self._check(guard, copies)
        return bytes((_BLOCK, _VOID, _LOOP, _VOID)) + turn * copies + check + bytes((_BR, 0, _END, _END))

    def _check(self, guard: Guard, copies: int) -> bytes:
        """Return code that counts down by what was computed, asks at the end, and begins again.

        It may jump to the loop's head.
        """
        if not _counts(guard):
            return _CONST + write_i32(guard.told) + self.call
        counter = write_u32(self.counter)
        count = _GET + counter + _CONST + write_i32(guard.turn * copies) + _SUB + _TEE + counter
        return _asked_at_zero(guard, count, _SET + counter, self.call)


def _with_outer_blocks(inside: bytes) -> bytes:
    """Return the contents of a loop for a block within two more: jumps out of the loop have farther to go."""
    parts = []
    depth = 0
    reader_body = b"\0" + inside
    for start, end, opcode, operands in instructions(reader_body):
        if opcode in (_BLOCK, _LOOP, _IF):
            depth += 1
        elif opcode == _END:
            depth -= 1
        if opcode not in (_BR, _BR_IF, _BR_TABLE):
            parts.append(reader_body[start:end])
            continue
        parts.append(bytes((opcode,)))
        if opcode == _BR_TABLE:
            parts.append(write_u32(len(operands) - 1))
        for target in operands:
            if target > depth:
                target += 2
            parts.append(write_u32(target))
    return b"".join(parts)


def _with_a_local(declarations: bytes, params: int) -> tuple[bytes, int]:
    """Return a body's declarations with one more i32, and its index."""
    reader = Reader(declarations)
    groups = reader.u32()
    rest = declarations[reader.position :]
    index = params
    for _ in range(groups):
        index += reader.u32()
        reader.byte()
    return write_u32(groups + 1) + rest + write_u32(1) + bytes((_I32,)), index


def with_elements(wasm: bytes, added: Mapping[int, bytes]) -> bytes:
    """Return the module with one more element, the last, in each of these sections, by their numbers."""
    parts = [wasm[: len(HEADER)]]
    left = dict(sorted(added.items()))
    for number, content, whole in read_sections(wasm):
        for lacking in [*left]:
            if lacking < number:
                parts.append(write_section(lacking, write_u32(1) + left.pop(lacking)))
        if number in left:
            reader = Reader(content)
            count = reader.count()
            whole = write_section(number, write_u32(count + 1) + content[reader.position :] + left.pop(number))
        parts.append(whole)
    return b"".join(parts)


def without_exports(wasm: bytes, *prefixes: str) -> bytes:
    """Return the module without the exports whose names begin so."""
    elements = []
    for export in parse_module(wasm).exports:
        if not export.name.startswith(prefixes):
            name = export.name.encode()
            kind = bytes((KINDS.index(export.kind),))
            elements.append(write_u32(len(name)) + name + kind + write_u32(export.index))
    return _with_section(wasm, _EXPORTS, elements)


def _with_bodies(wasm: bytes, bodies: Sequence[bytes]) -> bytes:
    return _with_section(wasm, _CODE, [write_u32(len(body)) + body for body in bodies])


def _with_section(wasm: bytes, changed: int, elements: Sequence[bytes]) -> bytes:
    """Return the module with other elements in one of its sections."""
    content = write_u32(len(elements)) + b"".join(elements)
    parts = [wasm[: len(HEADER)]]
    for number, _, whole in read_sections(wasm):
        if number == changed:
            whole = write_section(number, content)
        parts.append(whole)
    return b"".join(parts)
