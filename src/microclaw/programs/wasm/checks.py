"""Checks a module before it may be sent to a board: its imports, exports, pins and memory. Reads no files.

The firmware answers "created" even to a module that can never run (docs/protocols/wasmachine.md), so every such fault
is found here, with the line of the source if it can be known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import Final

from microclaw.errors import Diagnostic
from microclaw.hardware.boards.natives import APP_EXPORTS, NATIVE_MODULE, NATIVES, Native, NativeGroup
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.wasm.diagnostics import TIMER_HINT, PinMark, at, with_advice
from microclaw.programs.wasm.inspect import Module
from microclaw.programs.wasm.name_advice import advice_on
from microclaw.programs.wasm.refusals import Advice, refused_name
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.symbols import source_name
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.wasm_image import Import, MemoryUse, Signature
from microclaw.tables import read_table
from microclaw.wire.wasm_binary import PAGE_BYTES

_C_TYPES: Final = {"i32": "int", "i64": "long long", "f32": "float", "f64": "double"}
_NODE: Final = re.compile(rb"/dev/([a-z0-9]{1,16})/")
_FILE: Final = re.compile(rb"(?:^|\0)/dev/([A-Za-z0-9_.-]{1,32})(?=\0)")
_ELSEWHERE: Final = re.compile(rb"(?:^|\0)(/(?:sys|proc|etc|tmp|home|sdcard|spiffs|littlefs)/[\w./%-]+)(?=\0)")
_STORED: Final = re.compile(rb"(?:^|\0)(/storage/[\w./%-]*)(?=\0)")
_OPENED: Final = (*words_of("opened_by.gpio"), *words_of("opened_by.ledc"), *words_of("opened_by.i2c"))
_CALLED_BY: Final = dict.fromkeys(("open", "read", "write", "close", "ioctl"), (*_OPENED, "fopen", "open"))
_COMPILER_RUNTIME: Final[Mapping[str, str]] = read_table(__package__, "names")["compiler_runtime"]


def check_imports(module: Module, board: BoardProfile, source: SourceText) -> Iterator[Diagnostic]:
    """Yield an error for each import that this board's firmware cannot link."""
    for kind, space, name in module.other_imports:
        yield at(source, None, f"it imports the {kind} {space}.{name}; the firmware gives functions only")
    computed: set[str] = set()
    lacking: dict[tuple[tuple[int, int] | None, NativeGroup], list[str]] = {}
    for wanted in module.imports:
        if wanted.name.startswith("_Z"):
            name = source_name(wanted.name)
            hint = f'define {name}, or leave the call out; a native of the firmware is declared with extern "C"'
            if source.c_units and source.find_definition(name) is not None:
                hint = f'{name} is in a file of C: declare it with extern "C" in its header'
            yield at(source, source.find_name(name), f"{name} is declared, and nothing defines it", hint)
            continue
        problem = _import_problem(wanted, board)
        if problem is None:
            continue
        message, advice = problem
        group = _lacking_group(wanted, board, advice)
        if group is not None:
            lacking.setdefault((_place_in_group(wanted, group, source), group), []).append(wanted.name)
            continue
        computing = _COMPILER_RUNTIME.get(wanted.name)
        if computing is None:
            place = _call_place(wanted, source)
        elif computing in computed:
            continue
        else:
            computed.add(computing)
            place = next(source.places("long", "double"), None)
        yield with_advice(at(source, place, message), advice)
    for (place, group), names in lacking.items():
        message = f"the firmware of {board.title} was built without {', '.join(sorted(names))} (group {group.value})"
        hint = f"leave it out, or use a board whose firmware was built with it{_correction(board, group)}"
        yield at(source, place, message, hint)


def _lacking_group(wanted: Import, board: BoardProfile, advice: Advice | None) -> NativeGroup | None:
    """Return the group of a native that the firmware was built without; None if the `advice` is better for it."""
    if wanted.module != NATIVE_MODULE:
        return None
    native = NATIVES.get(wanted.name)
    if native is None or _offers(board, native):
        return None
    if advice is None or words_of(f"beginnings.{native.group.value}"):
        return native.group
    return None


