"""Every native of the firmware's basic groups is declared in a header, and a call of it has the table's signature."""

from __future__ import annotations

import re
from typing import Any

from microclaw.hardware.boards.natives import NATIVES, Native, NativeGroup
from microclaw.programs.wasm.source_language import STANDARD_HEADERS, cplusplus_headers
from microclaw.programs.wasm.source_scanner import header_names
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.toolchain import HEADERS
from microclaw.programs.wasm.wasm_image import Signature
from microclaw.wire.wasmachine.ioctl import I2cConfigFlag, I2cExchangeFlag, I2cMessageFlag, IoctlCommand, OpenFlag

GROUPS = (NativeGroup.LIBC_BUILTIN, NativeGroup.LIBC_EXT, NativeGroup.LIBM, NativeGroup.APP_FRAMEWORK)
# What only compilers and other runtimes call, and one that no C header can offer honestly: fstat always fails. abort
# takes an argument here that C's does not: the libc's calls it.
UNDECLARED = {
    *("_strdup", "emscripten_memcpy_big", "abortStackOverflow", "nullFunc_X", "fstat"),
    *("__cxa_allocate_exception", "__cxa_begin_catch", "__cxa_throw"),
}
# Declared, and the libc's or the glue's own; without optimization three go to checked_writes.c, which calls others.
OURS = {"ioctl", "abort", "localtime_r", "printf", "strcpy", "sprintf", "snprintf"}
OFFERED = [n for n in NATIVES.values() if n.group in GROUPS and n.name not in UNDECLARED | OURS]

# errno.h is left out: with it strtol and strtoul are the libc's own, which set errno.
OF_SKETCHES = frozenset(words_of("sketch_headers"))
HEADERS_OF_C = header_names() - {"errno.h"} - cplusplus_headers() - STANDARD_HEADERS - OF_SKETCHES
INCLUDES = "".join(f"#include <{name}>\n" for name in sorted(HEADERS_OF_C))


def call_of(native: Native) -> str:
    """A call with arguments of the right kinds: `p` is a volatile int that the optimizer knows nothing of."""
    head, _, rest = native.prototype.partition("(")
    arguments = []
    for parameter in rest.rstrip(")").split(","):
        text = parameter.strip()
        if text in ("void", ""):
            continue
        if text == "...":
            arguments.append("p")
        elif "va_list" in text:
            arguments.append("ap")
        elif "format" in text:
            arguments.append('"%d"')
        else:
            arguments.append("q" if "*" in text else "p")
    call = f"{native.name}({', '.join(arguments)})"
    if head.startswith("void ") and "*" not in head:
        return f"{call};"
    return f"__typeof__({call}) volatile result = {call}; (void)result;"  # kept, though nobody looks at it


async def test_natives_are_declared_with_the_tables_signatures(compile_c: Any) -> None:
    start = "void on_timer_callback(unsigned t) { (void)t; }\nvoid on_init(void)"  # with both, on_init waits by itself
    calls = "\n".join(f"if (p) {{ {call_of(native)} }}" for native in OFFERED)
    source = f"{INCLUDES}void *volatile q;\nvolatile int p;\nva_list ap;\n{start} {{\n{calls}\n}}\n"
    image = await compile_c(source, optimization="O0")
    found = {i.name: i.signature for i in image.imports}
    wanted = {native.name: Signature(native.params, native.results) for native in OFFERED}
    assert {name: found.get(name) for name in wanted} == wanted


def test_undeclared_natives_are_in_no_header() -> None:
    text = "\n".join(path.read_text() for path in HEADERS.rglob("*.h"))
    assert not [name for name in UNDECLARED if re.search(rf"\b{name}\(", text)]


async def test_constants_are_the_firmwares(compile_c: Any) -> None:
    constants = {str(one.name): one.value for one in (*OpenFlag, *IoctlCommand)}
    for prefix, flags in (("I2C_", I2cConfigFlag), ("I2C_MSG_", I2cMessageFlag), ("I2C_EX_MSG_", I2cExchangeFlag)):
        constants |= {f"{prefix}{'DELAY_EN' if f.name == 'DELAY' else f.name}": f.value for f in flags}
    lines = "\n".join(f'_Static_assert({name} == {value}, "differs");' for name, value in constants.items())
    await compile_c(f"{INCLUDES}{lines}\nvoid on_init(void) {{}}\n")