def _place_in_group(wanted: Import, group: NativeGroup, source: SourceText) -> tuple[int, int] | None:
    """Return the first name of the group in the source, else the call of the native."""
    beginnings = words_of(f"beginnings.{group.value}")
    for token in source.tokens:
        if token.text.startswith(beginnings):
            return token.place
    return _call_place(wanted, source)


def _call_place(wanted: Import, source: SourceText) -> tuple[int, int] | None:
    """Return where the source names a native, or what calls it."""
    callers = (*_CALLED_BY.get(wanted.name, ()), *words_of(f"called_by.{wanted.name}"))
    return _first_place(source, wanted.name, *callers)


NO_ENTRY: Final = "the program has neither main nor on_init: nothing would ever run"


def check_exports(module: Module, source: SourceText) -> Iterator[Diagnostic]:
    """Yield an error if the firmware would find nothing to start, or functions of another type than it calls."""
    for name, count in Counter(export.name for export in module.exports).items():
        if count > 1:
            hint = TIMER_HINT if name == "on_timer_callback" else None
            yield at(source, source.find_name(name), f"{name} is defined twice", hint)
    functions = module.exported_functions
    if "on_init" not in functions:
        yield _no_start(source)
    for name, params in APP_EXPORTS.items():
        if name not in functions:
            continue
        called = Signature(params, ())
        signature = module.signature_of(functions[name])
        if signature is None:
            actual = "nothing"
        else:
            actual = _prototype(name, signature)
        if signature != called:
            message = f"the firmware calls {_prototype(name, called)}, this is {actual}"
            yield at(source, source.find_name(name), message)
    if not any(export.kind == "memory" and export.name == "memory" for export in module.exports):
        yield at(source, None, "it exports no memory", "compile with the WASMachine profile: microclaw app build")


def _no_start(source: SourceText) -> Diagnostic:
    place = source.find_name("main")
    message = NO_ENTRY
    if place is not None:
        message = "the firmware never calls main by itself, and this is none that can be called for it"
    hint = "write int main(void), or void on_init(void) that opens pins, starts every(ms, task), and returns"
    if source.find_definition("setup") and source.find_definition("loop"):
        hint = "add #include <Arduino.h>, which calls setup and loop; or write int main(void)"
    return at(source, place, message, hint)


def check_nodes(module: Module, board: BoardProfile, source: SourceText) -> Iterator[Diagnostic]:
    """Yield an error for each device file in the program's data that this board's firmware, or any, does not have.

    Each path in a folder of another system is an error, too.
    """
    for kind in _in_data(_NODE, module, board.firmware.device_nodes):
        place = source.find_string(f"/dev/{kind}/") or _first_place(source, *words_of(f"opened_by.{kind}"))
        has = ", ".join(sorted(board.firmware.device_nodes)) or "no device files"
        message = f"the firmware of {board.title} was built without /dev/{kind}"
        parts = [*words_of(f"without_node.{kind}")]
        if parts:
            parts[-1] += ";"
        hint = " ".join([*parts, "it has", has])
        yield at(source, place, message, f"{hint}{_correction(board)}")
    # LLMos's layer opens /dev/gpio itself.
    has_gpio_file = source.has_llmos_pins or not source.text
    for name in _in_data(_FILE, module):
        if name == "gpio" and has_gpio_file:
            continue
        message = f"no firmware has the device file /dev/{name}"
        nodes = ", ".join(f"/dev/{node}/N" for node in sorted(board.firmware.device_nodes))
        if name in board.firmware.device_nodes:
            hint = f"open /dev/{name}/N, with its number"
        else:
            hint = f"it has {nodes}"
        yield at(source, source.find_string(f"/dev/{name}"), message, hint)
    if any(wanted.name == "open" for wanted in module.imports):
        yield from _check_paths(module, board, source)


def _check_paths(module: Module, board: BoardProfile, source: SourceText) -> Iterator[Diagnostic]:
    """Yield an error for each path of a file that the firmware cannot open."""
    if not board.firmware.has_files:
        for path in _in_data(_STORED, module):
            message = f"the firmware of {board.title} has no file system, and this is {path}"
            hint = f"keep the value in a variable, or print it{_correction(board)}"
            yield at(source, source.find_string(path), message, hint)
    for path in _in_data(_ELSEWHERE, module):
        hint = "files are under /storage, pins are /dev/gpio/N"
        yield at(source, source.find_string(path), f"no firmware has {path}: this is of another system", hint)


def _in_data(pattern: re.Pattern[bytes], module: Module, known: Iterable[str] = ()) -> list[str]:
    """Return the texts that the pattern finds in the module's data, without `known`, sorted."""
    texts: set[str] = set()
    for segment in module.data:
        texts.update(map(bytes.decode, pattern.findall(segment.data)))
    return sorted(texts.difference(known))


def _first_place(source: SourceText, *names: str) -> tuple[int, int] | None:
    """Return the place of the first of these names that the source has, or None."""
    for name in names:
        place = source.find_name(name)
        if place is not None:
            return place
    return None


def _correction(board: BoardProfile, group: NativeGroup | None = None) -> str:
    """Return the step to take if a description is wrong, or no one described a firmware that lacks a group."""
    if not board.firmware.described:
        if group is None:
            return ""
        return f" (where yours was, say so: --firmware natives=+{group.value})"
    words = " ".join(board.firmware.described)
    return f"; it is described as {words}: if that is wrong, give --firmware again"


_LONG_DOUBLE: Final = re.compile(r"%(?:%|([-+ #0'*.$\d]*L[aAeEfFgGdioxXu]))")
_FORMATS: Final = re.compile(r"\w*(?:printf|scanf)\w*")
_PLAIN_TEXT: Final = frozenset(("puts", "fputs", "print", "println", "write", "String"))


def check_formats(source: SourceText) -> Iterator[Diagnostic]:
    """Yield an error for each format of a long double: nothing on the board prints or reads one."""
    if not any(token.kind == "name" and _FORMATS.fullmatch(token.text) for token in source.tokens):
        return
    function = ""
    before = ""
    for token in source.tokens:
        is_plain_text = function in _PLAIN_TEXT and before == "("
        function = before
        before = token.text
        if token.kind != "string" or is_plain_text:
            continue
        for match in _LONG_DOUBLE.finditer(token.text):
            if match[1]:
                spec = f"%{match[1]}"
                hint = f"use double with {spec.replace('L', '')}, and 1.5 instead of 1.5L"
                message = f"{spec} is for a long double, which the firmware can neither print nor read"
                yield at(source, token.place, message, hint)
                break


_HARDWARE_PWMS: Final = 3
_PWM_CALLS: Final = frozenset(
    ("analogWrite", "attach", "tone", "pwm_open", "ledcAttach", "ledcAttachPin", "ledcAttachChannel")
)


def soft_pwm_note(marks: Sequence[PinMark], source: SourceText, missing: Set[str]) -> tuple[Diagnostic, ...]:
    """Return a note on a program whose analogWrite may name more pins than the hardware serves; none for others."""
    if "analogWrite" not in missing:
        return ()
    known = {(mark.line, mark.column): mark.pin for mark in marks if mark.what == "pwm"}
    pwm_count = len({*known.values()})
    has_computed = False
    for token, behind in pairwise(source.tokens):
        if token.text not in _PWM_CALLS or behind.text != "(":
            continue
        if token.text != "analogWrite":
            pwm_count += 1
        if token.text in ("analogWrite", "pwm_open") and token.place not in known:
            has_computed = True
    if not has_computed and pwm_count <= _HARDWARE_PWMS:
        return ()
    message = (
        "analogWrite: 3 pins, less one for each tone, Servo and ledc, get the hardware's PWM at 1 kHz; others are "
        "switched by a timer, at about 60 Hz at half power and 10 Hz at a twentieth"
    )
    hint = (
        "enough for LEDs while main sleeps or returns; write to the pin of a motor first, so that it gets the hardware"
    )
    return (at(source, source.find_name("analogWrite"), message, hint, severity="warning"),)


def check_size(
    module: Module,
    size_bytes: int,
    board: BoardProfile,
    source: SourceText,
    largest: tuple[str, int] | None,
) -> Iterator[Diagnostic]:
    """Yield an error if the module or its memory is more than the board's firmware takes.

    `largest` is the largest variable, with its bytes.
    """
    firmware = board.firmware
    heap_bytes = firmware.app_heap_bytes
    if size_bytes > firmware.max_module_bytes:
        message = f"the module has {size_bytes} bytes; {board.title} takes {firmware.max_module_bytes}"
        yield at(source, None, message, "make tables smaller, or compile with -Os")
    # What WAMR allocates: the heap goes in at __heap_base, and the memory grows by whole pages.
    initial = (module.memory_pages or 0) * PAGE_BYTES
    heap_base = module.global_value("__heap_base")
    if heap_base is None:
        heap_base = initial
    end = heap_base + heap_bytes
    needed = max(initial, -(-end // PAGE_BYTES) * PAGE_BYTES)
    if needed > firmware.max_memory_bytes:
        memory = memory_use(module)
        parts = (("static data", memory.static_bytes), ("stack", memory.stack_bytes), ("heap", heap_bytes))
        taken = ", ".join(f"{name} {kilobytes(size)}" for name, size in parts)
        most = f"{board.title} gives {firmware.max_memory_bytes // 1024} KB"
        message = f"the program needs {needed // 1024} KB of memory ({taken}); {most}"
        if largest is None:
            yield at(source, None, message, "use less memory: its tables, or its stack")
            return
        name, taken_bytes = largest
        hint = f"make {name} smaller: it is the largest variable, {kilobytes(taken_bytes)}"
        yield at(source, source.find_name(name), message, hint)


def kilobytes(size_bytes: int) -> str:
    if size_bytes < 1024:
        return f"{size_bytes} B"
    return f"{size_bytes / 1024:.1f} KB".replace(".0 KB", " KB")


def memory_use(module: Module) -> MemoryUse:
    """Return the initial memory, static data and stack, as far as the module says."""
    initial = (module.memory_pages or 0) * PAGE_BYTES
    stack_top = 0
    for variable in module.globals:
        if variable.mutable and variable.type == "i32" and variable.value is not None:
            stack_top = variable.value
            break
    data_end = module.global_value("__data_end")
    if not data_end:
        ends = [(segment.offset or 0) + len(segment.data) for segment in module.data]
        data_end = max(ends, default=stack_top)
    if stack_top > data_end:
        return MemoryUse(initial, data_end, stack_top - data_end)
    return MemoryUse(initial, data_end - stack_top, stack_top)


def _import_problem(wanted: Import, board: BoardProfile) -> tuple[str, Advice | None] | None:
    """Return the problem of an import with an advice; None if the firmware has the function."""
    if wanted.module != NATIVE_MODULE:
        advice = Advice("compile C with microclaw's own headers, without a WASI libc")
        return f"it imports {wanted.module}.{wanted.name}; the firmware has only the module {NATIVE_MODULE}", advice
    native = NATIVES.get(wanted.name)
    if native is None:
        if wanted.name in _COMPILER_RUNTIME:
            message = f"it computes with {_COMPILER_RUNTIME[wanted.name]}, which the firmware cannot ({wanted.name})"
            return message, Advice("use double or long long")
        return f"the firmware has no function {wanted.name}", advice_on(wanted.name)
    if not _offers(board, native):
        message = f"the firmware of {board.title} was built without {wanted.name} (group {native.group.value})"
        return message, refused_name(wanted.name)  # the others come together (check_imports)
    if wanted.signature != Signature(native.params, native.results):
        used = _prototype(wanted.name, wanted.signature)
        return f"{wanted.name} is used as {used}", Advice(f"the firmware has {native.prototype}")
    return None


def _offers(board: BoardProfile, native: Native) -> bool:
    """Return True if the firmware was built with the native."""
    return board.firmware.has_native(native.name, native.group.value)


def _prototype(name: str, signature: Signature) -> str:
    params = ", ".join(map(_C_TYPES.__getitem__, signature.params)) or "void"
    result = "void"
    if signature.results:
        result = _C_TYPES[signature.results[0]]
    return f"{result} {name}({params})"
